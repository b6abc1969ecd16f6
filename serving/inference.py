"""`:predict` and `:classify` of TensorFlow Serving's REST API. Nearly all requests are these."""

import asyncio
import json
import math
import time

import orjson
from starlette.requests import ClientDisconnect

from serving import classify
from serving.compression import MIN_BYTES, accepts_gzip, pack, unpacker
from serving.errors import NotFound, RequestError, TooLarge, TooLate
from serving.layout import is_version
from serving.signature import names_in_words
from serving.tensors import from_json, matrices_from_json, to_json
from serving.version import DEFAULT_SIGNATURE

GONE = 499  # nginx's status for a client that closed the connection before the answer.


class Inference:
    """An ASGI application; Starlette's `Request` and `Response` would take a tenth of its time.

    Args:
        repository: The `Repository`.
        metrics: The `Metrics`.
        max_bytes: Maximum number of bytes in a request's body.
        seconds: Maximum seconds for a request, including the time to receive its body.
    """

    def __init__(self, repository, metrics, max_bytes, seconds):
        self.repository = repository
        self.metrics = metrics
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.verbs = {"predict": self._predict, "classify": self._classify}

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        started = time.perf_counter()
        model, status = "", 200
        try:
            path = scope["path_params"]
            version = self.repository.find(*choice(path))
            model = version.model
            answer = self.verbs.get(path["verb"])
            if answer is None:
                raise NotFound(f"received :{path['verb'][:80]}; expected :predict or :classify")
            async with asyncio.timeout(self.seconds):
                with version.used():
                    value = await answer(version, await self._body(scope, receive))
            await _send_json(scope, send, value)
        except TimeoutError:
            status = TooLate.status
            raise TooLate(
                f"no answer within {self.seconds:g} seconds; try again later, or with fewer rows"
            ) from None
        except RequestError as error:
            status = error.status
            raise
        except ClientDisconnect:
            status = GONE
            raise
        except Exception:
            status = 500
            raise
        finally:
            self.metrics.on_answer("rest", model, status, time.perf_counter() - started)

    async def _predict(self, version, raw):
        signature, arrays, by_row, wanted = _read_matrices(version, raw) or _read(version, raw)
        outputs = await version.run(signature, self._checked(signature, arrays))
        outputs = {name: outputs[name] for name in wanted}
        if by_row and not signature.is_by_row:
            _expect_rows(signature, outputs)
        outputs = {name: to_json(name, array) for name, array in outputs.items()}
        if not by_row:
            return {"outputs": _without_name(outputs)}
        if len(outputs) == 1:
            return {"predictions": _without_name(outputs)}
        names, rows = list(outputs), zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}

    async def _classify(self, version, raw):
        body = _parsed(raw)
        _expect_keys(body, {"examples"}, {"signature_name", "context"})
        signature = version.signature(_text(body, "signature_name"))
        arrays = {classify.INPUT: classify.examples(signature, body)}
        outputs = await version.run(signature, self._checked(signature, arrays))
        return {"result": classify.results(outputs)}

    def _checked(self, signature, arrays):
        return signature.check(arrays, self.repository.limits.request_rows)

    async def _body(self, scope, receive):
        """The body of a request, unpacked."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        self._check_size(int(length) if length.isdigit() else 0)
        encoding = headers.get(b"content-encoding")
        unpack = unpacker(encoding, self.max_bytes) if encoding else None
        parts, size, is_more = [], 0, True
        while is_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message["body"]
            size += len(part)
            self._check_size(size)
            parts.append(unpack(part) if unpack else part)
            is_more = message["more_body"]
        if unpack:
            unpack.finish()
        return b"".join(parts)

    def _check_size(self, size):
        if size > self.max_bytes:
            raise TooLarge(
                f"received a body of over {self.max_bytes:,} bytes; expected a smaller one: send "
                "fewer rows in a request"
            )


def choice(path):
    """The model, version number and label in the parameters of a path."""
    number = path.get("version")
    if number is not None:
        if not is_version(number):
            raise RequestError(f"received version {number[:80]!r}; expected a number")
        number = int(number)
    return path["model"], number, path.get("label")


def _read_matrices(version, raw):
    """The result of `_read`, but faster, for a body of `matrices_from_json`; else `None`."""
    signature = version.signatures.get(DEFAULT_SIGNATURE)
    if signature and len(signature.inputs) == 1:
        ((name, spec),) = signature.inputs.items()
        key, matrices = matrices_from_json(spec, raw)
        if key:
            return signature, {name: matrices}, key == "instances", signature.outputs
    return None


def _read(version, raw):
    """Read the body of a `:predict`.

    Returns:
        The signature, its inputs by name, whether they were sent row by row (`instances`), and the
        names of the outputs to send.
    """
    body = _parsed(raw)
    _expect_keys(body, {"instances", "inputs"}, {"signature_name", "output_filter"})
    signature = version.signature(_text(body, "signature_name"))
    wanted = signature.wanted(body.get("output_filter") or [])
    if signature.not_in_json:
        names = names_in_words(f"{name} ({type})" for name, type in signature.not_in_json.items())
        raise RequestError(
            f"signature {signature.name}: JSON does not have the types of {names}; use gRPC"
        )
    by_row = "instances" in body
    values = body["instances"] if by_row else body["inputs"]
    columns = (_from_rows if by_row else _from_columns)(signature, values)
    booleans = b"true" in raw or b"false" in raw
    arrays = {
        name: from_json(signature.inputs[name], value, booleans) for name, value in columns.items()
    }
    return signature, arrays, by_row, wanted


def _parsed(body):
    """Parse the JSON object in a body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise _not_json(error) from None
        value = _parsed_with_nan(body)
    if not isinstance(value, dict):
        raise RequestError(f"received a JSON {type(value).__name__}; expected an object")
    return value


