"""What `serve.py` says to a mistake."""

import re
import subprocess
import sys
import time
import urllib.parse

import pytest
import requests

from tests.conftest import PROJECT, Result, assert_one_line_error


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
        (["--model_config_file=none"], ["none"]),
        (["--model_config_file=bad"], ["bad", "ModelServerConfig"]),
        (["--port=70000"], ["--port", "70000"]),
        (["--batch_rows=0"], ["batch_rows"]),
        (["--saved_models_dir=.", "--host=203.0.113.7"], ["203.0.113.7", "--host"]),
    ],
)
def test_a_mistaken_flag_is_told_in_one_line(flags, expected, tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bad").write_text("model_config_list: 7")
    result = run_serve(*flags, folder=tmp_path)
    assert result.status == 1
    assert_one_line_error(result, *expected)


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_in_one_line(server, tmp_path):
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


def test_an_answer_is_not_held_back_until_its_head_is_acknowledged(server):
    # As Nagle's algorithm has it, and clients take 40 ms for that on a connection that is kept.
    seconds = []
    with requests.Session() as session:
        for _ in range(60):
            start = time.perf_counter()
            session.get(f"{server.url}/healthz")
            seconds.append(time.perf_counter() - start)
    assert min(seconds[30:]) < 0.02
