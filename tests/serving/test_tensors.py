"""Arrays made of JSON, beside NumPy's."""

import numpy as np
import pytest

from serving.errors import RequestError
from serving.signature import Spec
from serving.tensors import from_json
from tests.serving.conftest import images

SPEC = Spec("rows", np.dtype("float32"), (None, 28, 28))
IMAGES = images(3).tolist()


def with_pixel(value):
    changed = images(3).tolist()
    changed[1][27][13] = value
    return changed


@pytest.mark.parametrize("pixel", [0, 255, 256, -1, 2**63, 0.5, 1e300])
@pytest.mark.parametrize("may_hold_booleans", [True, False])
def test_numbers_stay_what_they_are(pixel, may_hold_booleans):
    array = from_json(SPEC, with_pixel(pixel), may_hold_booleans)
    np.testing.assert_array_equal(array, np.array(with_pixel(pixel)))


@pytest.mark.parametrize("value", [None, "7", True, [7], {}, {"7": 7}])
def test_other_values_are_refused(value):
    with pytest.raises(RequestError, match="expected"):
        SPEC.check(from_json(SPEC, with_pixel(value)), most_rows=3)


@pytest.mark.parametrize("row", [7, "7" * 28, {str(n): n for n in range(28)}, [7] * 27, [], None])
@pytest.mark.parametrize("may_hold_booleans", [True, False])
def test_other_rows_are_refused(row, may_hold_booleans):
    changed = images(3).tolist()
    changed[1][27] = row
    with pytest.raises(RequestError, match="lengths"):
        from_json(SPEC, changed, may_hold_booleans)


@pytest.mark.parametrize("shape", [(0,), (1, 0), (1, 28, 0), (2, 27, 28), (2, 28, 29), (28, 28)])
def test_other_shapes_are_kept_to_be_refused(shape):
    array = from_json(SPEC, np.zeros(shape, int).tolist(), may_hold_booleans=False)
    assert array.shape == shape
