"""How far back in time the gradients of several networks reach, before and after training.

    python -m benchmarks.flow --runs=runs/lstm,runs/basic_rnn --picture=docs/memory/gradients.png

The figure also shows the largest singular values of the recurrent matrices. If they are below 1,
the gradient of a basic RNN shrinks by at least this factor at every step.
"""

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from configs import UserError, define_path, define_paths, run_script
from configs.scopes import kind_of
from explain.chosen import chosen
from explain.style import STYLES, expect_picture

FLAGS = flags.FLAGS
WHEN = ("untrained", "trained")


def measure(subject, split):
    """Compute what `draw` shows of a `Subject`, before and after its training.

    Returns:
        A dict before training, and one after. `hidden` and `inputs` are the gradient norms of
        `explain.gradients.norms` with respect to the last layer's states (those of the forward
        direction, if there are two) and to the inputs, `(steps,)`. `singular_values` are the
        largest of each block of the recurrent matrices. `first_ink` is the result of that function.
    """
    from explain import gradients

    measures, start = [], first_ink(subject.model, split)
    for model in (subject.untrained(), subject.model):
        norms = gradients.norms(subject.task, model, split)
        inputs = norms.pop("inputs")
        blocks = gradients.largest_singular_values(model).values()
        sizes = [size for of_weight in blocks for size in of_weight]
        measures.append(
            {
                "hidden": [norms[name] for name in norms if not name.startswith("backward")][-1],
                "inputs": inputs,
                "singular_values": sizes,
                "first_ink": start,
            }
        )
    return measures


def first_ink(model, split):
    """Find the first step, counted from 1, by which more than half of the images have had ink.

    Before it there is almost nothing to remember.
    """
    sequences = np.asarray(model.get_layer("scan")(split.inputs))
    has_had_ink = np.maximum.accumulate(sequences.any(axis=-1), axis=1)
    return int((has_had_ink.mean(axis=0) > 0.5).argmax()) + 1


def draw(results):
    """Draw gradient norms against the step, on logarithmic axes, and singular values.

    Args:
        results: Results of `measure` by the name of the network.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 3, width_ratios=[1, 1, 0.7], sharex="col")
    # Networks that permute the pixels differently have different first steps with ink.
    starts = {pair[0]["first_ink"] for pair in results.values()}
    last = max(measures["hidden"][-1] for pair in results.values() for measures in pair)
    for row, (variable, symbol) in enumerate([("hidden", "h(t)"), ("inputs", "x(t)")]):
        for column, when in enumerate(WHEN):
            axes = panels[row, column]
            for (name, pair), (colour, dashes) in zip(results.items(), STYLES, strict=False):
                norms = pair[column][variable]
                values = np.where(norms > 0, norms, np.nan)
                steps = range(1, len(values) + 1)
                axes.plot(steps, values, color=colour, linestyle=dashes, label=name)
            axes.set(yscale="log", title=f"∂loss/∂{symbol}, {when}")
            # Smaller gradients do not matter.
            axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-12 * last))
            axes.grid(alpha=0.3)
            for start in starts:
                axes.axvline(start, color="black", linewidth=0.8)
        panels[row, 0].set_ylabel("mean norm of the gradient")
    for axes in panels[1, :2]:
        axes.set_xlabel("step t")
    for row, when in enumerate(WHEN):
        axes = panels[row, 2]
        for height, (pair, (colour, _)) in enumerate(zip(results.values(), STYLES, strict=False)):
            sizes = pair[row]["singular_values"]
            axes.plot(sizes, len(sizes) * [height], "o", color=colour, fillstyle="none")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set(title=f"singular values, {when}", ylim=(len(results) - 0.5, -0.5))
        axes.set_yticks(range(len(results)), list(results))
        axes.grid(alpha=0.3)
    panels[1, 2].set_xlabel("largest of each recurrent matrix")
    panels[0, 0].plot([], [], color="black", linewidth=0.8, label="ink in half of the images")
    handles = panels[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(results) + 1)
    return figure


def main():
    """Compute the gradients, print the table and draw the figure."""
    expect_picture(FLAGS.picture)
    same = ["dataset", "scan"]
    runs, test = chosen("--runs", FLAGS.runs, same, FLAGS.data_dir, FLAGS.mnist_dir)
    _, run, config = runs[0]
    if kind_of(config.dataset).reads != "images":
        raise UserError(
            f"--runs: {run.folder} was trained with --dataset={config.dataset}, which does not "
            "have images; expected runs that were trained on images, as those of --dataset=mnist"
        )
    from explain.explanation import Subject  # Importing TensorFlow takes seconds.

    results = {}
    for name, run, config in runs:
        print(f"compute the gradients of {name}", flush=True)
        results[name] = measure(Subject(name, run.load_model(), config), test[: FLAGS.images])
    print(
        "| network | step with ink | gradient ratio, untrained | trained "
        "| largest singular value, untrained | trained |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, pair in results.items():
        start = pair[0]["first_ink"]
        ratios = [f"{m['hidden'][start - 1] / m['hidden'][-1]:.1e}" for m in pair]
        sizes = [f"{max(m['singular_values']):.2f}" for m in pair]
        print(f"| {name} | {start} | {' | '.join(ratios + sizes)} |")
    draw(results).savefig(FLAGS.picture, dpi=150)
    print(f"done: see {FLAGS.picture}")


if __name__ == "__main__":
    define_paths("runs", [], "Folders of finished runs on one dataset, separated by commas.")
    flags.DEFINE_integer("images", 200, "Number of test images.", 1)
    define_path("data_dir", None, "Where TFDS keeps datasets (default: as in the runs).")
    define_path("mnist_dir", None, "Folder of MNIST's four files (default: as in the runs).")
    define_path("picture", "flow.png", "File of the figure: .png, .svg or .pdf.")
    run_script(main)
