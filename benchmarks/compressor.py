"""Runs of the history compressor that solve its task, and the automatizer alone.

    python -m benchmarks.compressor --jobs=2 --picture=docs/before/compressor.png

Each run is the program itself, `python main.py --flagfile=... --seed=...`. Finished runs are not
repeated. A run has solved the task if at least 99 % of its answers to test blocks are right. The
figure shows what the automatizer of the first run passes up, early in the training and at its end.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags
from matplotlib.figure import Figure

import datasets
from benchmarks import machine
from benchmarks.runs import finished_runs, metrics_of
from benchmarks.trainings import finished_training
from configs import define_flags, define_path, format_flags, read_flags, run_script
from tasks import task_of
from training.run import Run

FLAGS = flags.FLAGS
RECIPE = "configs/lags/compressor.flags"
SOLVED = 0.99
# Other settings, each compared in a few runs: its name, and how it differs.
OTHERS = {
    "basic RNN": {"model": "basic_rnn"},
    "history compressor, random symbols": {"dataset": "random_blocks"},
}


def main():
    """Make the missing runs, print the table, draw the figure."""
    recipe = read_flags(RECIPE)
    folder = pathlib.Path(FLAGS.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    runs = {"history compressor": finished_runs([RECIPE], FLAGS.seeds)[RECIPE]}
    for name, values in OTHERS.items():
        path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.flags"
        path.write_text(format_flags(dataclasses.replace(recipe, **values)))
        runs[name] = finished_runs([str(path)], FLAGS.other_seeds)[str(path)]
    print(f"{machine()}\n")
    print("| network | solved | right answers (%), each run | automatizer alone |")
    print("| --- | ---: | ---: | ---: |")
    for name, folders in runs.items():
        scores = [metrics["test"]["score"] for metrics in metrics_of(folders)]
        print(
            f"| {name} | {_solved(scores)} | {_percent(scores)} | {_alone(folders)} |", flush=True
        )
    draw(folder, recipe, runs["history compressor"][0]).savefig(FLAGS.picture, dpi=150)
    print(f"done: {FLAGS.picture}")


def _solved(scores):
    return f"{sum(score >= SOLVED for score in scores)} of {len(scores)}"


def _percent(scores):
    return ", ".join(f"{100 * score:.1f}" for score in scores)


def _alone(folders):
    """The right answers of the automatizers alone, or a dash for other networks."""
    from models import automatizer_alone

    if Run(folders[0]).config().model != "history_compressor":
        return "–"
    scores = []
    for run in map(Run, folders):
        model = run.load_model()
        task = task_of(run.spec(model), run.config())
        test = datasets.load(run.config()).test
        scores.append(task.evaluate(automatizer_alone(model), test).score)
    return f"{_solved(scores)}: {_percent(scores)}"


def unexpected(run):
    """How often each symbol of a block was unexpected in the test: a list of fractions."""
    from models import trace

    config = run.config()
    sequences = datasets.load(config).test.inputs[:200]
    passed_up = np.asarray(trace(run.load_model(), sequences)["unexpected"])[..., 0]
    blocks = passed_up.reshape(len(sequences), -1, config.length + 1)
    return blocks[:, 1:].mean(axis=(0, 1))  # The first block follows states of 0.


def draw(folder, recipe, last):
    """Draw how often each symbol of a block goes up, after some steps of the training.

    Args:
        folder: The folder of the runs.
        recipe: The `Config` of the recipe.
        last: The folder of a run that is finished.
    """
    runs = {}
    for steps in FLAGS.stages:
        config = dataclasses.replace(recipe, steps=steps, schedule="constant")
        runs[steps], _ = finished_training(config, folder / f"stage-{steps}")
    runs[Run(last).metrics()["training"]["steps"]] = Run(last)
    read = [steps * recipe.steps_per_batch // (recipe.length + 1) for steps in runs]
    figure = Figure(figsize=(7, 0.9 + 0.4 * len(runs)), layout="constrained")
    axes = figure.subplots()
    shares = [unexpected(run) for run in runs.values()]
    image = axes.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set(xlabel="symbol of the block", ylabel="blocks read in training")
    axes.set_xticks(range(0, recipe.length + 1, 2))
    axes.set_yticks(range(len(read)), [f"{blocks:,}" for blocks in read])
    figure.colorbar(image, label="share that goes up")
    return figure


if __name__ == "__main__":
    FLAGS.set_default("seeds", 17)
    FLAGS.set_default("results_dir", "runs/compressor")
    flags.DEFINE_integer("other_seeds", 3, "Runs of each other setting.", 1)
    stages = [50, 100, 150, 200, 300]
    flags.DEFINE_multi_integer("stages", stages, "Steps of the training for the figure.", 1)
    define_path("picture", "compressor.png", "File of the figure: .png, .svg or .pdf.")
    define_flags()
    run_script(main)
