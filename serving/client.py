"""Ask a server which digits are on images.

    python -m serving.client seven.png photos/
    python -m serving.client --show seven.png
    cat seven.png | python -m serving.client --server=grpc://127.0.0.1:8500 --json -

Files of every format that Pillow reads, folders of them, and `-` for standard input. The server may
be this project's or TensorFlow Serving.
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
flags.DEFINE_string("model", "lstm", "Name of the model.")
flags.DEFINE_integer("version", None, "Version of the model (default: the server's choice).", 0)
define_path("api_token_file", None, "File with the token that the server asks for.")
flags.DEFINE_float(
    "min_probability", 0.9, "An answer of a lower probability is marked as not sure.", 0, 1
)
flags.DEFINE_bool("show", False, "Print each image as the network was shown it.")
flags.DEFINE_bool("json", False, "Print JSON, one line an image, in place of a table.")
flags.DEFINE_float("timeout", 30, "Seconds to wait for an answer.", 0.001)

# Limits of one request: the server takes 32 MB, and base64 adds a third. An image of many
# pixels is decoded for longer than its bytes tell.
_PART_IMAGES, _PART_BYTES, _PART_PIXELS = 64, 2**24, 2**26
_FORMS = "http://HOST:PORT for REST or grpc://HOST:PORT for gRPC"


class Answer(NamedTuple):
    """What a server answers to an image.

    Attributes:
        digit: The class.
        probabilities: Of each class, a list.
        rows: What the network was shown: 28 lists of 28 values, 0 (paper) to 255 (ink). `None` from
            a model that does not tell.
    """

    digit: int
    probabilities: list
    rows: list | None

    @property
    def probability(self):
        """The probability of the class; NaN if the model has given no finite one."""
        value = self.probabilities[self.digit]
        return math.nan if value is None else value

    @property
    def note(self):
        """What is to be known besides, or `None`: that nothing is drawn, or that it is not sure."""
        if self.rows is not None and not any(map(any, self.rows)):
            return "nothing drawn"
        return None if self.probability >= FLAGS.min_probability else "not sure"


class Refused(Exception):
    """A request that the server refuses for its images, and why; fewer may be answered."""


def main(places):
    """Print what the server makes of the images in `places`."""
    # The name of a file may hold what the terminal cannot write.
    sys.stdout.reconfigure(errors="backslashreplace")
    files = list(_files(places))
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
            f"{failed} of {len(files)} images got no answer, each for the reason in its line; "
            "expected image files that Pillow and the server can read"
        )


def _files(places):
    """The path of each image."""
    for place in places:
        path = pathlib.Path(place)
        if place == "-" or not path.is_dir():
            yield path
            continue
        known = suffixes()
        try:
            files = [each for each in path.iterdir() if each.suffix.lower() in known]
        except OSError:
            files = []
        # macOS writes a hidden file of another kind beside each on a memory card.
        found = sorted(f for f in files if f.is_file() and not f.name.startswith("."))
        yield from found or [path]  # A folder without an image is a line of its own.


def _read(path):
    """The bytes of a file."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        if path.is_dir():
            os.listdir(path)  # Raises if it cannot be read.
            raise ImageError("there is no image in the folder")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror) from error


def _answers(files, ask):
    """Each file with its `Answer`, or with a text that says why there is none, in their order."""
    part, size, pixels = {}, 0, 0
    for at, file in enumerate(files):
        try:
            image = encode(_read(file))
        except ImageError as error:
            part[at] = str(error)
            continue
        size, pixels = size + len(image.data), pixels + image.pixels
        if len(part) >= _PART_IMAGES or size > _PART_BYTES or pixels > _PART_PIXELS:
            yield from _answer_part(files, part, ask)
            part, size, pixels = {}, len(image.data), image.pixels
        part[at] = image.data
    yield from _answer_part(files, part, ask)


def _answer_part(files, part, ask):
    """As `_answers`, of a part: by the place of a file its image, or why there is none."""
    images = [image for image in part.values() if isinstance(image, bytes)]
    answers = iter(_ask_in_halves(images, ask) if images else [])
    for at, image in part.items():
        yield files[at], next(answers) if isinstance(image, bytes) else image


def _ask_in_halves(images, ask):
    """What the server answers to each image; if it refuses, to half of them, and half of those."""
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
        "class": None if answer.note == "nothing drawn" else answer.digit,
        "probabilities": answer.probabilities,
        "note": answer.note,
    }
    if FLAGS.show and answer.rows is not None:
        line["rows"] = answer.rows
    print(json.dumps(line), flush=True)


def _print_table(width):
    """A function that prints a line of the table, whose first column is so wide."""
    width = max(len("image"), width)
    lines = iter([f"{'image':{width}}  class  probability\n"])  # With the first answer.

    def show(name, answer):
        print(next(lines, ""), end="")
        if isinstance(answer, str):
            line = f"{'-':>5}  {'-':>11}  {answer}"
        elif answer.note == "nothing drawn":
            line = f"{'-':>5}  {'-':>11}  nothing drawn"
        else:
            line = f"{answer.digit:5}  {answer.probability:11.2%}  {answer.note or ''}"
        print(f"{name:{width}}  {line}".rstrip(), flush=True)
        if FLAGS.show and not isinstance(answer, str) and answer.rows is not None:
            print(picture(answer.rows, sys.stdout.encoding))

    return show


