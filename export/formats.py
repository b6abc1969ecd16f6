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


def check_formats(formats, reads=None):
    """Raise a `UserError` unless all formats are known, and can be written here.

    Args:
        formats: Names of `FILES`.
        reads: If given, what the model reads, as in `Spec`: a format must be able to hold such a
            model. LiteRT needs a fixed number of steps, and sequences have any number. Texts need
            a vocabulary.
    """
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
    if reads == "tokens" and len(formats) > 1:
        raise UserError(
            f"{given}: a model of text holds its vocabulary, which only a SavedModel can; expected "
            "--export_formats=saved_model"
        )
    if reads == "vectors" and "litert" in formats:
        raise UserError(
            f"{given}: litert needs a fixed number of steps, and this model reads sequences of any "
            "number of steps; expected other formats: leave litert out"
        )
    for package in [package for name in formats for package in _PACKAGES[name]]:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"{given}: the package {package} is not installed; expected the packages "
                "of requirements-formats.txt: pip install -r requirements-formats.txt"
            )


def write(model, task, path, formats):
    """Write a model in further formats, each checked by its own runtime.

    The files have the input and the predictions of `serving_default` of the SavedModel, with a
    batch of any size; `onnx` also takes any number of steps. They compute in float32 for every
    `--compute_dtype`.

    - `onnx`: `model.onnx`.
    - `litert`: `model.tflite` in float32, and `model.int8.tflite`, which holds every matrix of at
      least 1,024 weights in int8. What such a matrix is multiplied by is rounded to int8 at each
      product, by the largest value it has there: no images are needed to find out beforehand how
      large it becomes. All other operations are in float32. Only for models of images: the
      converter (TensorFlow 2.21.0) refuses a recurrent layer whose number of steps is unknown.

    Args:
        model: A model made by `create_model`; it is left as it was.
        task: Its `Task`.
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
                _write(model, task, str(pathlib.Path(path) / file))
            except (OSError, tf.errors.OpError):
                raise
            except Exception as error:  # Converters and runtimes raise many types.
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise UserError(
                    f"--export_formats={','.join(formats)}: {model.name} cannot be written as "
                    f"{file} ({reason}); expected other formats: leave {name} out"
                ) from error


def load(path, threads=0):
    """A file of this module as a function of an input to predictions by name.

    Args:
        path: A `.onnx` or `.tflite` file.
        threads: How many threads may compute; 0 leaves it to the runtime.
    """
    if str(path).endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        (given,) = session.get_inputs()
        return lambda inputs: dict(
            zip(names, session.run(names, {given.name: inputs}), strict=True)
        )

    from ai_edge_litert.interpreter import Interpreter

    predict = Interpreter(str(path), num_threads=threads or None).get_signature_runner()
    (name,) = predict.get_input_details()
    return lambda inputs: predict(**{name: inputs})


def _write(model, task, path):
    import keras
    import tensorflow as tf

    from export.serving_function import override_attributes

    name, shape = model.input.name, model.input_shape
    inputs = keras.Input(shape[1:], dtype="float32", name=name)
    predictions = keras.layers.Lambda(task.predictions)(model(inputs, training=False))
    served = keras.Model(inputs, predictions)
    spec = keras.InputSpec("float32", shape, name=name)
    form, options = "onnx", {}
    if path.endswith(".tflite"):
        form = "litert"
        # Only operations that every LiteRT has, and none of TensorFlow.
        options = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
        if path.endswith(".int8.tflite"):
            options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    with override_attributes(model, dtype_policy="float32"), tf.device("CPU"):
        with warnings.catch_warnings():
            # Keras asks NumPy 2 for a name of NumPy 1.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            served.export(path, form, verbose=False, input_signature=[spec], **options)
        _check(served, path)


def _check(served, path):
    """Raise a `ValueError` unless a file gives the predictions of the model.

    Both are needed: one converter writes operations that it does not know into a file as they are,
    and the other has been seen to compute something else.
    """
    # As many steps as an image has rows stand for any length.
    shape = [size or 28 for size in served.input_shape[1:]]
    inputs = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.float32)
    expected, predictions = served(inputs), load(path)(inputs)
    # How far int8 may be off depends on the model; a benchmark tells.
    tolerance = 1 if path.endswith(".int8.tflite") else 1e-4
    for name, values in expected.items():
        values = np.asarray(values)
        if np.issubdtype(values.dtype, np.floating):
            off = np.abs(predictions[name] - values).max()
            if not off <= tolerance:
                raise ValueError(f"its {name} are off by {off:.1e}, more than {tolerance}")
