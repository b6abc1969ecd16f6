"""Write `<folder>/<version>/`: a SavedModel with two named signatures and a model card."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import shutil
import uuid

from configs import UserError
from export import formats as other_formats
from export.view import answers, layers_set

_ASIDE = ".incomplete-"


def export(model, folder, card, formats=("saved_model",)):
    """Export a model as the next version in `folder`, all of it or nothing.

    The version is written aside and renamed when it is whole: a reader of `folder` never sees half
    of one, and an export that is killed leaves every version before it as it was.

    Signatures, with `probabilities float32 (batch, classes)` and `classes int64 (batch,)` out:

    - `serving_default`: `rows float32 (batch, 28, 28)`, pixel values 0 (paper) to 255 (ink).
    - `serving_bytes`: `image_bytes string (batch,)`, encoded PNG or JPEG images, which are turned
      grey and resized to 28x28 in the graph.

    Beside the SavedModel, where servers take no notice of them, lie the model card and the files of
    the other formats; see `export.formats.write`.

    Args:
        model: A model made by `create_model`; it is left as it was.
        folder: Where the versions `1`, `2`, ... of this model live; made if it does not exist.
        card: What is known of the model, as JSON-ready values; written as `model_card.json`.
        formats: The names of the formats, `saved_model` among them.

    Returns:
        The path of the new version.

    Raises:
        OSError: If the folder cannot be written to.
        UserError: If the model cannot be written in a format, or not without NVIDIA's kernels.
    """
    import tensorflow as tf

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    aside = folder / f"{_ASIDE}{uuid.uuid4().hex}"
    aside.mkdir()
    lock = os.open(aside, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(model, aside)
        other_formats.write(model, aside, formats)
        (aside / "model_card.json").write_text(_card_text(card))
        return _rename_to_next_version(aside, folder)
    except tf.errors.OpError as error:
        # TensorFlow writes the variables itself and has its own word for a full disk.
        problem = f"the SavedModel could not be written ({error.message.splitlines()[0]})"
        raise OSError(errno.EIO, problem, str(folder)) from error
    finally:
        os.close(lock)
        shutil.rmtree(aside, ignore_errors=True)


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
    return json.dumps(card, indent=2) + "\n"


def _remove_leftovers(folder):
    """Remove what exports that were killed have left; one under way holds a lock."""
    for path in folder.glob(f"{_ASIDE}*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _write(model, path):
    import keras
    import tensorflow as tf

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

    archive = keras.export.ExportArchive()
    archive.track(model)
    with layers_set(model, for_serving=True):
        archive.add_endpoint("serving_default", classify, input_signature=[rows_spec])
        archive.add_endpoint("serving_bytes", classify_bytes, input_signature=[bytes_spec])
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
    import tensorflow as tf

    image = tf.io.decode_image(image_bytes, channels=1, expand_animations=False)
    return tf.image.resize(image, (28, 28), antialias=True)[..., 0]


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
