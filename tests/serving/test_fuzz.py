"""Tens of thousands of generated requests, and none causes a server error.

They are requests that the published OpenAPI document allows, valid requests with changes, bytes
that are hardly HTTP, and the same over gRPC. The only 5xx that is allowed is 503, and every 4xx
says in JSON what is wrong.
"""

import collections
import copy
import gzip
import http.client
import json
import re
import socket
import string
import time
import urllib.parse

import grpc
import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tests.serving.conftest import MODELS, images
from tests.serving.test_grpc import predict_request
from tests.serving.test_rest import b64, png

pytestmark = pytest.mark.slow

REQUESTS = {"allowed": 4000, "changed": 11000, "numbers": 2000, "bytes": 2500, "grpc": 3500}
counted = collections.Counter()  # By kind and answer.

texts = st.text(max_size=20)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def fuzz(kind, **strategies):
    """Send as many requests as `REQUESTS` says, the same in every run."""

    def decorate(test):
        settled = settings(
            max_examples=REQUESTS[kind],
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        return settled(given(**strategies)(test))

    return decorate


@pytest.fixture(scope="module")
def ask(server):
    """Send requests on one connection, and reopen it before the server closes it."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    asked = time.monotonic()

    def ask(method, path, body=None):
        nonlocal asked
        if time.monotonic() - asked > 30:  # Hypothesis takes time to generate a request.
            connection.close()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            asked = time.monotonic()
            return answer.status, answer.read()

    yield ask
    connection.close()


@pytest.fixture(scope="module")
def document(server):
    return server.get("/openapi.json").json()


def check(kind, status, body, allowed=range(200, 600)):
    counted[kind, status] += 1
    assert status in allowed
    assert status < 500 or status == 503
    if 400 <= status < 500:
        error = json.loads(body)["error"]
        assert isinstance(error, str)
        assert error
        assert "Traceback" not in error


def from_schema(schema, components):
    """A strategy for what a schema allows. It knows only the keywords in our document."""
    schema = dict(schema)
    schema.pop("description", None)
    if "$ref" in schema:
        return from_schema(components[schema["$ref"].rpartition("/")[2]], components)
    for either in ("oneOf", "anyOf"):
        if either in schema:
            return st.one_of([from_schema(one, components) for one in schema[either]])
    kind = schema.pop("type", None)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind == "object" and "properties" in schema:
        required = schema.pop("required", [])
        schema.pop("additionalProperties", None)
        fields = {k: from_schema(v, components) for k, v in schema.pop("properties").items()}
        assert not schema
        return st.fixed_dictionaries(
            {name: field for name, field in fields.items() if name in required},
            optional={name: field for name, field in fields.items() if name not in required},
        )
    if kind == "array":
        min_size = schema.get("minItems", 0)
        max_size = schema.get("maxItems", min_size + 3)
        items = from_schema(schema["items"], components)
        return st.lists(items, min_size=min_size, max_size=max_size)
    if kind == "string" and "minLength" in schema:
        return st.text(min_size=schema["minLength"], max_size=20) | st.sampled_from(MODELS)
    if kind == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if kind == "number":
        return numbers
    return {
        "string": texts | st.sampled_from([*MODELS, "serving_default", "serving_bytes", "trace"]),
        "object": st.dictionaries(texts, values, max_size=3),
        None: values,
    }[kind]


def operations(document):
    """The operations in the document: `(method, path, parameters, body, responses)`."""
    schemas = document["components"]["schemas"]
    listed = []
    for path, item in document["paths"].items():
        parameters = {
            p["name"]: from_schema(p["schema"], schemas) for p in item.get("parameters", [])
        }
        for method in item.keys() - {"parameters"}:
            body = item[method].get("requestBody")
            body = body and from_schema(body["content"]["application/json"]["schema"], schemas)
            responses = {int(status) for status in item[method]["responses"]}
            listed.append((method.upper(), path, parameters, body, responses))
    return sorted(listed, key=lambda operation: operation[:2])


@fuzz("allowed", data=st.data())
def test_requests_that_the_document_allows_get_the_documented_statuses(data, ask, document):
    method, path, parameters, body, responses = data.draw(st.sampled_from(operations(document)))
    for name, strategy in parameters.items():
        value = urllib.parse.quote(str(data.draw(strategy)), safe="")
        path = path.replace(f"{{{name}}}", value)
    body = json.dumps(data.draw(body)) if body is not None else None
    status, answer = ask(method, path, body)
    check("allowed", status, answer, responses)


IMAGE = images(1)[0]
SEEDS = [
    json.dumps(body)
    for body in [
        {"instances": [IMAGE.tolist()]},
        {"instances": [{"rows": IMAGE.tolist()}] * 2},
        {"inputs": {"rows": [IMAGE.tolist()]}},
        {"inputs": [(IMAGE / 7).tolist()], "signature_name": "trace"},
        {"instances": [b64(png(IMAGE))] * 2, "signature_name": "serving_bytes"},
        {"inputs": {"image_bytes": [b64(png(IMAGE))]}, "signature_name": "serving_bytes"},
        {"examples": [{"x": 1}], "context": {"y": [1.5]}, "signature_name": "serving_default"},
    ]
]
PATHS = [
    "/v1/models/lstm:predict",
    "/v1/models/lstm/versions/1:predict",
    "/v1/models/basic_rnn:predict",
    "/v1/models/lstm:classify",
]


def change(draw, value):
    """Change one part of a JSON value."""
    holder = {"all": value}
    parent, key = holder, "all"
    while isinstance(inner := parent[key], list | dict) and inner and draw(st.booleans()):
        parent = inner
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    how = draw(st.sampled_from(["replace", "number", "remove", "wrap", "repeat", "add"]))
    if how == "replace":
        parent[key] = draw(values)
    elif how == "number":
        parent[key] = draw(numbers)
    elif how == "remove":
        del parent[key]
    elif how == "wrap":
        parent[key] = draw(st.sampled_from([[parent[key]], {"b64": parent[key]}]))
    elif how == "repeat" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif isinstance(parent[key], dict):
        parent[key][draw(texts)] = draw(values)
    elif isinstance(parent[key], list):
        parent[key].append(draw(values))
    return holder.get("all")


def spoil(draw, raw):
    """Remove, insert or replace some bytes."""
    start = draw(st.integers(0, len(raw)))
    end = draw(st.sampled_from([start, start + 1, start + 9, len(raw)]))
    return raw[:start] + draw(st.binary(max_size=9)) + raw[end:]


@fuzz("changed", data=st.data())
def test_almost_valid_requests_are_refused_with_a_reason(data, ask):
    body = json.loads(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(0, 3))):
        body = change(data.draw, body)
    raw = json.dumps(body).encode()
    for _ in range(data.draw(st.sampled_from([0, 0, 0, 1, 2]))):
        raw = spoil(data.draw, raw)
    status, answer = ask("POST", data.draw(st.sampled_from(PATHS)), raw)
    check("changed", status, answer)
    if status == 200:
        assert json.loads(answer).keys() & {"predictions", "outputs", "result"}


digits = st.text("0123456789", max_size=4) | st.sampled_from([19, 20, 21, 300, 400, 5000]).flatmap(
    lambda count: st.sampled_from("0179").map(lambda digit: digit * count)
)
FORMS = (
    "-0 -0.0 1E+2 0.1e-400 1e400 -1e400 0e99999 00 -01 +1 0x10 NaN -NaN nan Infinity -Infinity inf "
    "1_000 1,5 1. .5 --1 - \u0661 18446744073709551615 18446744073709551616 9223372036854775808"
)
numerals = st.one_of(
    st.sampled_from(FORMS.split()),
    st.tuples(
        st.sampled_from(["", "", "", "-", "+"]),
        digits,
        st.just("") | st.tuples(st.just("."), digits).map("".join),
        st.just("") | st.tuples(st.sampled_from(["e", "E", "e+", "e-"]), digits).map("".join),
    ).map("".join),
    st.integers().map(str),
    st.floats().map(json.dumps),
)


@fuzz("numbers", data=st.data())
def test_numbers_of_any_size_and_form_are_read_as_python_reads_them(data, ask):
    numeral = data.draw(numerals)
    text = json.dumps({data.draw(st.sampled_from(["instances", "inputs"])): [IMAGE.tolist()]})
    replaced = data.draw(st.sampled_from(list(re.finditer(r"\d+", text))))
    text = text[: replaced.start()] + numeral + text[replaced.end() :]
    try:
        (pixels,) = json.loads(text).values()
        is_right = np.shape(pixels) == (1, 28, 28)
        is_right = is_right and np.min(pixels) >= 0 and np.max(pixels) <= 255
    except ValueError:
        is_right = False
    status, answer = ask("POST", PATHS[0], text.encode())
    check("numbers", status, answer)
    assert (status == 200) == is_right


HTTP = f"POST {PATHS[0]} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n".encode()
WHOLE = b'{"instances": [1]}'
PACKED = gzip.compress(WHOLE)
HTTP_SEEDS = [
    HTTP + b"Content-Length: 18\r\n\r\n" + WHOLE,
    HTTP + b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + WHOLE + b"\r\n0\r\n\r\n",
    HTTP + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED),
    HTTP + b"Content-Encoding: gzip\r\nExpect: 100-continue\r\nContent-Length: 18\r\n\r\n" + WHOLE,
    b"GET /v1/models/lstm/versions/1/metadata?a=b%20c#d HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/page/index.html HTTP/1.1\r\nRange: bytes=0-9\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nOrigin: http://a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
]
methods = st.sampled_from(["GET", "PUT", "HEAD", "PATCH", "DELETE", "CONNECT", "TRACE", "get"])
paths = st.text(string.printable.strip() + "é€", max_size=30).map(lambda path: f"/{path}")


@fuzz("bytes", data=st.data())
def test_bytes_that_are_hardly_http_are_answered_or_disconnected(data, server):
    if data.draw(st.booleans()):
        method, path = data.draw(methods), data.draw(paths)
        sent = f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    else:
        sent = spoil(data.draw, data.draw(st.sampled_from(HTTP_SEEDS)))
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=0.1) as client:
        try:
            client.sendall(sent)
            answer = http.client.HTTPResponse(client, method=sent[:4].strip().decode("latin-1"))
            answer.begin()
            with answer:
                status, body = answer.status, answer.read()
        except (TimeoutError, ConnectionError, http.client.RemoteDisconnected):
            counted["bytes", "none"] += 1  # The server waits for more.
            return
    if sent.startswith(b"HEAD") or (b"/page/" in sent and body):
        body = b'{"error": "HEAD has no body, and files are refused in plain text."}'
    check("bytes", status, body)


types = st.sampled_from([*DataType.values(), 99])
sizes = st.lists(st.sampled_from([-1, 0, 1, 2, 28, 10**6, 2**62]) | st.integers(0, 30), max_size=5)
WHOLE_REQUEST = predict_request(images(1).astype("float32"))


def change_tensor(draw, tensor):
    how = draw(st.sampled_from(["type", "shape", "content", "values", "size"]))
    if how == "type":
        tensor.dtype = draw(types)
    elif how == "shape":
        del tensor.tensor_shape.dim[:]
        for size in draw(sizes):
            tensor.tensor_shape.dim.add(size=size)
    elif how == "content":
        tensor.tensor_content = draw(st.binary(max_size=40)) * draw(st.sampled_from([1, 80]))
    elif how == "values":
        tensor.ClearField("tensor_content")
        tensor.float_val.extend(draw(st.lists(st.floats(width=32), max_size=4)))
        tensor.string_val.extend(draw(st.lists(st.binary(max_size=4), max_size=4)))
        tensor.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4)))
    else:
        tensor.tensor_shape.unknown_rank = True


def change_request(draw, request):
    how = draw(st.sampled_from(["tensor", "tensor", "tensor", "name", "spec", "filter"]))
    if how == "tensor":
        tensor = request.inputs["rows"] if "rows" in request.inputs else TensorProto()
        change_tensor(draw, tensor)
    elif how == "name":
        request.inputs[draw(texts)].CopyFrom(request.inputs["rows"])
        if draw(st.booleans()):
            del request.inputs["rows"]
    elif how == "spec":
        request.model_spec.name = draw(st.sampled_from(MODELS) | texts)
        request.model_spec.signature_name = draw(st.sampled_from(["serving_bytes", "x"]) | texts)
        if draw(st.booleans()):
            request.model_spec.version.value = draw(st.integers(-(2**63), 2**63 - 1))
        elif draw(st.booleans()):
            request.model_spec.version_label = draw(texts)
    else:
        request.output_filter.append(draw(st.sampled_from(["classes", "x"])))


@pytest.fixture(scope="module")
def predict(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel.unary_unary("/tensorflow.serving.PredictionService/Predict")


@fuzz("grpc", data=st.data())
def test_almost_valid_grpc_messages_are_refused_with_a_reason(data, predict):
    request = PredictRequest.FromString(WHOLE_REQUEST.SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        change_request(data.draw, request)
    raw = request.SerializeToString()
    for _ in range(data.draw(st.sampled_from([0, 0, 0, 1]))):
        raw = spoil(data.draw, raw)
    call = predict.future(raw, timeout=60)
    counted["grpc", call.code().name] += 1
    assert call.code() in {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    assert call.code() == grpc.StatusCode.OK or call.details()


def test_the_server_still_works_afterwards(server):
    for (kind, answer), count in sorted(counted.items(), key=str):
        print(f"| {kind} | {answer} | {count:,} |")
    assert counted.total() >= 20_000
    assert server.process.poll() is None
    expected = requests.post(f"{server.url}{PATHS[0]}", SEEDS[0], timeout=60)
    assert expected.status_code == 200
    assert 'status="500"' not in server.get("/metrics").text
    assert 'status="INTERNAL"' not in server.get("/metrics").text