def _parsed_with_nan(body):
    """Parse a body with the words NaN, Infinity and -Infinity.

    JSON does not have these words. TensorFlow Serving and Python's `json` accept them.
    """
    try:
        value = json.loads(body.decode(), parse_int=_number, parse_float=_number)
        orjson.dumps(value)  # Refuses half of a surrogate pair, as `orjson.loads` does.
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_json(error) from None
    return value


def _number(text):
    """Parse a number as orjson does: to an integer of 64 bits or a finite float."""
    if len(text) <= 20 and text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**64:
        return int(text)
    value = float(text)
    if math.isinf(value):
        raise ValueError("number is infinity when parsed as double")
    return value


def _not_json(error):
    example = '{"instances": [...]}'
    return RequestError(
        f"cannot read the body as JSON in UTF-8: {error}; expected an object such as {example}"
    )


def _expect_keys(body, one_of, others):
    received = set(body)
    if len(received & one_of) != 1 or received - one_of - others:
        names = names_in_words(received)
        either = " or ".join(sorted(one_of))
        raise RequestError(
            f"received {names}; expected {either}, and in addition only {', '.join(sorted(others))}"
        )


def _text(body, key):
    value = body.get(key, "")
    if not isinstance(value, str):
        raise RequestError(f"{key}: received {type(value).__name__}; expected a text")
    return value


def _from_rows(signature, instances):
    """The columns by name from the row format: a list of values, or of objects with all inputs."""
    if not isinstance(instances, list) or not instances:
        raise RequestError("instances: expected a list with at least one element")
    names = set(signature.inputs)
    # An object is a row, unless it is a text in base64.
    if all(isinstance(row, dict) and set(row) != {"b64"} for row in instances):
        for row in instances:
            if set(row) != names:
                received, expected = names_in_words(row), names_in_words(names)
                raise RequestError(f"instances: received a row of {received}; expected {expected}")
        return {name: [row[name] for row in instances] for name in names}
    if len(names) > 1:
        raise RequestError(f"instances: expected objects with {', '.join(sorted(names))}")
    return {next(iter(names)): instances}


def _from_columns(signature, inputs):
    """The columns by name from the column format: an object, or the value of the only input."""
    if isinstance(inputs, dict) and set(inputs) != {"b64"}:
        if set(inputs) != set(signature.inputs):
            received, expected = names_in_words(inputs), names_in_words(signature.inputs)
            raise RequestError(f"inputs: received {received}; expected {expected}")
        return inputs
    if len(signature.inputs) > 1:
        raise RequestError(f"inputs: expected an object with {', '.join(sorted(signature.inputs))}")
    return {next(iter(signature.inputs)): inputs}


def _expect_rows(signature, outputs):
    """Raise a `RequestError` if the outputs do not have the same number of rows."""
    rows = {array.shape[:1] for array in outputs.values()}
    if len(rows) > 1 or () in rows:
        raise RequestError(
            f"signature {signature.name} does not give one row of each output for each of the "
            "instances; use inputs in place of instances"
        )


def _without_name(outputs):
    """The value of the only output, or all outputs by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


async def _send_json(scope, send, value):
    """Send status 200 and a value in JSON, packed if it is large and the client accepts gzip."""
    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [(b"content-type", b"application/json")]
    if len(body) >= MIN_BYTES:
        headers.append((b"vary", b"accept-encoding"))
        if accepts_gzip(dict(scope["headers"]).get(b"accept-encoding", b"")):
            headers.append((b"content-encoding", b"gzip"))
            body = await asyncio.to_thread(pack, body)
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
