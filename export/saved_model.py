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
from export.prepare import read_digits, read_images
from export.serving_function import input_spec, override_attributes, serving_function
from export.text import text_signatures
from models import trace
from models.text import TextModel
from training.files import sync, sync_all, temporary_folder

# The datasets whose images are digits in MNIST's form.
_DIGITS = ("mnist", "digits")
# The range of the values of an input, for servers to check.
_RANGES = {"images": {"rows": {"minimum": 0, "maximum": 255}}}


def export(model, task, folder, card, formats=("saved_model",)):
    """Export a model as the next version in `folder`, completely or not at all.

    The version is written into a temporary folder, which is then renamed: a reader of `folder`
    never sees an incomplete version, and an export that is killed changes no earlier version.

    Signatures:

    - `serving_default` takes the model's input, such as `rows float32 (batch, 28, 28)`, pixel
      values 0 (paper) to 255 (ink), and returns the task's predictions, such as `probabilities
      float32 (batch, classes)` and `classes int64 (batch,)`.
    - `serving_bytes` takes `image_bytes string (batch,)`, encoded PNG or JPEG images of at most 16
      megapixels, dark on light or light on dark, drawn or photographed. It also returns `rows
      float32 (batch, 28, 28)`: the images in MNIST's form, all 0 if nothing is drawn. See
      `export.prepare`. For a model of other images than MNIST or the embedded digits, they are
      converted to grey and resized to 28x28. Only a model that reads images has this signature.
    - `trace` takes the same input as `serving_default` and returns, as float32, the result of
      `models.trace`, with predictions instead of outputs.

    `assets.extra/tf_serving_warmup_requests` lets a server call each of them once at its start.

    The model card and the files of the other formats are in the same folder; servers ignore them.
    See `export.formats.write`.

    Args:
        model: A model made by `create_model`; it is left as it was.
        task: Its `Task`.
        folder: The folder of the versions `1`, `2`, ... of this model; created if it is missing.
        card: Facts about the model, as JSON-ready values. They are written to `model_card.json`,
            with the range of the input as `inputs`.
        formats: The names of the formats, `saved_model` among them.

    Returns:
        The path of the new version.

    Raises:
        OSError: If the folder cannot be written to.
        UserError: If the model cannot be written in a format, or not without NVIDIA's kernels.
    """
    other_formats.check_formats(formats, task.spec.reads)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as aside:
        try:
            read = read_digits if _reads_digits(card) else read_images
            _write(model, task, aside, read)
            _write_warm_up(aside, folder.name, model, task)
        except tf.errors.OpError as error:
            # TensorFlow writes these files itself and has its own word for a full disk.
            problem = f"the SavedModel could not be written ({error.message.splitlines()[0]})"
            raise OSError(errno.EIO, problem, str(folder)) from error
        other_formats.write(model, task, aside, formats)
        (aside / "model_card.json").write_text(_card_text(task, card))
        sync_all(aside)
        version = _rename_to_next_version(aside, folder)
        sync(folder)
    return version


def find(task, folder, card, formats=("saved_model",)):
    """The path of a version in a folder with this card and formats, `None` if there is none."""
    text = _card_text(task, card)
    files = [file for name in formats for file in other_formats.FILES[name]]
    for path in pathlib.Path(folder).glob("*/model_card.json"):
        has_files = all((path.parent / file).is_file() for file in files)
        if has_files and path.read_text(errors="replace") == text:
            return path.parent
    return None


def _reads_digits(card):
    """Whether a model learned from digits in MNIST's form, as far as its card says."""
    return card.get("config", {}).get("dataset", "mnist") in _DIGITS


def _card_text(task, card):
    return json.dumps({**card, "inputs": _RANGES.get(task.spec.reads, {})}, indent=2) + "\n"


def _write(model, task, path, read):
    archive = keras.export.ExportArchive()
    archive.track(model)
    if task.spec.reads == "tokens":
        reader = TextModel(model, task.spec.vocabulary, task.spec.step)
        archive.track(reader)  # Keras does not find the table of its vocabulary.
        signatures = text_signatures(reader)
    else:
        signatures = _signatures(model, task, read)
    with override_attributes(model, for_serving=True):
        for name, function, inputs in signatures:
            archive.add_endpoint(name, function, input_signature=inputs)
        _, predict, _ = signatures[0]
        _refuse_nvidias(predict.get_concrete_function().graph.as_graph_def())
        archive.write_out(path, verbose=False)


def _signatures(model, task, read):
    """A list of names, functions and lists of `tf.TensorSpec`; the first is a `tf.function`."""
    spec = input_spec(model)
    predict = serving_function(model, task)  # Traced once, for both signatures.

    def predict_bytes(image_bytes):
        rows = read(image_bytes)
        return {**predict(rows), "rows": rows}

    def trace_steps(inputs):
        traced = trace(model, tf.ensure_shape(inputs, spec.shape))
        outputs = traced.pop("outputs")
        traced = {task.output: task.predictions(outputs)[task.output], **traced}
        return {name: tf.cast(values, tf.float32) for name, values in traced.items()}

    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
    of_images = [("serving_bytes", predict_bytes, [encoded])] if task.spec.reads == "images" else []
    return [("serving_default", predict, [spec]), *of_images, ("trace", trace_steps, [spec])]


def _refuse_nvidias(graph):
    """Raise a `UserError` if a graph has one of NVIDIA's kernels, which no CPU can run."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    kernels = {node.op for node in nodes if "cudnn" in node.op.lower()}
    if kernels:
        raise UserError(
            f"the graph to export has {', '.join(sorted(kernels))}, which no CPU can run; expected "
            "kernels that a CPU can run: export on a machine without a GPU"
        )


def _write_warm_up(path, name, model, task):
    """Write requests for a server to begin with, as TensorFlow Serving reads them."""
    (path / "assets.extra").mkdir()
    if task.spec.reads == "tokens":
        text = tf.constant(["".join(task.spec.vocabulary[1:4])])
        requests = [("serving_default", "text", text), ("trace", "text", text)]
    else:
        # As many steps as an image has rows stand for any length.
        shape = [size or 28 for size in model.input_shape[1:]]
        one, many = (tf.zeros((size, *shape)) for size in (1, 64))
        requests = [("serving_default", model.input.name, value) for value in (one, many)]
        if task.spec.reads == "images":
            png = tf.io.encode_png(tf.zeros((28, 28, 1), tf.uint8))
            requests.append(("serving_bytes", "image_bytes", png[None]))
        requests.append(("trace", model.input.name, one))
    with tf.io.TFRecordWriter(str(path / "assets.extra/tf_serving_warmup_requests")) as file:
        for signature, input_name, value in requests:
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = name, signature
            request.inputs[input_name].CopyFrom(tf.make_tensor_proto(value))
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
