"""A load generator that needs little processor time compared with the server.

Requests are encoded in advance, connections are reused, and answers are decoded after the measured
time. Call it in a separate process.
"""

import asyncio
import collections
import contextlib
import dataclasses
import re
import socket
import time

import numpy as np
import orjson
import uvloop

# The last digits of an answer depend on the other images of its batch.
TOLERANCE = 1e-5
# Seconds after which a request counts as lost.
_TIMEOUT = 60
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests that are sent repeatedly.

    Attributes:
        protocol: `rest` or `grpc`.
        address: `host:port`.
        requests: The requests, sent one after the other: HTTP requests of `:predict` with
            `instances`, or serialized `PredictRequest`s.
        expected: The correct answers to each request: arrays `(images, classes)`.
        connections: Number of connections; each sends one request after the other.
        seconds: Duration.
    """

    protocol: str
    address: str
    requests: list
    expected: list
    connections: int
    seconds: float


@dataclasses.dataclass
class Answers:
    """The answers to a load.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each request until its answer.
        statuses: Number of answers by HTTP or gRPC status. `lost` counts requests without an
            answer, `refused` counts refused connections.
        wrong: Number of answers that differ from the expected ones.
    """

    seconds: float = 0.0
    latencies: list = dataclasses.field(default_factory=list)
    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong: int = 0

    def missing(self):
        """Number of requests by status, without those that were answered."""
        return {s: count for s, count in self.statuses.items() if s not in ("200", "OK")}

    def add(self, other):
        """Add the answers of another load."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.statuses += other.statuses
        self.wrong += other.wrong


def words(statuses):
    """Format numbers by status as text: `3 × 413`."""
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())) or "none"


def make(load):
    """Send a `Load` and return its `Answers`."""
    return uvloop.run(_make(load))


def rest_request(model, instances):
    """Encode an HTTP request with images `(images, 28, 28)`."""
    body = orjson.dumps({"instances": instances}, option=orjson.OPT_SERIALIZE_NUMPY)
    head = (
        f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def grpc_request(model, instances):
    """Serialize a `PredictRequest` with images `(images, 28, 28)`."""
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    request = PredictRequest()
    request.model_spec.name = model
    request.inputs["rows"].CopyFrom(tf.make_tensor_proto(instances, tf.float32))
    return request.SerializeToString()


async def _make(load):
    answers, bodies = Answers(), []
    connect = {"rest": _connect_rest, "grpc": _connect_grpc}[load.protocol]
    start = time.perf_counter()
    connections = [
        _send_requests(connect, load, first, start + load.seconds, answers, bodies)
        for first in range(load.connections)
    ]
    await asyncio.gather(*connections)
    answers.seconds = time.perf_counter() - start
    answers.wrong = _count_wrong(load, bodies)
    return answers


async def _send_requests(connect, load, number, end, answers, bodies):
    """Send requests over one connection, and reconnect when it is closed."""
    while time.perf_counter() < end:
        try:
            async with connect(load.address) as ask:
                while (now := time.perf_counter()) < end:
                    number = (number + 1) % len(load.requests)
                    async with asyncio.timeout(_TIMEOUT):
                        status, answer = await ask(load.requests[number])
                    answers.latencies.append(time.perf_counter() - now)
                    answers.statuses[status] += 1
                    if answer is not None:
                        bodies.append((number, answer))
        except ConnectionAbortedError:
            pass  # No request was sent.
        except ConnectionRefusedError:
            answers.statuses["refused"] += 1
            await asyncio.sleep(0.1)
        except (ConnectionError, TimeoutError):
            answers.statuses["lost"] += 1


@contextlib.asynccontextmanager
async def _connect_rest(address):
    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(_Http, host, int(port))
    try:
        yield connection.ask
    finally:
        transport.close()


class _Http(asyncio.Protocol):
    """A minimal HTTP client for the servers of this benchmark."""

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._answer = None
        self._received = b""
        self._size = None

    def ask(self, request):
        """Send a request; returns a future of the status and the body (`None` unless 200)."""
        if self._transport.is_closing():
            raise ConnectionAbortedError("closed after the last answer")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data):
        self._received += data
        if self._size is None and (end := self._received.find(b"\r\n\r\n")) > 0:
            self._size = end + 4 + int(_LENGTH.search(self._received, 0, end + 2)[1])
        if self._size is None or len(self._received) < self._size:
            return
        received, self._received, self._size = self._received, b"", None
        head, _, body = received.partition(b"\r\n\r\n")
        if _CLOSE.search(head + b"\r\n"):
            self._transport.close()
        status = head[9:12].decode()
        body = body if status == "200" else None
        if not self._answer.done():
            self._answer.set_result((status, body))

    def connection_lost(self, exc):
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("closed before the answer"))


@contextlib.asynccontextmanager
async def _connect_grpc(address):
    import grpc

    # Channels to one server share one connection; this is gRPC's default.
    async with grpc.aio.insecure_channel(address) as channel:
        # Requests and answers are raw bytes.
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        async def ask(request):
            try:
                return "OK", await predict(request)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    raise ConnectionResetError(error.details()) from error
                return error.code().name, None

        yield ask


def _count_wrong(load, bodies):
    probabilities = {"rest": _rest_probabilities, "grpc": _grpc_probabilities}[load.protocol]
    return sum(
        not any(_is_near(probabilities(answer), right) for right in load.expected[number])
        for number, answer in bodies
    )


def _is_near(actual, right):
    return actual.shape == right.shape and np.abs(actual - right).max() <= TOLERANCE


def _rest_probabilities(body):
    return np.array([row["probabilities"] for row in orjson.loads(body)["predictions"]])


def _grpc_probabilities(message):
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    tensor = PredictResponse.FromString(message).outputs["probabilities"]
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)
