"""Measure what each part of a recipe is worth: the whole recipe, and without each part.

    python -m benchmarks.ablation --flag_file=configs/tiny.flags --seeds=3 --jobs=2 --additions

The results are accuracies in percent, or perplexities if the recipe is for a text.
A part is removed by setting its flags to the values in `WITHOUT`. With `--additions`, parts that
the recipe does not have are added with the values in `WITH`. Each run is the program itself, as in
`benchmarks.accuracy`. Finished runs are not repeated.
"""

import dataclasses
import math
import pathlib
import statistics

from absl import flags

from benchmarks import machine
from benchmarks.runs import finished_runs, metrics_of, spread_of
from configs import Config, define_flags, format_flags, read_flags, run_script
from configs.scopes import kind_of
from training.run import Run

FLAGS = flags.FLAGS
flags.DEFINE_string("flag_file", None, "The recipe.", required=True)
flags.DEFINE_boolean("additions", False, "Whether to also add each part that it does not have.")
define_flags()

_PLAIN = Config()
# Flags of the recipe without a part, by name. Parts that the recipe does not have are skipped.
WITHOUT = {
    "affine jitter": {"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "shear": 0.0},
    "elastic deformation": {"elastic": 0.0},
    "pixel dropout": {"pixel_dropout": 0.0},
    "row dropout": {"row_dropout": 0.0},
    "columns beside the rows": {"scan": "rows"},
    "dropout": {"dropout": 0.0},
    "variational dropout": {"recurrent_dropout": 0.0},
    "tied embeddings": {"tie_embeddings": False},
    "its optimizer and rate": {
        "optimizer": _PLAIN.optimizer,
        "learning_rate": _PLAIN.learning_rate,
    },
    "its schedule": {"schedule": "constant", "warmup": 0.0},
    "warm-up": {"warmup": 0.0},
    "weight decay": {"weight_decay": 0.0},
    "clipping": {"clip_norm": None},
    "label smoothing": {"label_smoothing": 0.0},
    "averaged weights": {"ema": None},
}
# Usual values of a part, for a recipe without it.
WITH = {
    "pixel dropout": {"pixel_dropout": 0.05},
    "row dropout": {"row_dropout": 0.05},
    "dropout": {"dropout": 0.1},
    "variational dropout": {"recurrent_dropout": 0.1},
    "AdamW": {"optimizer": "adamw", "learning_rate": _PLAIN.learning_rate},
    "warm-up": {"warmup": 0.05},
    "label smoothing": {"label_smoothing": 0.05},
    "averaged weights": {"ema": 0.998},
}

DECAYING = ("adamw", "muon")  # Optimizers with a default weight decay.


def main():
    """Make the missing runs, then print the table."""
    recipe = pathlib.Path(FLAGS.flag_file)
    config = read_flags(recipe)
    folder = pathlib.Path(FLAGS.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    names = {str(recipe): "the whole recipe"}
    changes = {f"without {part}": values for part, values in _removals(config).items()}
    if FLAGS.additions:
        changes |= {f"with {part}": values for part, values in _additions(config).items()}
    for name, values in changes.items():
        path = folder / f"{recipe.stem}-{name.replace(' ', '-')}.flags"
        path.write_text(format_flags(dataclasses.replace(config, **values)))
        names[str(path)] = name
    runs = finished_runs(list(names), FLAGS.seeds)
    print(f"{machine()}, {FLAGS.jobs} runs in parallel\n")
    name, unit = ("perplexity", "") if _is_of_text(config) else ("accuracy", " %")
    print(f"| recipe | validation | test {name}, mean ± sd | each seed | difference |")
    print("| --- | ---: | ---: | --- | ---: |")
    whole = None
    for path, folders in runs.items():
        values, validations = _results(config, folders)
        spread, each = spread_of(values)
        mean = statistics.mean(values)
        whole = mean if whole is None else whole
        difference = "" if path == str(recipe) else f"{mean - whole:+.2f}"
        validation = f"{statistics.mean(validations):.2f}{unit}"
        print(f"| {names[path]} | {validation} | {spread}{unit} | {each} | {difference} |")


def _results(config, folders):
    """The test results of runs, and their validation results after the last epoch."""
    tests = [metrics["test"] for metrics in metrics_of(folders)]
    epochs = [Run(folder).history()[-1] for folder in folders]
    if _is_of_text(config):
        return [t["perplexity"] for t in tests], [math.exp(e["val_loss"]) for e in epochs]
    return [100 * t["accuracy"] for t in tests], [100 * e["val_accuracy"] for e in epochs]


def _is_of_text(config):
    return kind_of(config.dataset).answers == "next_token"


def _removals(config):
    """The parts of a config that can be removed: `WITHOUT`, and the backward direction."""
    forward = {"model": config.model.removeprefix("bidirectional_")}
    removals = WITHOUT | {"backward direction": forward}
    has = dataclasses.asdict(config)
    if config.weight_decay is None and config.optimizer in DECAYING:
        has["weight_decay"] = "the optimizer's own"
    return {
        part: values
        for part, values in removals.items()
        if any(has[name] not in (value, None) for name, value in values.items())
    }


def _additions(config):
    """The parts in `WITH` that a config does not have; a constant rate has no warm-up."""
    has = {*_removals(config), "warm-up" if config.schedule == "constant" else None}
    return {
        part: values
        for part, values in WITH.items()
        if part not in has and config.optimizer != values.get("optimizer")
    }


if __name__ == "__main__":
    run_script(main)