def picture(rows, encoding="utf-8"):
    """A 28x28 image of values 0 to 255 as text, two rows a line."""
    letters = " ▀▄█"  # Ink in neither row, in the upper, in the lower, in both.
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
    scheme, separator, place = address.strip().rpartition("://")
    scheme, place = scheme.lower() if separator else "http", place.rstrip("/")
    try:
        url = urllib.parse.urlsplit(f"//{place}")
        # Reading a port that is not one raises.
        is_right = url.hostname and url.port != 0 and not url.query and not url.fragment
        is_right = is_right and not set(place) & set(" \t\\")
        if scheme == "grpc":
            is_right = is_right and url.port and not url.path and not url.username
    except ValueError:
        is_right = False
    if scheme not in ("http", "https", "grpc") or not is_right:
        raise UserError(f"--server={address}: expected {_FORMS}")
    return f"{scheme}://{place}"


def _ask_rest(server, token):
    """A function that asks over REST: of a list of encoded images to the `Answer` to each.

    It raises `Refused` if the images may be the reason that there is no answer, and otherwise a
    `UserError`.
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
        status, found = _send(session, "POST", f"{model}:predict", server, json=body)
        if status == 200:
            rows = found.get("predictions")
            return _read_answers(rows, len(images), server)
        problem = found.get("error", f"status {status}")
        if status in (400, 413, 504):
            raise Refused(problem)
        if status == 401:
            raise _wrong_token(server, problem)
        if status == 404:
            _, found = _send(session, "GET", f"{server}/v1/models", server)
            names = [each["name"] for each in found.get("models", [])]
            if names and FLAGS.model not in names:
                expected = " or ".join(f"--model={name}" for name in names)
                raise UserError(
                    f"{server} does not have the model {FLAGS.model!r}; expected {expected}"
                )
        raise _other_problem(server, problem)

    return ask


def _send(session, method, url, server, **options):
    """The status and the JSON object that a request is answered with."""
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
        # A server that closes the connection has been there; for too large a request, perhaps.
        if "Connection aborted" not in str(error):
            raise _no_server(server) from None
        if "RemoteDisconnected" in str(error) or "Reset" in str(error) or "Pipe" in str(error):
            raise Refused(f"{server} closed the connection") from None
        raise UserError(f"{server} does not speak HTTP; expected {_FORMS}") from None
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        kind = response.headers.get("content-type", "an unknown type").partition(";")[0]
        raise UserError(
            f"{server} answered status {response.status_code} with {kind}, not a JSON object; "
            "expected the address of TensorFlow Serving's REST API, such as http://127.0.0.1:8501"
        )
    return response.status_code, found


def _ask_grpc(server, token):
    """As `_ask_rest`, over gRPC."""
    import grpc
    import tensorflow as tf  # Only here: it takes its seconds.
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
            if code in (codes.INVALID_ARGUMENT, codes.RESOURCE_EXHAUSTED):
                raise Refused(problem) from None
            if code == codes.UNAUTHENTICATED:
                raise _wrong_token(server, problem) from None
            if code == codes.DEADLINE_EXCEEDED:
                raise _too_late(server) from None
            # The library's own words for a server that is not there, or does not speak gRPC.
            if code == codes.UNAVAILABLE and ("connect" in problem or "resol" in problem):
                raise _no_server(server) from None
            raise _other_problem(server, problem) from None
        outputs = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        columns = zip(*(values.tolist() for values in outputs.values()), strict=True)
        rows = [dict(zip(outputs, row, strict=True)) for row in columns]
        return _read_answers(rows, len(images), server)

    return ask


def _read_answers(rows, count, server):
    """The `Answer` in each of `count` rows, `{"classes": ..., "probabilities": ...}`."""
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
    # JSON has no NaN: the server writes null.
    finite = [p if p is not None and math.isfinite(p) else None for p in probabilities]
    if not 0 <= classes < len(finite):
        raise IndexError(classes)
    return Answer(classes, finite, rows if np.shape(rows) == (28, 28) else None)


def _no_server(server):
    expected = "expected a server there: start one with python serve.py"
    return UserError(f"{server} does not answer; {expected}, or name another with --server")


def _too_late(server):
    return UserError(
        f"{server} did not answer within {FLAGS.timeout:g} s; expected an answer by then: allow "
        f"more with --timeout={2 * FLAGS.timeout:g}"
    )


def _wrong_token(server, problem):
    return UserError(f"{server}: {problem}: name the file of the token with --api_token_file")


def _other_problem(server, problem):
    if "expected" in problem:
        return UserError(f"{server}: {problem}")
    return UserError(f"{server}: {problem}; expected an answer: read the output of the server")


if __name__ == "__main__":
    run_script(main, takes_arguments=True)
