"""A figure of answers that are many probabilities."""


def draw_panels(title, targets, probabilities, rows, columns):
    """Draw targets and a model's probabilities side by side.

    Args:
        title: The title. Each part after a comma is a line of its own.
        targets, probabilities: `(rows, columns)`, 0 to 1.
        rows, columns: What one of them is.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title.replace(", ", "\n"), fontsize=10)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, values in zip(
        panels, ("target", "probability"), (targets, probabilities), strict=True
    ):
        shown = axes.imshow(values, cmap="gray_r", vmin=0, vmax=1, aspect="auto")
        axes.set(title=name, xlabel=columns)
    panels[0].set_ylabel(rows)
    figure.colorbar(shown, ax=panels)
    return figure
