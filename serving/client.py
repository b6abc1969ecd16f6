"""Ask a server to classify images.

    python -m serving.client seven.png photos/
    python -m serving.client --show seven.png
    cat seven.png | python -m serving.client --server=grpc://127.0.0.1:8500 --json -

Images are files of every format that Pillow reads, folders of such files, and `-` for standard
input. The server may be `serve.py` or TensorFlow Serving.
"""

import base64
import json
import math
import os
import pathlib
import sys
import urllib.parse
from typing import NamedTuple

import numpy as np
import requests
from absl import flags

from configs import UserError, define_path, run_script
from serving.images import ImageError, encode, suffixes
from serving.settings import read_token

FLAGS = flags.FLAGS
flags.DEFINE_string("server", "http://127.0.0.1:8501", "http:// for REST, grpc:// for gRPC.")
flags.DEFINE_string("model", "lstm", "Name of a model that reads images.")
flags.DEFINE_integer("version", None, "Version of the model (default: the server's choice).", 0)
define_path("api_token_file", None, "File with the token that the server requires.")
flags.DEFINE_float(
    "min_probability", 0.9, "An answer of a lower probability is marked as not sure.", 0, 1
)
flags.DEFINE_bool("show", False, "Also print each image as the network read it.")
flags.DEFINE_bool("json", False, "Print JSON, one line for each image, instead of a table.")
flags.DEFINE_float("timeout", 30, "Maximum seconds to wait for an answer.", 0.001)

# Limits of one request. Bytes: the server accepts 32 MB, and base64 adds a third. Pixels: they
# determine how long the server decodes.
_MAX_IMAGES, _MAX_BYTES, _MAX_PIXELS = 64, 2**24, 2**26
_FORMS = "http://HOST:PORT for REST or grpc://HOST:PORT for gRPC"


class Answer(NamedTuple):
    """The answer of a server to an image.

    Attributes:
        label: The class.
        probabilities: A list with the probability of each class.
        rows: The image that the network read: 28 lists of 28 values, 0 (paper) to 255 (ink). `None`
            if the model does not return it.
    """

    label: int
    probabilities: list
    rows: list | None

    @property
    def probability(self):
        """The probability of the class; NaN if it is not finite."""
        value = self.probabilities[self.label]
        return math.nan if value is None else value

    @property
    def note(self):
        """`nothing drawn`, `not sure` or `None`."""
        if self.rows is not None and not any(map(any, self.rows)):
            return "nothing drawn"
        return None if self.probability >= FLAGS.min_probability else "not sure"


class Refused(Exception):
    """The server refuses a request because of its images; it may answer fewer of them."""


def main(arguments):
    """Print the server's answers to the images in `arguments`: files, folders and `-`."""
    # The name of a file may have characters that the terminal cannot write.
    sys.stdout.reconfigure(errors="backslashreplace")
    files = list(_files(arguments))
    if not files:
        raise UserError(
            "received no image; expected image files, folders of them, or - for standard input"
        )
    server, token = _server(FLAGS.server), read_token(FLAGS.api_token_file)
    ask = (_ask_grpc if server.startswith("grpc:") else _ask_rest)(server, token)
    show = _print_json if FLAGS.json else _print_table(max(len(str(file)) for file in files))
    failed = 0
    for file, answer in _answers(files, ask):
        show(str(file), answer)
        failed += isinstance(answer, str)
    if failed:
        raise UserError(
            f"{failed} of {len(files)} images have no answer, and their lines say why; expected "
            "image files that Pillow and the server can read"
        )


def _files(arguments):
    """The path of each image."""
    for argument in arguments:
        path = pathlib.Path(argument)
        if argument == "-" or not path.is_dir():
            yield path
            continue
        known = suffixes()
        try:
            files = [each for each in path.iterdir() if each.suffix.lower() in known]
        except OSError:
            files = []
        # Hidden files are not images: macOS writes one beside each image on a memory card.
        images = sorted(f for f in files if f.is_file() and not f.name.startswith("."))
        yield from images or [path]  # `_read` reports a folder without an image.


