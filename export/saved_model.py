"""Write `<folder>/<version>/`: a SavedModel with three named signatures and a model card."""

import errno
import json
import os
import pathlib

import keras
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from configs import UserError
from export import formats as other_formats
from export.view import answers, layers_set
from models import trace
from training.files import folder_aside, sync, sync_all

# What an encoded image may unfold to at most: a few bytes of PNG can stand for gigabytes.
_MOST_PIXELS = 2**24
# What the values of an input mean something between, for servers to check.
_INPUTS = {"rows": {"minimum": 0, "maximum": 255}}


def export(model, folder, card, formats=("saved_model",)):
    """Export a model as the next version in `folder`, all of it or nothing.

    The version is written aside and renamed when it is whole: a reader of `folder` never sees half
    of one, and an export that is killed leaves every version before it as it was.

    Signatures:

    - `serving_default`: `rows float32 (batch, 28, 28)`, pixel values 0 (paper) to 255 (ink), in;
      `probabilities float32 (batch, classes)` and `classes int64 (batch,)` out.
    - `serving_bytes`: the same out; `image_bytes string (batch,)`, encoded PNG or JPEG images of at
      most 16 megapixels, in, which are turned grey and resized to 28x28 in the graph.
    - `trace`: `rows` in; out what `models.trace` says of every step of the reading, as float32.

    `assets.extra/tf_serving_warmup_requests` has a server call each of them before anyone else.

    Beside the SavedModel, where servers take no notice of them, lie the model card and the files of
    the other formats; see `export.formats.write`.

    Args:
        model: A model made by `create_model`; it is left as it was.
        folder: Where the versions `1`, `2`, ... of this model live; made if it does not exist.
        card: What is known of the model, as JSON-ready values; written as `model_card.json`, and
            beside it, as `inputs`, the range of what the model takes.
        formats: The names of the formats, `saved_model` among them.

    Returns:
        The path of the new version.

    Raises:
        OSError: If the folder cannot be written to.
        UserError: If the model cannot be written in a format, or not without NVIDIA's kernels.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_aside(folder) as aside:
        try:
            _write(model, aside)
            _write_warm_up(aside, folder.name)
        except tf.errors.OpError as error:
            # TensorFlow writes these files itself and has its own word for a full disk.
            problem = f"the SavedModel could not be written ({error.message.splitlines()[0]})"
            raise OSError(errno.EIO, problem, str(folder)) from error
        other_formats.write(model, aside, formats)
        (aside / "model_card.json").write_text(_card_text(card))
        sync_all(aside)
        version = _rename_to_next_version(aside, folder)
        sync(folder)
    return version


def find(folder, card, formats=("saved_model",)):
    """The path of a version in a folder with this card and formats, `None` if there is none."""
    text = _card_text(card)
    files = [file for name in formats for file in other_formats.FILES[name]]
    for path in pathlib.Path(folder).glob("*/model_card.json"):
        has_files = all((path.parent / file).is_file() for file in files)
        if has_files and path.read_text(errors="replace") == text:
            return path.parent
    return None


def _card_text(card):
    return json.dumps({**card, "inputs": _INPUTS}, indent=2) + "\n"


def _write(model, path):
    rows_spec = tf.TensorSpec((None, 28, 28), tf.float32, name="rows")
    bytes_spec = tf.TensorSpec((None,), tf.string, name="image_bytes")

    # Traced once, for both signatures.
    @tf.function(input_signature=[rows_spec], autograph=False)
    def classify(rows):
        # A loaded signature does not enforce its own shape.
        rows = tf.ensure_shape(rows, (None, 28, 28))
        return answers(model(rows, training=False))

    def classify_bytes(image_bytes):
        image_spec = tf.TensorSpec((28, 28), tf.float32)
        return classify(tf.map_fn(_decode, image_bytes, fn_output_signature=image_spec))

    def follow(rows):
        traced = trace(model, tf.ensure_shape(rows, (None, 28, 28)))
        return {name: tf.cast(values, tf.float32) for name, values in traced.items()}

    archive = keras.export.ExportArchive()
    archive.track(model)
    with layers_set(model, for_serving=True):
        archive.add_endpoint("serving_default", classify, input_signature=[rows_spec])
        archive.add_endpoint("serving_bytes", classify_bytes, input_signature=[bytes_spec])
        archive.add_endpoint("trace", follow, input_signature=[rows_spec])
        _refuse_nvidias(classify.get_concrete_function().graph.as_graph_def())
        archive.write_out(path, verbose=False)


def _refuse_nvidias(graph):
    """Raise a `UserError` if a graph has one of NVIDIA's kernels, which no CPU can run."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    kernels = {node.op for node in nodes if "cudnn" in node.op.lower()}
    if kernels:
        raise UserError(
            f"the graph to export has {', '.join(sorted(kernels))}, which no CPU can run; expected "
            "none of NVIDIA's kernels: export on a machine without a GPU"
        )


def _decode(image_bytes):
    """One encoded image, `string ()`, as grey pixel values `float32 (28, 28)`."""
    # A decoder takes other formats as well, and would unfold whatever its header says.
    starts = [tf.strings.substr(image_bytes, 0, n) for n in (8, 3)]
    is_png, is_jpeg = starts[0] == b"\x89PNG\r\n\x1a\n", starts[1] == b"\xff\xd8\xff"
    expected = [f"expected a PNG or JPEG image of at most {_MOST_PIXELS:,} pixels"]
    with tf.control_dependencies([tf.debugging.Assert(is_png | is_jpeg, expected)]):
        size = tf.cond(is_png, lambda: _png_size(image_bytes), lambda: _jpeg_size(image_bytes))
    fits = (size[0] > 0) & (size[1] > 0) & (size[0] <= _MOST_PIXELS // size[1])
    with tf.control_dependencies([tf.debugging.Assert(fits, expected)]):
        image = tf.cond(
            is_png,
            lambda: tf.io.decode_png(image_bytes, channels=1),
            lambda: tf.io.decode_jpeg(image_bytes, channels=1),
        )
    return tf.image.resize(image, (28, 28), antialias=True)[..., 0]


def _png_size(image_bytes):
    """Width and height, `int32 (2,)`, which stand at byte 16 of a PNG."""
    return tf.io.decode_raw(tf.strings.substr(image_bytes, 16, 8), tf.int32, little_endian=False)


def _jpeg_size(image_bytes):
    return tf.image.extract_jpeg_shape(image_bytes)[:2]


def _write_warm_up(path, model):
    """Write requests for a server to begin with, as TensorFlow Serving reads them."""
    (path / "assets.extra").mkdir()
    png = tf.io.encode_png(tf.zeros((28, 28, 1), tf.uint8))
    with tf.io.TFRecordWriter(str(path / "assets.extra/tf_serving_warmup_requests")) as file:
        for signature, name, value in [
            ("serving_default", "rows", tf.zeros((1, 28, 28))),
            ("serving_default", "rows", tf.zeros((64, 28, 28))),
            ("serving_bytes", "image_bytes", png[None]),
            ("trace", "rows", tf.zeros((1, 28, 28))),
        ]:
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = model, signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            file.write(log.SerializeToString())


def _rename_to_next_version(aside, folder):
    version = 1 + max((int(p.name) for p in folder.iterdir() if p.name.isdecimal()), default=0)
    while True:
        try:
            return aside.rename(folder / str(version))
        except OSError:
            # Another export may have taken this number since; anything else is a real failure.
            if not os.path.lexists(folder / str(version)):
                raise
            version += 1
