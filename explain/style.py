"""What all figures share."""

import pathlib

import numpy as np

from configs import UserError

# Told apart by their dashes too, where there is no colour. Colours: M. Okabe and K. Ito, Color
# Universal Design, 2008, https://jfly.uni-koeln.de/color/.
STYLES = [
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#E69F00", (0, (5, 1, 1, 1, 1, 1))),
    ("#56B4E9", (0, (8, 3))),
    ("#000000", (0, (1, 3))),
]
MARKS = ["", "o", "s", "^", "x"]  # For those beyond these.


def expect_picture(path):
    """`UserError` if no picture can be written to a path; told before it is computed."""
    path = pathlib.Path(path)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise UserError(
            f"--picture={path}: received the ending {path.suffix!r}; expected a name that ends in "
            ".png, .svg or .pdf"
        )
    if not path.parent.is_dir():
        raise UserError(
            f"--picture={path}: the folder {path.parent} does not exist; expected one that does: "
            "make it, or choose another"
        )


def draw_by_class(axes, values, classes, label, **options):
    """A heat map with a row for each class, its colours explained beside it.

    Args:
        axes: Where to draw it.
        values: `(classes, columns)`; the columns are numbered from 1.
        classes: The names of the rows.
        label: What the colours stand for, with its unit.
        **options: Of `Axes.imshow`, such as `vmin`, and of `Figure.colorbar`: `orientation`.
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
