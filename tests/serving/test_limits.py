"""Limits of the server, tokens and other origins."""

import contextlib
import http.client
import socket
import threading
import time
import urllib.parse

import grpc
import pytest

from export.saved_model import export
from tests.conftest import CLASSIFICATION, random_model
from tests.serving.conftest import images
from tests.serving.test_grpc import predict_request, prediction_service_pb2_grpc

pytestmark = pytest.mark.slow  # Most tests start their own server.

BODY = {"inputs": images(1).tolist()}


def test_requests_beyond_the_queue_are_refused_and_the_others_answered(exported, start):
    server = start(exported, "--waiting_rows=100", "--batch_rows=10")
    asked = 40
    statuses = []

    def ask():
        statuses.append(server.predict(inputs=images(60).tolist()).status_code)

    threads = [threading.Thread(target=ask) for _ in range(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 503}
    assert server.predict(**BODY).status_code == 200


def test_a_slow_answer_is_replaced_by_status_504(tmp_path, start):
    # The model needs seconds for 2,048 images.
    export(random_model(units=512), CLASSIFICATION, tmp_path / "lstm", card={"run": "lstm"})
    server = start(tmp_path, "--request_seconds=0.2")
    answer = server.predict(inputs=images(2048).tolist())
    assert answer.status_code == 504
    assert "no answer within 0.2 seconds" in answer.text
    assert server.wait_until(lambda: server.predict(**BODY).status_code == 200)


def test_other_requests_run_between_the_parts_of_a_large_one(tmp_path, start):
    export(random_model(units=512), CLASSIFICATION, tmp_path / "lstm", card={"run": "lstm"})
    server = start(tmp_path, "--batch_rows=16")
    done = []
    many = threading.Thread(
        target=lambda: done.append(server.predict(inputs=images(2048).tolist()))
    )
    many.start()
    server.wait_until(lambda: 'batch_rows_count{model="lstm"}' in server.get("/metrics").text)
    assert server.predict(**BODY).status_code == 200
    assert not done
    many.join()
    assert len(done[0].json()["outputs"]["classes"]) == 2048


def connect(server):
    url = urllib.parse.urlsplit(server.url)
    return socket.create_connection((url.hostname, url.port), timeout=30)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"POST /v1/models/lstm:predict HTTP/1.1\r\nHost: a\r\n",
        b"POST /v1/models/lstm:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        b"POST /v1/models/none:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=[
        *("nothing", "half a head", "half a body"),
        *("a body no one reads", "a body of no model's", "a body of a wrong method's"),
    ],
)
def test_a_client_that_stops_sending_is_disconnected(head, exported, start):
    server = start(exported, "--request_seconds=1")
    with connect(server) as client:
        client.sendall(head)
        if b"Length: 9\r" in head:
            assert client.recv(1000).startswith(b"HTTP/1.1 ")  # The answer comes before the body.
            client.sendall(b"{")
        began = time.monotonic()
        try:
            while client.recv(1000):
                pass
        except ConnectionResetError:
            pass
        assert time.monotonic() - began < 20
    assert server.predict(**BODY).status_code == 200


def test_slow_clients_do_not_block_others(exported, start):
    server = start(exported, "--request_seconds=2")
    clients = [connect(server) for _ in range(50)]
    for _ in range(5):
        for client in clients:
            with contextlib.suppress(OSError):  # The server may have closed it.
                client.sendall(b"G")
        assert server.predict(**BODY).status_code == 200
        time.sleep(0.1)
    for client in clients:
        client.close()


def test_clients_that_disconnect_early_do_no_harm(server):
    body = b'{"inputs": [' + b"[" + b",".join([b"[" + b"0," * 27 + b"0]"] * 28) + b"]]}"
    head = (
        f"POST /v1/models/lstm:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(100):
        for sent in (body, body[:100]):
            with connect(server) as client:
                client.sendall(head.encode() + sent)
    assert server.predict(**BODY).status_code == 200
    assert 'status="500"' not in server.get("/metrics").text


def test_requests_without_the_token_are_refused(exported, start, tmp_path):
    (tmp_path / "token").write_text("a secret\n")
    server = start(exported, f"--api_token_file={tmp_path}/token")
    wrong = {
        None: "received no token; expected authorization: Bearer TOKEN",
        "Basic a secret": (
            "received another kind of authorization; expected authorization: Bearer TOKEN"
        ),
        "a secret": "received another kind of authorization; expected authorization: Bearer TOKEN",
    } | dict.fromkeys(
        ["Bearer wrong", "Bearer", "Bearer a secret and more", "Bearer ü", "bearer A SECRET"],
        "received a wrong token; expected the token that this server was started with",
    )
    for sent, sentence in wrong.items():
        headers = {"Authorization": sent.encode()} if sent else {}
        for path in ("/v1/models", "/v1/models/lstm", "/metrics"):
            answer = server.get(path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"error": sentence})
        assert server.post("/v1/models/lstm:predict", BODY, headers=headers).status_code == 401
    for sent in ("Bearer a secret", "bearer  a secret"):
        headers = {"Authorization": sent}
        assert server.post("/v1/models/lstm:predict", BODY, headers=headers).status_code == 200
    for path in ("/", "/healthz", "/readyz"):
        assert server.get(path).status_code == 200
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(images(1).astype("float32"))
        for sent, sentence in wrong.items():
            if sent and not sent.isascii():
                continue
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(request, metadata=[("authorization", sent)] if sent else None)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert caught.value.details() == sentence
        assert stub.Predict(request, metadata=[("authorization", "Bearer a secret")]).outputs


def keep(server):
    """An idle connection on which a request was answered."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read()
    return connection


def test_an_idle_connection_is_closed_after_keep_alive_seconds(exported, start):
    connection = keep(start(exported, "--keep_alive_seconds=2"))
    began = time.monotonic()
    assert connection.sock.recv(1) == b""
    assert 1.5 < time.monotonic() - began < 20
    connection.close()


def test_an_idle_connection_is_open_longer_than_the_minute_of_proxies(server):
    connection = keep(server)
    time.sleep(62)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_connection_beyond_the_limit_is_refused_in_json(exported, start):
    server = start(exported, "--max_connections=3")
    kept = [keep(server) for _ in range(3)]
    answer = server.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"error": "3 connections are open already; try again later"}
    for connection in kept:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        connection.close()
    assert server.wait_until(lambda: server.get("/healthz").status_code == 200)


def test_only_pages_of_the_named_origins_may_send_requests(exported, start):
    server = start(exported, "--origins=https://a.example,https://b.example")
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for origin, is_let_in in [("https://a.example", True), ("https://c.example", False)]:
        headers = {"Origin": origin}
        answers = [
            server.post("/v1/models/lstm:predict", BODY, headers=headers),
            server.options("/v1/models/lstm:predict", headers=headers | asked),
        ]
        for answer in answers:
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (origin if is_let_in else None)


def test_every_answer_has_the_security_headers(server):
    for path in ("/", "/v1/models", "/nowhere", "/metrics"):
        headers = server.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
