"""An exported model for other runtimes: ONNX, and LiteRT in float32 and in int8."""

import importlib.util
import pathlib
import warnings

import numpy as np

from configs import UserError
from configs.option import did_you_mean

# By name what a format's files are, and what writes and checks them.
FILES = {
    "saved_model": ["saved_model.pb"],
    "onnx": ["model.onnx"],
    "litert": ["model.tflite", "model.int8.tflite"],
}
_PACKAGES = {
    "saved_model": [],
    "onnx": ["tf2onnx", "onnxruntime"],
    "litert": ["ai_edge_litert"],
}


def check_formats(formats):
    """Raise a `UserError` unless all formats are known and can be written here."""
    given = f"--export_formats={','.join(formats)}"
    unknown = set(formats) - set(FILES)
    if unknown or "saved_model" not in formats:
        wrong = min(unknown, default="")
        problem = f"{wrong!r} is not a format" if unknown else "saved_model is missing"
        hint = did_you_mean(wrong, FILES) if unknown else ""
        raise UserError(
            f"{given}: {problem}; expected saved_model, and any of "
            f"{', '.join(name for name in FILES if name != 'saved_model')} beside it{hint}"
        )
    for package in [package for name in formats for package in _PACKAGES[name]]:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"{given}: the package {package} is not installed; expected the packages "
                "of requirements-formats.txt: pip install -r requirements-formats.txt"
            )


def write(model, path, formats):
    """Write a model in further formats, each checked by its own runtime.

    All of them take `rows float32 (batch, 28, 28)`, pixel values 0 to 255, a batch of any size, and
    give `probabilities float32 (batch, classes)` and `classes int64 (batch,)`. They compute in
    float32 whatever the model was trained in.

    - `onnx`: `model.onnx`.
    - `litert`: `model.tflite` in float32, and `model.int8.tflite`, which holds every matrix of at
      least 1,024 weights in int8. What such a matrix is multiplied by is rounded to int8 at each
      product, by the largest value it has there: no images are needed to find out beforehand how
      large it becomes. All else computes in float32.

    Args:
        model: A model made by `create_model`; it is left as it was.
        path: The folder to write to.
        formats: Names of `FILES`; `saved_model` is not this function's business.

    Raises:
        UserError: If a model cannot be written so, or would answer differently.
        OSError: If the folder cannot be written to.
    """
    import tensorflow as tf

    for name in formats:
        for file in FILES[name] if name != "saved_model" else []:
            try:
                _write(model, str(pathlib.Path(path) / file))
            except (OSError, tf.errors.OpError):
                raise
            except Exception as error:  # What a converter or a runtime cannot do has no one type.
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise UserError(
                    f"--export_formats={','.join(formats)}: {model.name} cannot be written as "
                    f"{file} ({reason}); expected other formats: leave {name} out"
                ) from error


def load(path, threads=0):
    """A file of this module as a function of `rows` to `probabilities` and `classes`.

    Args:
        path: A `.onnx` or `.tflite` file.
        threads: How many threads may compute; 0 leaves it to the runtime.
    """
    if str(path).endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda rows: session.run(["probabilities", "classes"], {"rows": rows})

    from ai_edge_litert.interpreter import Interpreter

    classify = Interpreter(str(path), num_threads=threads or None).get_signature_runner()

    def answer(rows):
        answered = classify(rows=rows)
        return [answered["probabilities"], answered["classes"]]

    return answer


def _write(model, path):
    import keras
    import tensorflow as tf

    from export.view import answers, layers_set

    rows = keras.Input((28, 28), dtype="float32", name="rows")
    view = keras.Model(rows, keras.layers.Lambda(answers)(model(rows, training=False)))
    spec = keras.InputSpec("float32", (None, 28, 28), name="rows")
    form, options = "onnx", {}
    if path.endswith(".tflite"):
        form = "litert"
        # Nothing but what every LiteRT has: no operations of TensorFlow's.
        options = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
        if path.endswith(".int8.tflite"):
            options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    with layers_set(model, dtype_policy="float32"), tf.device("CPU"):
        with warnings.catch_warnings():
            # Keras asks NumPy 2 for a name of NumPy 1.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            view.export(path, form, verbose=False, input_signature=[spec], **options)
        _check(view, path)


def _check(view, path):
    """Raise a `ValueError` unless a file answers as the model does.

    Not for form's sake: one converter writes operations it does not know into a file as they are,
    the other has been seen to compute something else.
    """
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.float32)
    expected = np.asarray(view(images)["probabilities"])
    probabilities, _ = load(path)(images)
    # How far int8 may be off depends on the model; a benchmark tells.
    tolerance = 1 if path.endswith(".int8.tflite") else 1e-4
    off = np.abs(probabilities - expected).max()
    if not off <= tolerance:
        raise ValueError(f"its probabilities are off by {off:.1e}, more than {tolerance}")
