"""Arrays from JSON, compared with NumPy's."""

import json

import numpy as np
import pytest
import tensorflow as tf

from serving.errors import RequestError
from serving.signature import Spec
from serving.tensors import from_json, from_proto, matrices_from_json
from tests.serving.conftest import images

SPEC = Spec("rows", np.dtype("float32"), (None, 28, 28))
IMAGES = images(3).tolist()


def with_pixel(value):
    changed = images(3).tolist()
    changed[1][27][13] = value
    return changed


@pytest.mark.parametrize("pixel", [0, 255, 256, -1, 2**63, 0.5, 1e300])
@pytest.mark.parametrize("may_hold_booleans", [True, False])
def test_numbers_keep_their_values(pixel, may_hold_booleans):
    array = from_json(SPEC, with_pixel(pixel), may_hold_booleans)
    np.testing.assert_array_equal(array, np.array(with_pixel(pixel)))


@pytest.mark.parametrize("value", [None, "7", True, [7], {}, {"7": 7}])
def test_other_values_are_refused(value):
    with pytest.raises(RequestError, match="expected"):
        SPEC.check(from_json(SPEC, with_pixel(value)), max_rows=3)


@pytest.mark.parametrize("row", [7, "7" * 28, {str(n): n for n in range(28)}, [7] * 27, [], None])
@pytest.mark.parametrize("may_hold_booleans", [True, False])
def test_other_rows_are_refused(row, may_hold_booleans):
    changed = images(3).tolist()
    changed[1][27] = row
    with pytest.raises(RequestError, match="lengths"):
        from_json(SPEC, changed, may_hold_booleans)


@pytest.mark.parametrize("shape", [(0,), (1, 0), (1, 28, 0), (2, 27, 28), (2, 28, 29), (28, 28)])
def test_other_shapes_are_kept_so_that_they_can_be_refused(shape):
    array = from_json(SPEC, np.zeros(shape, int).tolist(), may_hold_booleans=False)
    assert array.shape == shape


SMALL = Spec("rows", np.dtype("float32"), (None, 2, 3))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("spaced", [True, False])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_a_body_of_matrices_is_read_at_once(key, spaced, count):
    expected = np.random.default_rng(0).integers(0, 300, (count, 2, 3))
    body = json.dumps({key: expected.tolist()}, indent=1 if spaced else None)
    read, actual = matrices_from_json(SMALL, body.encode())
    assert read == key
    assert actual.shape == (count, 2, 3)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "body",
    [
        '{"outputs":[[[1,2,3],[4,5,6]]]}',
        '{"instances":[[[1,2,3],[4,5,6]]],"inputs":[[[1,2,3],[4,5,6]]]}',
        '{"instances":[]}',
        '{"instances":[[[1,2,3],[4,5]]]}',
        '{"instances":[[[1,2],[3,4,5,6]]]}',
        '{"instances":[[[1,2,3]],[[4,5,6]]]}',
        '{"instances":[[[1,2,3],[4,5,[6]]]]}',
        '{"instances":[[[[1],[2],[3]],[4,5,6]]]}',
        '{"instances":[[1,2,3],[4,5,6]]}',
        '{"instances":[[[1,2,3],[4,5,6]]],"signature_name":"trace"}',
        '{"instances":[[[1,2,3],[4,5,-6]]]}',
        '{"instances":[[[1,2,3],[4,5,0.5]]]}',
        '{"instances":[[[1,2,3],[4,5,true]]]}',
        '{"instances":[[[1,2,3],[4,5,99999999999999999999]]]}',
        '{"instances":[[[1,2,3],[4,5,%s]]]}' % ("1" * 400),
        '{"instances":[[[1,2,3],[4,5,]]]}',
        '{"instances":[[[1,2,3],[4,5 6,7]]]}',
        '{"instances":[[[1,2,3],[4,5,06]]]}',
        '{"instances":[[[1,2,3],[4,5,6]]]}]',
        '{"instances7":[[[1,2,3],[4,5,6]]]}',
        "[[[1,2,3],[4,5,6]]]",
        "",
    ],
)
def test_any_other_body_is_left_to_the_general_parser(body):
    assert matrices_from_json(SMALL, body.encode()) == (None, None)


def test_a_changed_body_is_read_as_json_or_left():
    random = np.random.default_rng(0)
    body = b'{"instances":[[[1,20,3],[4,5,255]],[[0,0,0],[7,8,9]]]}'
    read = 0
    for _ in range(20_000):
        changed = bytearray(body)
        for index in random.integers(len(body), size=random.integers(1, 4)):
            changed[index] = random.choice(list(b'0123456789[],{}": .-e'))
        key, actual = matrices_from_json(SMALL, bytes(changed))
        if key:
            np.testing.assert_array_equal(actual, json.loads(changed)[key])
            read += 1
    assert read > 100


@pytest.mark.parametrize("shape", [(10**12,), (2**26, 1), (2, -1)])
def test_a_small_message_does_not_become_a_large_array(shape):
    proto = tf.make_tensor_proto([7.0])
    del proto.tensor_shape.dim[:]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    with pytest.raises(RequestError, match="damaged"):
        from_proto("x", proto)
