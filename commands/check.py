"""The flags that a mode needs, and those that it does not read."""

from configs import UserError

# The flag that a mode needs.
_NEEDS = {
    "import": "tf1_checkpoint",
    "evaluate": "run",
    "export": "run",
    "compare": "runs",
    "generate": "run",
}
# The modes that read a flag, in words. All modes read the flags that are not here.
_READ_BY = {
    "run": "--resume, --mode=evaluate, --mode=export or --mode=generate",
    "runs": "--mode=compare",
    "tf1_checkpoint": "--mode=import",
}
_ONLY_BY = {
    "import": ("tf1_forget_bias", "tf1_names", "tf1_averages"),
    "evaluate": ("views",),
    "generate": ("prompt", "temperature", "top_k"),
}


def check_mode(flags):
    """Raise a `UserError` if a flag that the mode needs is missing, or one it ignores is given."""
    mode = f"--mode={flags.mode}" if flags["mode"].present else "no --mode, which means train"
    if flags.resume and flags.mode != "train":
        raise UserError(
            f"--resume: received {mode}; expected --mode=train or no --mode with it, since only "
            "training can be resumed"
        )
    needed = "run" if flags.resume and not flags.name else _NEEDS.get(flags.mode)
    if needed and not flags[needed].value:
        if flags.resume:
            raise UserError(
                "--resume: received neither --run nor --name; expected --run=PATH or --name=NAME "
                "of the run to go on with: python main.py --mode=list lists all"
            )
        path = "PATH,PATH" if needed == "runs" else "PATH"
        raise UserError(f"{mode}: received no --{needed}; expected --{needed}={path}")
    for name, expected in _READ_BY.items():
        if flags[name].value and name != needed:
            given = flags[name].serialize()
            raise UserError(f"{given}: received {mode}; expected {expected} with --{name}")
    for only, names in _ONLY_BY.items():
        for name in names:
            if flags[name].present and flags.mode != only:
                given = flags[name].serialize()
                raise UserError(f"{given}: received {mode}; expected --mode={only}")
    if flags.ray and flags.distribute != "multi_worker":
        raise UserError(
            f"--ray={flags.ray}: received --distribute={flags.distribute}; expected "
            "--distribute=multi_worker, whose workers Ray starts, or no --ray"
        )
