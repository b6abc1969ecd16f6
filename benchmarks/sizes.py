"""Draw the training speed by the number of units and the batch size.

    python -m benchmarks.sizes --dataset=mnist

Ours as in `main.py`, Keras's own layers in `fit` and PyTorch's in a standard loop take turns.
"""

import dataclasses
import statistics

from absl import flags

from benchmarks import contest
from benchmarks.peers import trainers
from configs import config_from_flags, define_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_multi_integer("over_units", [32, 64, 128, 256, 512, 1024], "Numbers of units.", 1)
flags.DEFINE_multi_integer("over_batches", [32, 64, 128, 256, 512, 1024, 2048], "Batch sizes.", 1)
flags.DEFINE_integer("turn_steps", 60, "Steps in a turn, for 128 images and 128 units.", 1)
flags.DEFINE_string("picture", "docs/sizes.png", "File of the figure.")
define_flags()


def main():
    """Measure, draw the figure, write the JSON."""
    config = config_from_flags()
    contest.print_environment()
    results, measured = {}, {}
    for field, sizes in [("units", FLAGS.over_units), ("batch_size", FLAGS.over_batches)]:
        results[field] = {}
        for size in sizes:
            sized = dataclasses.replace(config, **{field: size})
            # About the same time for all sizes: the work of an image grows with the square of the
            # units.
            work = sized.batch_size / 128 * max(sized.units / 128, (sized.units / 128) ** 2)
            steps = max(1, round(FLAGS.turn_steps / work))
            if sized not in measured:  # One point is in both panels.
                contenders = trainers(sized, steps, ["Keras", "PyTorch"])
                measured[sized] = contest.contest(contenders)
            results[field][size] = measured[sized]
            print(f"{field} {size:5}", end="")
            for name, result in results[field][size].items():
                print(f"  {name} {contest.Spread(result['rates']):,.0f}", end="")
            print(flush=True)
    contest.write_json("sizes", results)
    labels = {
        "units": f"units, in batches of {config.batch_size}",
        "batch_size": f"batch, of {config.units} units",
    }
    _draw(results, labels).savefig(FLAGS.picture, dpi=150)
    print(f"picture: {FLAGS.picture}")


def _draw(results, labels):
    """Draw images per second, with a panel for each field and a band from minimum to maximum."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (field, sizes) in zip(figure.subplots(1, 2), results.items(), strict=True):
        for name in next(iter(sizes.values())):
            rates = [result[name]["rates"] for result in sizes.values()]
            (line,) = axes.plot([*sizes], [statistics.median(r) for r in rates], "o-", label=name)
            low, high = map(min, rates), map(max, rates)
            axes.fill_between([*sizes], [*low], [*high], alpha=0.2, color=line.get_color())
        axes.set(
            xscale="log",
            yscale="log",
            xlabel=labels[field],
            ylabel="images/s in training",
        )
        axes.set_xticks([*sizes], [f"{size:,}" for size in sizes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


if __name__ == "__main__":
    run_script(main)
