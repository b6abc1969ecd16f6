"""Why gradients vanish or explode: a vector multiplied by a matrix again and again.

    python -m benchmarks.products --picture=docs/memory/products.png

Source: R. Pascanu, T. Mikolov and Y. Bengio, On the Difficulty of Training Recurrent Neural
Networks, 2013, https://arxiv.org/abs/1211.5063.
"""

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from configs import define_path, run_script
from explain.style import STYLES, expect_picture

FLAGS = flags.FLAGS
UNITS, STEPS, SINGULAR_VALUES = 64, 100, (0.9, 1.0, 1.1)


def multiply(singular_value, steps=STEPS, units=UNITS, squash=lambda x: x, seed=0):
    """Compute the norm of a random unit vector after each product with a random matrix.

    Args:
        singular_value: Value of all singular values: the matrix is orthogonal, times this value.
        steps: Number of products.
        units: Size of the vector.
        squash: Function applied to every product.
        seed: Seed of vector and matrix.

    Returns:
        `float64 (steps + 1,)`. Without `squash`, the singular value to the power of the step.
    """
    random = np.random.default_rng(seed)
    orthogonal, _ = np.linalg.qr(random.normal(size=(units, units)))
    x = random.normal(size=units)
    x /= np.linalg.norm(x)
    lengths = [1.0]
    for _ in range(steps):
        x = squash(singular_value * orthogonal @ x)
        lengths.append(np.linalg.norm(x))
    return np.array(lengths)


def draw():
    """Draw norms against the number of products, for singular values below, at and above 1."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, squash, title in [
        (panels[0], lambda x: x, "x ← W x"),
        (panels[1], np.tanh, "x ← tanh(W x)"),
    ]:
        for singular_value, (colour, dashes) in zip(SINGULAR_VALUES, STYLES, strict=False):
            lengths = multiply(singular_value, squash=squash)
            label = f"all singular values {singular_value}"
            axes.plot(lengths, color=colour, linestyle=dashes, label=label)
            theory = float(singular_value) ** np.arange(0, STEPS + 1, 10)
            axes.plot(range(0, STEPS + 1, 10), theory, "x", color=colour)
        axes.set(title=title, xlabel="products", yscale="log")
        axes.grid(alpha=0.3)
    panels[0].plot([], [], "x", color="grey", label="theory without tanh: singular value$^t$")
    panels[0].set_ylabel("length of x")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2)
    return figure


def main():
    """Draw the picture."""
    expect_picture(FLAGS.picture)
    draw().savefig(FLAGS.picture, dpi=150)
    print(f"done: see {FLAGS.picture}")


if __name__ == "__main__":
    define_path("picture", "products.png", "File of the figure: .png, .svg or .pdf.")
    run_script(main)
