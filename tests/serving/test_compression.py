"""Packed requests and answers, over REST and gRPC."""

import gzip
import http.client
import json
import pathlib
import urllib.parse
import zlib

import grpc
import numpy as np
import pytest

from serving.compression import accepts_gzip
from tests.serving.conftest import images
from tests.serving.test_grpc import predict_request, prediction_service_pb2_grpc

PATH = "/v1/models/lstm:predict"
MAX_BYTES = 32 * 2**20
BODY = json.dumps({"inputs": images(2).tolist()}).encode()
TRACE = json.dumps({"inputs": images(2).tolist(), "signature_name": "trace"}).encode()


def ask(server, body=None, path=PATH, chunks=None, **headers):
    """The status, headers and unchanged body of an answer."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    method = "GET" if body is None and chunks is None else "POST"
    connection.request(method, path, chunks or body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def deflated(body):
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        *[(gzip.compress, name) for name in ("gzip", "GZIP", "x-gzip")],
        *[(deflated, "deflate"), (bytes, "identity")],
    ],
)
@pytest.mark.parametrize("size", [None, 1, 100])
def test_a_packed_request_has_the_same_answer_as_the_plain_one(pack, name, size, server):
    expected = json.loads(ask(server, BODY)[2])
    packed = pack(BODY)
    chunks = size and [packed[n : n + size] for n in range(0, len(packed), size)][:200]
    if chunks:
        chunks.append(packed[200 * size :])
    status, _, answer = ask(server, packed, chunks=chunks and iter(chunks), Content_Encoding=name)
    assert status == 200
    assert json.loads(answer) == expected


PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    ("name", "body", "status", "expected"),
    [
        ("br", BODY, 415, "Content-Encoding: br; expected gzip, deflate or none"),
        ("gzip, gzip", PACKED, 415, "gzip, gzip"),
        ("é", BODY, 415, "é"),
        ("gzip", BODY, 400, "incorrect header check; expected gzip"),
        ("gzip", b"", 400, "ends too early"),
        ("gzip", PACKED[:-1], 400, "ends too early"),
        ("gzip", PACKED[:500] + b"\xff" * 50 + PACKED[550:], 400, "cannot unpack"),
        ("gzip", PACKED[:-8] + bytes(8), 400, "incorrect data check"),
        ("gzip", PACKED + b"more", 400, "after its end"),
        ("gzip", deflated(BODY), 400, "expected gzip"),
        ("deflate", PACKED, 400, "expected deflate"),
        ("gzip", gzip.compress(b"hello", mtime=0), 400, "as JSON"),
        (None, PACKED, 400, "UTF-8"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused_with_a_reason(
    name, body, status, expected, server
):
    actual, _, answer = ask(server, body, **({"Content_Encoding": name} if name else {}))
    assert actual == status, answer
    assert expected in json.loads(answer)["error"]


def peak_megabytes(server):
    """The peak memory of the server."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def bomb(name):
    """The beginning of a packed gigabyte of zeros."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    megabyte = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    head = gzip.compress(b"")[:10] if name == "gzip" else zlib.compress(b"")[:2]
    return head + 1024 * megabyte


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_small_body_that_unpacks_to_a_gigabyte_uses_little_memory(name, server):
    before = peak_megabytes(server)
    status, _, answer = ask(server, bomb(name), Content_Encoding=name)
    assert status == 413
    assert "over 33,554,432 bytes" in json.loads(answer)["error"]
    assert peak_megabytes(server) - before < 150


def test_a_body_that_unpacks_to_exactly_the_limit_is_accepted(server):
    space = MAX_BYTES - len(BODY)
    for more, expected in ((0, 200), (1, 413)):
        packed = gzip.compress(BODY + b" " * (space + more), 1)
        assert ask(server, packed, Content_Encoding="gzip")[0] == expected


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.5, br", "GZip"])
def test_a_large_answer_is_packed_if_the_client_accepts_gzip(accepted, server):
    status, headers, plain = ask(server, TRACE)
    assert (status, headers["content-encoding"], headers["vary"]) == (200, None, "accept-encoding")
    status, headers, packed = ask(server, TRACE, Accept_Encoding=accepted)
    assert (status, headers["content-encoding"], headers["vary"]) == (
        200,
        "gzip",
        "accept-encoding",
    )
    assert int(headers["content-length"]) == len(packed) < 0.6 * len(plain)
    assert json.loads(gzip.decompress(packed)) == json.loads(plain)


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "gzip; q=0.000, br", "*;q=0"])
def test_an_answer_is_not_packed_if_the_client_does_not_accept_gzip(accepted, server):
    _, headers, _ = ask(server, TRACE, Accept_Encoding=accepted)
    assert "content-encoding" not in headers


def test_a_small_answer_is_not_packed(server):
    _, headers, _ = ask(server, BODY, Accept_Encoding="gzip")
    assert "content-encoding" not in headers
    assert "vary" not in headers


@pytest.mark.parametrize(
    "path", ["/", "/page/style.css", "/page/panel.js", "/metrics", "/v1/models/lstm/metadata"]
)
def test_the_page_and_the_documents_of_the_server_are_packed_too(path, server):
    _, headers, packed = ask(server, path=path, Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert headers["content-security-policy"]
    _, headers, plain = ask(server, path=path)
    assert "content-encoding" not in headers
    if path != "/metrics":
        assert gzip.decompress(packed) == plain


def test_accept_encoding_is_read_as_the_standard_says():
    assert [accepts_gzip(h) for h in (b"", b"gzip;q=1", b"gzip;q=0.001", b"x", b"gzip;q=0")] == [
        *(False, True, True, False, False)
    ]


ALGORITHMS = [grpc.Compression.Gzip, grpc.Compression.Deflate]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_grpc_accepts_packed_requests_and_limits_their_unpacked_size(algorithm, server):
    before = peak_megabytes(server)
    with grpc.insecure_channel(
        server.grpc, options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(images(2).astype("float32"))
        assert stub.Predict(request, compression=algorithm) == stub.Predict(request)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(
                predict_request(np.zeros((50_000, 28, 28), "uint8")), compression=algorithm
            )
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in caught.value.details()
    assert peak_megabytes(server) - before < 150