def _read(path):
    """The bytes of a file."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        if path.is_dir():
            os.listdir(path)  # Raises if the folder cannot be read.
            raise ImageError("the folder does not hold an image")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror) from error


def _answers(files, ask):
    """Each file with its `Answer`, or with an error message, in the order of the files."""
    part, size, pixels = [], 0, 0
    for file in files:
        try:
            image = encode(_read(file))
        except ImageError as error:
            part.append((file, str(error)))
            continue
        size, pixels = size + len(image.data), pixels + image.pixels
        if len(part) >= _MAX_IMAGES or size > _MAX_BYTES or pixels > _MAX_PIXELS:
            yield from _answer_part(part, ask)
            part, size, pixels = [], len(image.data), image.pixels
        part.append((file, image.data))
    yield from _answer_part(part, ask)


def _answer_part(part, ask):
    """As `_answers`, for one request: pairs of a file and its image or error message."""
    images = [image for _, image in part if isinstance(image, bytes)]
    answers = iter(_ask_in_halves(images, ask) if images else [])
    for file, image in part:
        yield file, next(answers) if isinstance(image, bytes) else image


def _ask_in_halves(images, ask):
    """The `Answer` or error message for each image. If a request is refused, it is halved."""
    try:
        return ask(images)
    except Refused as refusal:
        if len(images) == 1:
            return [str(refusal)]
        middle = len(images) // 2
        return [*_ask_in_halves(images[:middle], ask), *_ask_in_halves(images[middle:], ask)]


def _print_json(name, answer):
    if isinstance(answer, str):
        print(json.dumps({"image": name, "error": answer}), flush=True)
        return
    line = {
        "image": name,
        "class": None if answer.note == "nothing drawn" else answer.label,
        "probabilities": answer.probabilities,
        "note": answer.note,
    }
    if FLAGS.show and answer.rows is not None:
        line["rows"] = answer.rows
    print(json.dumps(line), flush=True)


def _print_table(width):
    """A function that prints a line of the table; `width` is that of the first column."""
    width = max(len("image"), width)
    header = iter([f"{'image':{width}}  class  probability\n"])  # Printed with the first answer.

    def show(name, answer):
        print(next(header, ""), end="")
        if isinstance(answer, str):
            line = f"{'-':>5}  {'-':>11}  {answer}"
        elif answer.note == "nothing drawn":
            line = f"{'-':>5}  {'-':>11}  nothing drawn"
        else:
            line = f"{answer.label:5}  {answer.probability:11.2%}  {answer.note or ''}"
        print(f"{name:{width}}  {line}".rstrip(), flush=True)
        if FLAGS.show and not isinstance(answer, str) and answer.rows is not None:
            print(picture(answer.rows, sys.stdout.encoding))

    return show


def picture(rows, encoding="utf-8"):
    """A 28x28 image of values 0 to 255 as text; a line shows two rows."""
    letters = " ▀▄█"  # Ink in no row, in the upper, in the lower, in both.
    try:
        letters.encode(encoding)
    except UnicodeEncodeError:
        letters = " '.#"
    has_ink = [[value >= 64 for value in row] for row in rows]
    return "\n".join(
        "".join(letters[up + 2 * low] for up, low in zip(upper, lower, strict=True))
        for upper, lower in zip(has_ink[::2], has_ink[1::2], strict=True)
    )


def _server(address):
    """`--server` as `http://HOST:PORT`, `https://HOST:PORT` or `grpc://HOST:PORT`."""
    scheme, separator, host = address.strip().rpartition("://")
    scheme, host = scheme.lower() if separator else "http", host.rstrip("/")
    try:
        url = urllib.parse.urlsplit(f"//{host}")
        # `url.port` raises a ValueError if it is not a port.
        is_valid = url.hostname and url.port != 0 and not url.query and not url.fragment
        is_valid = is_valid and not set(host) & set(" \t\\")
        if scheme == "grpc":
            is_valid = is_valid and url.port and not url.path and not url.username
    except ValueError:
        is_valid = False
    if scheme not in ("http", "https", "grpc") or not is_valid:
        raise UserError(f"--server={address}: expected {_FORMS}")
    return f"{scheme}://{host}"


def _ask_rest(server, token):
    """A function that asks over REST. It maps a list of encoded images to a list of `Answer`s.

    It raises `Refused` if the images may be the reason for a failure, and else a `UserError`.
    """
    session = requests.Session()
    if token:
        session.headers["authorization"] = f"Bearer {token}"
    version = f"/versions/{FLAGS.version}" if FLAGS.version is not None else ""
    model = f"{server}/v1/models/{urllib.parse.quote(FLAGS.model, safe='')}{version}"

    def ask(images):
        body = {
            "signature_name": "serving_bytes",
            "instances": [{"b64": base64.b64encode(image).decode()} for image in images],
        }
        status, content = _send(session, "POST", f"{model}:predict", server, json=body)
        if status == 200:
            rows = content.get("predictions")
            return _read_answers(rows, len(images), server)
        problem = content.get("error", f"status {status}")
        if _lacks_signature(problem):
            raise _not_for_images(server)
        if status in (400, 413, 504):
            raise Refused(problem)
        if status == 401:
            raise _wrong_token(server, problem)
        if status == 404:
            _, content = _send(session, "GET", f"{server}/v1/models", server)
            names = [each["name"] for each in content.get("models", [])]
            if names and FLAGS.model not in names:
                expected = " or ".join(f"--model={name}" for name in names)
                raise UserError(
                    f"{server} does not have the model {FLAGS.model!r}; expected {expected}"
                )
        raise _other_problem(server, problem)

    return ask


def _send(session, method, url, server, **options):
    """Send a request, and return the status and the JSON object of its answer."""
    try:
        response = session.request(
            method, url, timeout=FLAGS.timeout, allow_redirects=False, **options
        )
    except requests.exceptions.SSLError:
        problem = "does not speak TLS, or is not trusted"
        raise UserError(f"{server} {problem}; expected {_FORMS}") from None
    except requests.ConnectTimeout:
        raise _no_server(server) from None
    except requests.Timeout:
        raise _too_late(server) from None
    except (requests.RequestException, ValueError) as error:
        # A server may close the connection because the request is too large.
        if "Connection aborted" not in str(error):
            raise _no_server(server) from None
        if "RemoteDisconnected" in str(error) or "Reset" in str(error) or "Pipe" in str(error):
            raise Refused(f"{server} closed the connection") from None
        raise UserError(f"{server} does not speak HTTP; expected {_FORMS}") from None
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        kind = response.headers.get("content-type", "an unknown type").partition(";")[0]
        raise UserError(
            f"{server} answered status {response.status_code} with {kind}, not a JSON object; "
            "expected the address of TensorFlow Serving's REST API, such as http://127.0.0.1:8501"
        )
    return response.status_code, content


def _ask_grpc(server, token):
    """As `_ask_rest`, over gRPC."""
    import grpc
    import tensorflow as tf  # Only here, because the import takes seconds.
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    metadata = [("authorization", f"Bearer {token}")] if token else []
    channel = grpc.insecure_channel(server.removeprefix("grpc://"))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(images):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = FLAGS.model
        request.model_spec.signature_name = "serving_bytes"
        if FLAGS.version is not None:
            request.model_spec.version.value = FLAGS.version
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, dtype=tf.string))
        try:
            answer = stub.Predict(request, timeout=FLAGS.timeout, metadata=metadata)
        except grpc.RpcError as error:
            code, problem = error.code(), " ".join(error.details().split())
            codes = grpc.StatusCode
            if _lacks_signature(problem):
                raise _not_for_images(server) from None
            if code in (codes.INVALID_ARGUMENT, codes.RESOURCE_EXHAUSTED):
                raise Refused(problem) from None
            if code == codes.UNAUTHENTICATED:
                raise _wrong_token(server, problem) from None
            if code == codes.DEADLINE_EXCEEDED:
                raise _too_late(server) from None
            # gRPC's messages about a server that does not exist or does not speak gRPC.
            if code == codes.UNAVAILABLE and ("connect" in problem or "resol" in problem):
                raise _no_server(server) from None
            raise _other_problem(server, problem) from None
        outputs = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        columns = zip(*(values.tolist() for values in outputs.values()), strict=True)
        rows = [dict(zip(outputs, row, strict=True)) for row in columns]
        return _read_answers(rows, len(images), server)

    return ask


def _read_answers(rows, count, server):
    """Convert `count` rows, `{"classes": ..., "probabilities": ...}`, to `Answer`s."""
    try:
        answers = [_answer(**{"rows": None} | row) for row in rows]
        if len(answers) == count:
            return answers
    except (TypeError, ValueError, IndexError):
        pass
    raise UserError(
        f"{server}: signature serving_bytes of {FLAGS.model} does not give the classes and "
        "probabilities of each image; expected a model that main.py exported"
    )


def _answer(classes, probabilities, rows, **_):
    # JSON does not have NaN; the server writes null.
    finite = [p if p is not None and math.isfinite(p) else None for p in probabilities]
    if not 0 <= classes < len(finite):
        raise IndexError(classes)
    return Answer(classes, finite, rows if np.shape(rows) == (28, 28) else None)


def _lacks_signature(problem):
    """Whether the server says that the model does not have the signature `serving_bytes`."""
    ours, tensorflow_serving = "received signature 'serving_bytes'", '"serving_bytes" not found'
    return ours in problem or tensorflow_serving in problem


def _not_for_images(server):
    return UserError(
        f"{server}: model {FLAGS.model!r} does not have the signature serving_bytes, so it does "
        "not read image files; expected a model that does: choose it with --model"
    )


def _no_server(server):
    return UserError(
        f"{server} does not answer; expected a server: start one with python serve.py, or name "
        "another with --server"
    )


def _too_late(server):
    return UserError(
        f"{server} did not answer within {FLAGS.timeout:g} s; expected an answer: wait longer with "
        f"--timeout={2 * FLAGS.timeout:g}"
    )


def _wrong_token(server, problem):
    return UserError(f"{server}: {problem}: name the file of the token with --api_token_file")


def _other_problem(server, problem):
    if "expected" in problem:
        return UserError(f"{server}: {problem}")
    return UserError(f"{server}: {problem}; expected an answer: read the output of the server")


if __name__ == "__main__":
    run_script(main, takes_arguments=True)
