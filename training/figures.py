"""Pictures of a finished run."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator


def draw_curves(history, task):
    """Loss and score against the epoch, from a run's history.

    Args:
        history: A list with a dict of each epoch's metrics by name.
        task: The `Task` of the run.
    """
    figure, panels = _curve_panels(task)
    for axes, metric in panels:
        epochs = range(1, len(history) + 1)
        for name, label, style in [
            (metric, "training", "o-"),
            (f"val_{metric}", "validation", "s--"),
        ]:
            if name in history[0]:
                axes.plot(epochs, [logs[name] for logs in history], style, label=label)
        axes.legend()
    return figure


def draw_comparison(histories, task):
    """Loss and score of several runs of one task against the epoch, from their histories by name.

    The values on the validation examples are drawn; without any, those on the training examples.
    """
    figure, panels = _curve_panels(task)
    markers = "osv^D*PX"
    validated = all("val_loss" in history[0] for history in histories.values())
    for axes, metric in panels:
        name = f"val_{metric}" if validated else metric
        for number, (run, history) in enumerate(histories.items()):
            values = [logs[name] for logs in history]
            marker = markers[number % len(markers)]
            axes.plot(range(1, len(values) + 1), values, marker=marker, markersize=4, label=run)
        axes.set_title(f"{'validation' if validated else 'training'} {axes.get_title()}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _curve_panels(task):
    """A figure, and for loss and score the axes and the metric's name."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, score = figure.subplots(1, 2)
    loss.set(title="loss", ylabel=task.loss_name)
    score.set(title=task.score_name)
    score.yaxis.set_major_formatter(FuncFormatter(lambda value, _: task.show(value)))
    for axes in (loss, score):
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    return figure, [(loss, "loss"), (score, task.metric)]
