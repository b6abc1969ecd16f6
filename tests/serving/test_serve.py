"""`serve.py`: its messages about mistakes, and the addresses that it listens on."""

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse

import grpc
import pytest
import requests

from serving.server import _listen
from tests.conftest import PROJECT, Result, assert_one_line_error
from tests.serving.conftest import images
from tests.serving.test_grpc import predict_request, prediction_service_pb2_grpc


def run_serve(*flags, folder):
    command = [sys.executable, PROJECT / "serve.py", *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["--saved_models_dir=saved_models", "python main.py"]),
        (["--saved_models_dir=nowhere"], ["--saved_models_dir=nowhere"]),
        (["--saved_models_dir=.", "--api_token_file=none"], ["none"]),
        (["--saved_models_dir=.", "--api_token_file=empty"], ["empty", "a token"]),
        (["--saved_models_dir=.", "--api_token_file=lines"], ["lines", "one line"]),
        (
            ["--saved_models_dir=models/lstm"],
            ["is a model", "expected the folder of models: models"],
        ),
        (["--saved_models_dir=models/lstm/1"], ["is a version", "folder of models: models"]),
        (["--model_config_file=none"], ["none"]),
        (["--model_config_file=bad"], ["bad", "ModelServerConfig"]),
        (["--port=70000"], ["--port", "70000"]),
        (["--batch_rows=0"], ["batch_rows"]),
        (["--keep_alive_seconds=0"], ["keep_alive_seconds"]),
        (["--saved_models_dir=.", "--host=203.0.113.7"], ["203.0.113.7", "--host"]),
    ],
)
def test_a_wrong_flag_is_reported_in_one_line(flags, expected, tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text("a token\nanother\n")
    (tmp_path / "models/lstm/1").mkdir(parents=True)
    (tmp_path / "models/lstm/1/saved_model.pb").touch()
    (tmp_path / "bad").write_text("model_config_list: 7")
    result = run_serve(*flags, folder=tmp_path)
    assert result.status == 1
    assert_one_line_error(result, *expected)


@pytest.mark.slow
def test_a_port_in_use_is_reported_in_one_line(server, tmp_path):
    rest = urllib.parse.urlsplit(server.url).port
    grpc = server.grpc.split(":")[1]
    for flags in ([f"--rest_api_port={rest}", "--port=0"], ["--rest_api_port=0", f"--port={grpc}"]):
        result = run_serve("--saved_models_dir=.", *flags, folder=tmp_path)
        assert result.status == 1
        assert_one_line_error(result, "--rest_api_port and --port")


def test_neither_keras_nor_jax_is_imported(tmp_path):
    flags = ["--saved_models_dir=.", "--host=203.0.113.7"]
    command = [sys.executable, "-X", "importtime", PROJECT / "serve.py", *flags]
    imported = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True).stderr
    assert re.search(r"\| +tensorflow\n", imported)
    assert not re.search(r"\| +(keras|jax)\.", imported)


@pytest.mark.slow
def test_the_browser_opens_when_the_models_are_loaded(exported, start, tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, urllib.request\n"
        "status = urllib.request.urlopen(f'{sys.argv[1]}/readyz').status\n"
        f"pathlib.Path('{tmp_path}/opened').write_text(f'{{sys.argv[1]}} {{status}}')\n"
    )
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    server = start(exported, "--browser")
    server.wait_until((tmp_path / "opened").is_file)
    assert server.wait_until((tmp_path / "opened").read_text) == f"{server.url} 200"


def listens_on(host):
    with contextlib.suppress(OSError), socket.create_server((host, 0), family=socket.AF_INET6):
        return True
    return False


NEEDS_IPV6 = pytest.mark.skipif(not listens_on("::1"), reason="this machine has no IPv6")


def test_an_empty_host_does_not_mean_all_addresses():
    with pytest.raises(OSError, match="not known"):
        _listen("", 0)


@NEEDS_IPV6
def test_the_server_listens_on_all_addresses_of_a_host_with_one_port(monkeypatch):
    both = [
        (family, socket.SOCK_STREAM, 6, "", (address, 0))
        for family, address in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    sockets = _listen("localhost", 0)
    assert [s.getsockname()[0] for s in sockets] == ["127.0.0.1", "::1"]
    assert len({s.getsockname()[1] for s in sockets}) == 1
    for listening in sockets:
        listening.close()


@NEEDS_IPV6
@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "announced", "others"),
    [
        ("::1", "[::1]", []),
        ("[::1]", "[::1]", []),
        ("::", "[::1]", ["127.0.0.1"]),
        ("localhost", None, []),
        ("0.0.0.0", "127.0.0.1", []),
    ],
)
def test_every_kind_of_address_is_announced_as_a_client_needs_it(
    host, announced, others, exported, start
):
    server = start(exported, f"--host={host}")
    rest, rest_port = urllib.parse.urlsplit(server.url).netloc.rsplit(":", 1)
    grpc_host, grpc_port = server.grpc.rsplit(":", 1)
    assert rest == grpc_host
    assert announced in (None, rest)
    request = predict_request(images(1).astype("float32"))
    for address in (rest, *others):
        answer = requests.get(f"http://{address}:{rest_port}/v1/models", timeout=60)
        assert answer.status_code == 200
        with grpc.insecure_channel(f"{address}:{grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert stub.Predict(request, timeout=60).outputs


def test_an_answer_is_not_delayed_until_its_head_is_acknowledged(server):
    # Nagle's algorithm would delay it, and clients acknowledge an idle connection after 40 ms.
    seconds = []
    with requests.Session() as session:
        for _ in range(60):
            start = time.perf_counter()
            session.get(f"{server.url}/healthz")
            seconds.append(time.perf_counter() - start)
    assert min(seconds[30:]) < 0.02
