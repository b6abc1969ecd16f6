"""How long each cell can remember: its error on long-lag tasks, against the lag.

    python -m explain.lags --results_dir=runs/lags

Each cell gets the same number of examples and of units. What is finished already is not repeated.
"""

import csv
import io
import pathlib

import keras
import numpy as np
from absl import flags
from matplotlib.figure import Figure

import datasets
from configs import Config, UserError, define_path, run_script
from configs.option import did_you_mean
from datasets.lags import TASKS
from explain.style import STYLES
from models import CELLS, FastRNN
from training.files import atomic_write

FLAGS = flags.FLAGS
_SETTINGS = ("units", "updates", "batch_size", "learning_rate", "seed", "dataset")
_MARKERS = "osv^DP*"
_COLUMNS = ("task", "cell", "lag", *_SETTINGS, "error")


def learn(cell, task, lag, digits, units, updates, batch_size, learning_rate, seed):
    """Have a cell learn a task, and return its error on 1,000 other examples.

    Args:
        cell: A name in `models.CELLS`.
        task: A `Task`.
        lag: In steps.
        digits: A `Dataset`; `first_row` is made of its training and of its test images.
        units: Size of the hidden state.
        updates: How many batches are learnt from, each seen once.
        batch_size: Sequences in a batch.
        learning_rate: Of Adam, with gradients clipped to a global norm of 1.
        seed: Of the first weights and of the sequences.
    """
    random = np.random.default_rng((seed, lag))
    tests, answers = task.generate(lag, 1000, random, digits.test.images)
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(tests.shape[1:]),
            FastRNN(CELLS[cell](units)),
            keras.layers.Dense(task.outputs),
        ]
    )
    loss = keras.losses.get(task.loss)
    options = {} if task.loss == "mean_squared_error" else {"from_logits": True}
    model.compile(
        keras.optimizers.Adam(learning_rate, global_clipnorm=1.0),
        loss=lambda targets, outputs: loss(targets, outputs, **options),
    )
    for _ in range(updates):
        model.train_on_batch(*task.generate(lag, batch_size, random, digits.train.images))
    return task.error(model.predict(tests, batch_size=200, verbose=0), answers)


