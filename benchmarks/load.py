"""Load on a server, made so that making it costs little beside answering it.

Requests are bytes made beforehand, connections are kept, and answers are only looked into when the
time is over. To be called in a process of its own.
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

# An answer depends in its last digits on what else is in its batch.
TOLERANCE = 1e-5
# Seconds after which a request counts as lost.
_PATIENCE = 60
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests that are sent again and again.

    Attributes:
        protocol: `rest` or `grpc`.
        address: `host:port`.
        requests: What is sent, one after the other: bodies of `:predict` with `instances`, or
            serialized `PredictRequest`s.
        expected: Of each request the answers that are right: arrays `(images, classes)`.
        connections: How many connections ask at once, each one request after the other.
        seconds: How long.
    """

    protocol: str
    address: str
    requests: list
    expected: list
    connections: int
    seconds: float


@dataclasses.dataclass
class Answers:
    """How a load was answered.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds each answer took.
        statuses: How many answers had each HTTP or gRPC status. `lost` counts requests that were
            sent and not answered, `refused` connections that were not let in.
        wrong: How many answers were not what was expected.
    """

    seconds: float = 0.0
    latencies: list = dataclasses.field(default_factory=list)
    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong: int = 0

    def missing(self):
        """How many requests had each status but those that mean an answer."""
        return {s: count for s, count in self.statuses.items() if s not in ("200", "OK")}

    def add(self, other):
        """Take the answers of another load in."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.statuses += other.statuses
        self.wrong += other.wrong


def words(statuses):
    """How many there were of each status, in words: `3 × 413`."""
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())) or "none"


def make(load):
    """Make a `Load`, and return its `Answers`."""
    return uvloop.run(_make(load))


def rest_request(model, instances):
    """The HTTP request that has a model read images, `(images, 28, 28)`."""
    body = orjson.dumps({"instances": instances}, option=orjson.OPT_SERIALIZE_NUMPY)
    head = (
        f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def grpc_request(model, instances):
    """The serialized `PredictRequest` that has a model read images, `(images, 28, 28)`."""
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    request = PredictRequest()
    request.model_spec.name = model
    request.inputs["rows"].CopyFrom(tf.make_tensor_proto(instances, tf.float32))
    return request.SerializeToString()


async def _make(load):
    answers, kept = Answers(), []
    connect = {"rest": _connect_rest, "grpc": _connect_grpc}[load.protocol]
    start = time.perf_counter()
    connections = [
        _ask_on_and_on(connect, load, first, start + load.seconds, answers, kept)
        for first in range(load.connections)
    ]
    await asyncio.gather(*connections)
    answers.seconds = time.perf_counter() - start
    answers.wrong = _count_wrong(load, kept)
    return answers


async def _ask_on_and_on(connect, load, number, end, answers, kept):
    """What one connection does, and anew whenever it is closed."""
    while time.perf_counter() < end:
        try:
            async with connect(load.address) as ask:
                while (now := time.perf_counter()) < end:
                    number = (number + 1) % len(load.requests)
                    async with asyncio.timeout(_PATIENCE):
                        status, answer = await ask(load.requests[number])
                    answers.latencies.append(time.perf_counter() - now)
                    answers.statuses[status] += 1
                    if answer is not None:
                        kept.append((number, answer))
        except ConnectionAbortedError:
            pass  # Nothing was asked.
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
    """As little of an HTTP client as a known server needs."""

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._answer = None
        self._received = b""
        self._size = None

    def ask(self, request):
        """Send a request; a future of status and, if that is 200, body."""
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

    # Channels to one server share one connection, as gRPC's users have it.
    async with grpc.aio.insecure_channel(address) as channel:
        # Bytes go and come as they are.
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        async def ask(request):
            try:
                return "OK", await predict(request)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    raise ConnectionResetError(error.details()) from error
                return error.code().name, None

        yield ask


def _count_wrong(load, kept):
    probabilities = {"rest": _rest_probabilities, "grpc": _grpc_probabilities}[load.protocol]
    return sum(
        not any(_is_near(probabilities(answer), right) for right in load.expected[number])
        for number, answer in kept
    )


def _is_near(found, right):
    return found.shape == right.shape and np.abs(found - right).max() <= TOLERANCE


def _rest_probabilities(body):
    return np.array([row["probabilities"] for row in orjson.loads(body)["predictions"]])


def _grpc_probabilities(message):
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    tensor = PredictResponse.FromString(message).outputs["probabilities"]
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)
