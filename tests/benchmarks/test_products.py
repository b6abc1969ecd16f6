"""Products with a random matrix, compared with theory."""

import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from benchmarks import products
from tests.conftest import PROJECT


@pytest.mark.parametrize("singular_value", [0.9, 1.0, 1.1])
def test_a_product_grows_by_its_singular_value(singular_value):
    lengths = products.multiply(singular_value, steps=50, units=7, seed=3)
    np.testing.assert_allclose(lengths, singular_value ** np.arange(51.0), rtol=1e-10)


@pytest.mark.parametrize("singular_value", [0.9, 1.0, 1.1])
def test_tanh_only_shortens(singular_value):
    squashed = products.multiply(singular_value, steps=50, units=7, squash=np.tanh, seed=3)
    assert (squashed[1:] < products.multiply(singular_value, 50, 7, seed=3)[1:]).all()
    assert squashed[-1] < 7**0.5


def test_the_figure_is_written_to_the_given_file(tmp_path):
    command = [sys.executable, "-m", "benchmarks.products", f"--picture={tmp_path}/a.png"]
    subprocess.run(command, cwd=PROJECT, check=True)
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05
