"""Colours, line styles and helpers of all figures."""

import pathlib

import numpy as np

from configs import UserError

# Dashes distinguish the lines without colour, too. Colours: M. Okabe and K. Ito, Color Universal
# Design, 2008, https://jfly.uni-koeln.de/color/.
STYLES = [
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#E69F00", (0, (5, 1, 1, 1, 1, 1))),
    ("#56B4E9", (0, (8, 3))),
    ("#000000", (0, (1, 3))),
]
MARKS = ["", "o", "s", "^", "x"]  # For repeated styles.


def expect_picture(path):
    """Raise `UserError` if no picture can be written to a path. Called before the computation."""
    path = pathlib.Path(path)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise UserError(
            f"--picture={path}: received the ending {path.suffix!r}; expected a name that ends in "
            ".png, .svg or .pdf"
        )
    if not path.parent.is_dir():
        raise UserError(
            f"--picture={path}: the folder {path.parent} does not exist; expected an existing "
            "folder: create it, or choose another"
        )


def draw_by_class(axes, values, classes, label, **options):
    """Draw a heat map with a row for each class, and a colour bar.

    Args:
        axes: The axes to draw on.
        values: `(classes, columns)`; the columns are numbered from 1.
        classes: The names of the rows.
        label: The quantity that the colours show, with its unit.
        **options: `orientation` of `Figure.colorbar`; others, such as `vmin`, of `Axes.imshow`.
    """
    bar = {"orientation": options.pop("orientation", "vertical")}
    if bar["orientation"] == "horizontal":
        bar["aspect"] = 14
    heat = axes.imshow(
        values,
        cmap="cividis",
        aspect="auto",
        extent=(0.5, np.shape(values)[1] + 0.5, len(classes) - 0.5, -0.5),
        interpolation="none",
        **options,
    )
    axes.set_yticks(range(len(classes)), classes)
    axes.figure.colorbar(heat, ax=axes, label=label, **bar)
