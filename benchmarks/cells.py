"""The experiments of `docs/cells.md`: every cell with the same budget, and its numerical error.

    python -m benchmarks.cells --jobs=2

Trains every flag file of `configs/cells/` and, on 784 pixels, of `configs/cells/pixels/` with
several seeds, measures how fast each cell trains, compares each cell with its oracles, and writes
the tables into the page. Finished runs are not repeated.
"""

import csv
import dataclasses
import pathlib
import statistics

from absl import flags

from benchmarks import contest, machine
from benchmarks.peers import train_ours
from benchmarks.runs import accuracy_of, finished_runs, metrics_of
from configs import UserError, define_flags, given_flags, read_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_string("folder", "configs/cells", "The flag files.")
flags.DEFINE_string("page", "docs/cells.md", "The page whose tables are replaced.")
flags.DEFINE_integer("turn_steps", 60, "Training steps in a turn.", 1)
flags.DEFINE_integer("pixels_seeds", 1, "Runs of each flag file on single pixels.", 1)
define_flags()


def main():
    """Make the missing runs, measure, and replace the tables of the page."""
    folder, page = pathlib.Path(FLAGS.folder), pathlib.Path(FLAGS.page)
    text = page.read_text()
    for name in ("rows", "pixels", "oracles"):
        _replace(text, name, "", page)  # Fails here, not after hours of training.
    from tests.models.oracles import table

    oracles = table()
    rows = finished_runs(_flag_files(folder), FLAGS.seeds)
    pixels = finished_runs(_flag_files(folder / "pixels"), FLAGS.pixels_seeds)
    text = _replace(text, "rows", _rows_table(rows), page)
    text = _replace(text, "pixels", _pixels_table(pixels), page)
    text = _replace(text, "oracles", oracles, page)
    page.write_text(text)
    print(f"done: see {page}")


def _replace(text, name, table, page):
    """Replace one table in the text of the page."""
    start, end = f"<!-- table: {name} -->\n", "<!-- end of table -->"
    before, found_start, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise UserError(
            f"{page}: the markers of the table {name} are missing; expected {start.strip()} before "
            f"it and {end} after it"
        )
    return before + start + table + end + after


def _flag_files(folder):
    return sorted(str(path) for path in folder.glob("*.flags") if path.stem != "recipe")


def _rows_table(runs):
    """Size, accuracy and speed of every cell, the most accurate first."""
    speeds = _speeds(runs)
    lines = []
    for flag_file, folders in runs.items():
        metrics, speed = metrics_of(folders), speeds[flag_file]
        accuracy, each = accuracy_of(metrics)
        line = (
            f"| {_link(flag_file)} | {metrics[0]['parameters']:,} | {accuracy} | {each} "
            f"| {statistics.median(speed):,.0f} ({min(speed):,.0f} to {max(speed):,.0f}) |\n"
        )
        lines.append((statistics.mean(m["test"]["accuracy"] for m in metrics), line))
    return (
        f"{machine()}; images/s: median of {FLAGS.turns} turns (min to max), all processors.\n\n"
        "| cell | parameters | test accuracy | each seed | images/s |\n"
        "| --- | ---: | ---: | --- | ---: |\n"
    ) + "".join(line for _, line in sorted(lines, reverse=True))


def _pixels_table(runs):
    """Accuracy on single pixels: the final one, and after each epoch."""
    lines = [
        "| cell | parameters | test accuracy | validation after each epoch (seed 0) | minutes |\n"
        "| --- | ---: | ---: | --- | ---: |\n"
    ]
    for flag_file, folders in runs.items():
        metrics = metrics_of(folders)
        with (folders[0] / "history.csv").open() as file:
            epochs = [100 * float(epoch["val_accuracy"]) for epoch in csv.DictReader(file)]
        minutes = statistics.mean(m["wall_seconds"] for m in metrics) / 60
        lines.append(
            f"| {_link(flag_file)} | {metrics[0]['parameters']:,} | {accuracy_of(metrics)[0]} "
            f"| {', '.join(f'{epoch:.1f}' for epoch in epochs)} | {minutes:.0f} |\n"
        )
    return "".join(lines)


def _link(flag_file):
    """A link to the flag file from a page in `docs/`."""
    return f"[`{pathlib.Path(flag_file).stem}`](../{flag_file})"


def _speeds(flag_files):
    """Images per second of training in each turn, by flag file."""
    work = {}
    for flag_file in flag_files:
        config = dataclasses.replace(read_flags(flag_file), **given_flags())
        work[flag_file] = train_ours(config, FLAGS.turn_steps)
    speeds = contest.take_turns(work)
    contest.write_json("cells", {"training images/s": speeds})
    return speeds


if __name__ == "__main__":
    run_script(main)
