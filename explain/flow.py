"""How far back the gradients of several networks reach, before and after their training.

    python -m explain.flow --runs=runs/lstm,runs/basic_rnn --picture=docs/memory/gradients.png

Beside them stand the largest singular values of the recurrent matrices: as long as those stay well
below 1, what a plain recurrent network passes back fades by as much with every step.
"""

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from configs import define_path, define_paths, run_script
from explain.chosen import chosen
from explain.style import STYLES, expect_picture

FLAGS = flags.FLAGS
WHEN = ("untrained", "trained")


def measure(subject, split):
    """What `draw` shows of a `Subject`, before and after its training.

    Returns:
        Two dicts: `hidden` and `inputs`, the norms of the gradients of `explain.gradients.norms`
        with respect to the last layer's states (of two directions, the forward one's) and to the
        inputs, `(steps,)`; `singular_values`, the largest of each block of the recurrent matrices;
        and `first_ink`, what the function of that name returns.
    """
    from explain import gradients

    found, start = [], first_ink(subject.model, split)
    for model in (subject.untrained(), subject.model):
        norms = gradients.norms(model, split)
        inputs = norms.pop("inputs")
        blocks = gradients.largest_singular_values(model).values()
        sizes = [size for of_weight in blocks for size in of_weight]
        found.append(
            {
                "hidden": [norms[name] for name in norms if not name.startswith("backward")][-1],
                "inputs": inputs,
                "singular_values": sizes,
                "first_ink": start,
            }
        )
    return found


def first_ink(model, split):
    """The first step, from 1, at which a network has met ink in more than half of the images.

    Before it there is next to nothing to remember.
    """
    sequences = np.asarray(model.get_layer("scan")(split.inputs))
    has_met = np.maximum.accumulate(sequences.any(axis=-1), axis=1)
    return int((has_met.mean(axis=0) > 0.5).argmax()) + 1


def draw(found):
    """Gradients against the step, on logarithmic axes, and the largest singular values.

    Args:
        found: By the name of a network what `measure` returns.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 3, width_ratios=[1, 1, 0.7], sharex="col")
    # Of networks that permute the pixels in their own ways each has its own.
    starts = {pair[0]["first_ink"] for pair in found.values()}
    last = max(of["hidden"][-1] for pair in found.values() for of in pair)
    for row, (what, symbol) in enumerate([("hidden", "h(t)"), ("inputs", "x(t)")]):
        for column, when in enumerate(WHEN):
            axes = panels[row, column]
            for (name, pair), (colour, dashes) in zip(found.items(), STYLES, strict=False):
                values = np.where(pair[column][what] > 0, pair[column][what], np.nan)
                steps = range(1, len(values) + 1)
                axes.plot(steps, values, color=colour, linestyle=dashes, label=name)
            axes.set(yscale="log", title=f"∂loss/∂{symbol}, {when}")
            # What has become smaller is no signal to anyone.
            axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-12 * last))
            axes.grid(alpha=0.3)
            for start in starts:
                axes.axvline(start, color="black", linewidth=0.8)
        panels[row, 0].set_ylabel("mean norm of the gradient")
    for axes in panels[1, :2]:
        axes.set_xlabel("step t")
    for row, when in enumerate(WHEN):
        axes = panels[row, 2]
        for place, (pair, (colour, _)) in enumerate(zip(found.values(), STYLES, strict=False)):
            sizes = pair[row]["singular_values"]
            axes.plot(sizes, len(sizes) * [place], "o", color=colour, fillstyle="none")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set(title=f"singular values, {when}", ylim=(len(found) - 0.5, -0.5))
        axes.set_yticks(range(len(found)), list(found))
        axes.grid(alpha=0.3)
    panels[1, 2].set_xlabel("largest of each recurrent matrix")
    panels[0, 0].plot([], [], color="black", linewidth=0.8, label="ink in half the images")
    handles = panels[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(found) + 1)
    return figure


def main():
    """Measure, and draw the picture."""
    expect_picture(FLAGS.picture)
    same = ["dataset", "scan"]
    runs, test = chosen("--runs", FLAGS.runs, same, FLAGS.data_dir, FLAGS.mnist_dir)
    from explain.explanation import Subject  # TensorFlow takes its seconds.

    found = {}
    for name, run, config in runs:
        print(f"follow the gradients of {name}", flush=True)
        found[name] = measure(Subject(name, run.load_model(), config), test[: FLAGS.images])
    print(
        "| network | step with ink | its gradient to the last, untrained | trained "
        "| largest singular value | trained |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, pair in found.items():
        start = pair[0]["first_ink"]
        ratios = [f"{of['hidden'][start - 1] / of['hidden'][-1]:.1e}" for of in pair]
        sizes = [f"{max(of['singular_values']):.2f}" for of in pair]
        print(f"| {name} | {start} | {' | '.join(ratios + sizes)} |")
    draw(found).savefig(FLAGS.picture, dpi=150)
    print(f"done: see {FLAGS.picture}")


if __name__ == "__main__":
    define_paths("runs", [], "Folders of finished runs on one dataset, separated by commas.")
    flags.DEFINE_integer("images", 200, "Number of test images.", 1)
    define_path("data_dir", None, "Where TFDS keeps datasets (default: as the runs had it).")
    define_path("mnist_dir", None, "Folder of MNIST's four files (default: as the runs had it).")
    define_path("picture", "flow.png", "Where the picture is written; .svg for vectors.")
    run_script(main)
