"""TensorFlow Serving's `:classify`, for signatures that map `tf.Example`s to classes."""

import math
import numbers

import numpy as np
import tensorflow as tf

from serving.errors import RequestError
from serving.signature import names_in_words
from serving.tensors import to_bytes

_METHOD = "tensorflow/serving/classify"
INPUT = "inputs"
_INT64 = range(-(2**63), 2**63)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def examples(signature, body):
    """The serialized `tf.Example`s in a request's JSON, the input of the signature."""
    if signature.method != _METHOD:
        raise RequestError(
            f"signature {signature.name} has the method {signature.method}; expected {_METHOD} for "
            ":classify: use :predict"
        )
    if "scores" not in signature.outputs:
        received = names_in_words(signature.outputs)
        raise RequestError(
            f"signature {signature.name} has the outputs {received}; expected scores for "
            ":classify: use :predict"
        )
    rows, context = body["examples"], body.get("context", {})
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in [*rows, context]):
        raise RequestError("examples: expected a list of objects, and context: an object")
    serialized = [_example(context | row).SerializeToString() for row in rows]
    return np.array(serialized, dtype=object)


def results(outputs):
    """A list of `[class, score]` for each row."""
    scores = outputs["scores"]
    classes = outputs.get("classes")
    if classes is None:
        classes = np.broadcast_to(np.arange(scores.shape[1]).astype(str), scores.shape)
    return [
        [[c.decode() if isinstance(c, bytes) else c, float(s)] for c, s in zip(*row, strict=True)]
        for row in zip(classes, scores, strict=True)
    ]


def _example(features):
    return tf.train.Example(
        features=tf.train.Features(feature={k: _feature(k, v) for k, v in features.items()})
    )


def _feature(name, value):
    values = value if isinstance(value, list) else [value]
    if all(isinstance(v, str | dict) for v in values):
        encoded = [to_bytes(name[:80], v) for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if any(isinstance(v, bool) or not isinstance(v, numbers.Real) for v in values):
        raise RequestError(f"{name[:80]}: expected texts or numbers, all of one kind")
    if any(isinstance(v, int) and v not in _INT64 for v in values):
        raise RequestError(f"{name[:80]}: expected whole numbers of 64 bits")
    if all(isinstance(v, int) for v in values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if any(_FLOAT32_MAX < abs(v) < math.inf for v in values):
        raise RequestError(f"{name[:80]}: expected numbers that float32 can hold")
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
