"""What is written down of a model: its answers to all test images, and where they come from."""

import importlib.metadata
import pathlib
import platform
import subprocess
import time

from training import figures
from training.evaluate import evaluate

_VERSIONS_OF = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")


def record(run, model, data, requested, start, **origin):
    """Evaluate a model on all test images; write the run's pictures and `metrics.json`.

    Args:
        run: The `Run` the model belongs to.
        model: The model.
        data: The `Dataset`.
        requested: The `--dataset` asked for, of which `data` is what was found.
        start: `time.perf_counter()` at the start of the work.
        **origin: How the model got its weights, one JSON-ready value by name.
    """
    evaluation = evaluate(model, data.test)
    run.save_figure("confusion", figures.draw_confusion(evaluation))
    run.save_figure("mistakes", figures.draw_mistakes(evaluation, data.test.inputs))
    pictures = ", ".join(sorted(path.name for path in run.folder.glob("*.png")))
    print(f"pictures: {run.folder}/{pictures}", flush=True)
    run.save_metrics(
        {
            "model": model.name,
            "parameters": model.count_params(),
            "summary": evaluation.summary(),
            "test": evaluation.metrics(),
            **origin,
            "dataset": {
                "requested": requested,
                "name": data.name,
                "source": data.source,
                "classes": data.spec.size,
                "train": len(data.train),
                "validation": len(data.validation),
                "test": len(data.test),
                "sha256": data.checksum(),
            },
            "wall_seconds": time.perf_counter() - start,
            "versions": {name: importlib.metadata.version(name) for name in _VERSIONS_OF}
            | {"python": platform.python_version()},
            "git_commit": _git_commit(),
        }
    )


def _git_commit():
    """The commit of this project, with `-dirty` if files differ from it; `None` outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        return subprocess.run(
            command, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