def draw(rows):
    """Error against lag, of each cell, in a panel for each task; `rows` as in `lags.csv`.

    The cells stand a little beside each other, that none hides another. What is no number is a
    cross at the top.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    figure = Figure(figsize=(1 + 3.6 * len(tasks), 4.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(tasks)))
    has_exploded = False
    for axes, task in zip(panels, tasks, strict=True):
        for number, cell in enumerate(cells):
            colour, dashes = STYLES[number % len(STYLES)]
            points = sorted(
                (int(row["lag"]), float(row["error"]))
                for row in rows
                if (row["task"], row["cell"]) == (task, cell)
            )
            lags, errors = np.array(points).reshape(-1, 2).T
            lags = lags * 1.06 ** (number - (len(cells) - 1) / 2)
            marker = {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 5}
            axes.plot(lags, errors, color=colour, linestyle=dashes, label=cell, **marker)
            nan = lags[np.isnan(errors)]
            if len(nan):
                has_exploded = True
                top = {"transform": axes.get_xaxis_transform(), "clip_on": False}
                axes.plot(nan, np.ones(len(nan)), "x", color=colour, markeredgewidth=2, **top)
        axes.set(title=task.replace("_", " "), xlabel="lag (steps)", ylabel=TASKS[task].unit)
        axes.set(xscale="log")
        axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])  # So that what is 0 is seen.
        axes.grid(alpha=0.3)
    if has_exploded:
        panels[0].plot([], [], "x", color="grey", markeredgewidth=2, label="no number")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]))
    return figure


def print_table(rows):
    """Error of each cell at each lag, a table for each task; `rows` as in `lags.csv`."""
    errors = {(row["task"], row["cell"], row["lag"]): row["error"] for row in rows}
    tasks, cells, lags = (dict.fromkeys(row[key] for row in rows) for key in _COLUMNS[:3])
    lags = sorted(lags, key=int)
    for task in tasks:
        print(f"\n| {task}: {TASKS[task].unit} | {' | '.join(lags)} |")
        print(f"| --- |{' ---: |' * len(lags)}")
        for cell in cells:
            found = [errors.get((task, cell, lag), "") for lag in lags]
            print(f"| {cell} | {' | '.join(found)} |")


def main():
    """Learn what is missing, then print the table and draw it."""
    unknown = [cell for cell in FLAGS.cells if cell not in CELLS]
    if unknown or not FLAGS.cells:
        hint = did_you_mean(unknown[0], CELLS) if unknown else ""
        raise UserError(
            f"--cells: received {', '.join(unknown) or 'none'}; expected names among "
            f"{', '.join(CELLS)}{hint}"
        )
    wrong = [lag for lag in FLAGS.lags if not lag.isdecimal() or int(lag) < 10]
    if wrong or not FLAGS.lags:
        raise UserError(
            f"--lags: received {', '.join(wrong) or 'none'}; expected integers, each at least 10"
        )
    places = {"data_dir": FLAGS.data_dir, "mnist_dir": FLAGS.mnist_dir}
    digits = datasets.load(Config(dataset=FLAGS.dataset, **places))
    settings = {name: FLAGS[name].value for name in _SETTINGS} | {"dataset": digits.name}
    folder = pathlib.Path(FLAGS.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lags.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text()))) if path.is_file() else []
    for name, value in settings.items():
        if any(row.get(name) != str(value) for row in rows):
            raise UserError(
                f"--{name}={value}: {path} was made with --{name}={rows[0].get(name)}; "
                "expected the same, or another --results_dir"
            )
    done = {(row["task"], row["cell"], row["lag"]) for row in rows}
    options = {name: value for name, value in settings.items() if name != "dataset"}
    for lag in FLAGS.lags:
        for task in FLAGS.tasks:
            for cell in FLAGS.cells:
                if (task, cell, lag) in done:
                    continue
                error = learn(cell, TASKS[task], int(lag), digits, **options)
                row = {"task": task, "cell": cell, "lag": lag, "error": f"{error:.4f}"}
                rows.append(row | settings)
                print(f"{task}, {cell}, lag {lag}: {TASKS[task].unit} {error:.4f}", flush=True)
                with atomic_write(path) as aside, aside.open("w", newline="") as file:
                    writer = csv.DictWriter(file, _COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
    print_table(rows)
    for suffix in ("png", "svg"):
        draw(rows).savefig(folder / f"lags.{suffix}", dpi=150)
    print(f"done: see {folder}")


if __name__ == "__main__":
    flags.DEFINE_multi_enum("tasks", list(TASKS), list(TASKS), "Tasks to learn.")
    flags.DEFINE_list(
        "cells",
        ["basic_rnn", "irnn", "lstm_1997", "custom_lstm", "peephole_lstm", "cifg_lstm", "gru"],
        "Cells to compare.",
    )
    flags.DEFINE_list("lags", ["10", "30", "100", "300", "1000"], "Lags to learn, in steps.")
    flags.DEFINE_integer("units", 64, "Size of the hidden state.", 1)
    flags.DEFINE_integer("updates", 2000, "Number of training batches.", 1)
    flags.DEFINE_integer("batch_size", 50, "Sequences in a batch.", 1)
    flags.DEFINE_float("learning_rate", 0.001, "Learning rate of Adam.")
    flags.DEFINE_integer("seed", 0, "Seed of the first weights and of the sequences.", 0)
    flags.DEFINE_string("dataset", "auto", "Dataset of the digits in the task first_row.")
    define_path("data_dir", None, "Where TFDS keeps prepared datasets.")
    define_path("mnist_dir", Config().mnist_dir, "Folder of MNIST's four files.")
    define_path("results_dir", "runs/lags", "Where lags.csv and lags.png are written.")
    run_script(main)
