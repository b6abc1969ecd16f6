"""Ask a server which digits are on images.

    python -m serving.client seven.png photos/
    cat seven.png | python -m serving.client --server=grpc://127.0.0.1:8500 --json -

PNG and JPEG files, folders of them, and `-` for standard input; light ink on a dark ground. The
server may be this project's or TensorFlow Serving.
"""

import base64
import json
import pathlib
import sys

import requests
from absl import flags

from configs import UserError, define_path, run_script

FLAGS = flags.FLAGS
flags.DEFINE_string("server", "http://127.0.0.1:8501", "http:// for REST, grpc:// for gRPC.")
flags.DEFINE_string("model", "lstm", "The model that is asked.")
flags.DEFINE_integer("version", None, "Its version (default: the server's choice).", 0)
define_path("api_token_file", None, "File with the token the server asks for.")
flags.DEFINE_bool("json", False, "Print JSON, one line an image, in place of a table.")
flags.DEFINE_float("timeout", 30, "Seconds to wait for the answer.", 0.001)

_SUFFIXES = (".png", ".jpg", ".jpeg")


def main(places):
    """Print what the server makes of the images in `places`."""
    images = dict(_images(places))
    if not images:
        raise UserError("received no image; expected PNG or JPEG files, folders of them, or -")
    token = pathlib.Path(FLAGS.api_token_file).read_text().strip() if FLAGS.api_token_file else None
    scheme, _, address = FLAGS.server.partition("://")
    ask = {"http": ask_rest, "https": ask_rest, "grpc": ask_grpc}.get(scheme)
    if ask is None or not address:
        raise UserError(f"--server={FLAGS.server}: expected http://HOST:PORT or grpc://HOST:PORT")
    answers = ask(FLAGS.server, FLAGS.model, FLAGS.version, list(images.values()), token)
    if FLAGS.json:
        for name, (digit, probabilities) in zip(images, answers, strict=True):
            print(json.dumps({"image": name, "class": digit, "probabilities": probabilities}))
        return
    width = max(len("image"), *map(len, images))
    print(f"{'image':{width}}  class  probability")
    for name, (digit, probabilities) in zip(images, answers, strict=True):
        print(f"{name:{width}}  {digit:5}  {probabilities[digit]:11.2%}")


def ask_rest(server, model, version, images, token=None):
    """Ask over REST.

    Args:
        server: `http://HOST:PORT`.
        model: The model's name.
        version: Its version's number, or `None`.
        images: Encoded images, a list of bytes.
        token: The token to send, or `None`.

    Returns:
        For each image the class and the list of probabilities.

    Raises:
        UserError: If there is no server, or it refuses.
    """
    place = f"/versions/{version}" if version is not None else ""
    body = {
        "signature_name": "serving_bytes",
        "instances": [{"b64": base64.b64encode(image).decode()} for image in images],
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{server}/v1/models/{model}{place}:predict"
    try:
        answer = requests.post(url, json=body, headers=headers, timeout=FLAGS.timeout)
        found = answer.json()
        if answer.status_code != 200:
            raise UserError(f"{server}: {found['error']}; expected an answer")
        return [(row["classes"], row["probabilities"]) for row in found["predictions"]]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise _no_server(server, error) from error


def ask_grpc(server, model, version, images, token=None):
    """As `ask_rest`, over gRPC: `server` is `grpc://HOST:PORT`."""
    import grpc
    import tensorflow as tf  # Only here: it takes its seconds.
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "serving_bytes"
    if version is not None:
        request.model_spec.version.value = version
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, dtype=tf.string))
    metadata = [("authorization", f"Bearer {token}")] if token else []
    try:
        with grpc.insecure_channel(server.removeprefix("grpc://")) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(request, timeout=FLAGS.timeout, metadata=metadata)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise _no_server(server, error.details()) from error
        raise UserError(f"{server}: {error.details()}; expected an answer") from error
    outputs = {name: tf.make_ndarray(tensor).tolist() for name, tensor in answer.outputs.items()}
    return list(zip(outputs["classes"], outputs["probabilities"], strict=True))


def _no_server(server, error):
    return UserError(f"{server} does not answer ({error}); expected a server: python serve.py")


def _images(places):
    """The name and the bytes of each image."""
    for place in places:
        if place == "-":
            yield "-", sys.stdin.buffer.read()
            continue
        path = pathlib.Path(place)
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        for file in files:
            yield str(file), file.read_bytes()


if __name__ == "__main__":
    run_script(main, takes_arguments=True)
