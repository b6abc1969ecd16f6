"""The client as it is used, against the server."""

import json
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Result, assert_one_line_error
from tests.serving.conftest import images, softmax
from tests.serving.test_rest import png


def run_client(*arguments, folder, **options):
    command = [sys.executable, "-m", "serving.client", *arguments]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": ""}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=120, **options
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def folder(tmp_path):
    """Three images, two of them in a folder beside a file that is none."""
    (tmp_path / "photos").mkdir()
    for name, image in zip(("one.png", "photos/a.PNG", "photos/b.png"), images(3), strict=True):
        (tmp_path / name).write_bytes(png(image))
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path


# The client of gRPC imports TensorFlow, which takes its seconds.
GRPC = pytest.mark.slow


@pytest.mark.parametrize("protocol", ["rest", pytest.param("grpc", marks=GRPC)])
def test_files_and_folders_are_asked_for(protocol, server, models, folder):
    address = server.url if protocol == "rest" else f"grpc://{server.grpc}"
    flags = [f"--server={address}", "--version=1", "one.png", "photos"]
    table = run_client(*flags, folder=folder)
    answers = run_client("--json", *flags, folder=folder)
    expected = softmax(models["lstm"](images(3)))
    lines = [line.split() for line in table.stdout.splitlines()]
    assert lines[0] == ["image", "class", "probability"]
    assert lines[1:] == [
        [name, str(row.argmax()), f"{row.max():.2%}"]
        for name, row in zip(("one.png", "photos/a.PNG", "photos/b.png"), expected, strict=True)
    ]
    for line, row in zip(answers.stdout.splitlines(), expected, strict=True):
        answer = json.loads(line)
        assert answer["class"] == row.argmax()
        assert answer["probabilities"] == pytest.approx(row.tolist(), abs=1e-6)


def test_standard_input_is_an_image(server, folder):
    flags = [f"--server={server.url}", "-"]
    piped = run_client(*flags, folder=folder, input=png(images(1)[0]))
    assert piped.stdout.splitlines()[1].split()[0] == "-"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["PNG or JPEG"]),
        (["none.png"], ["none.png"]),
        (["--server=http://127.0.0.1:9", "one.png"], ["127.0.0.1:9", "python serve.py"]),
        pytest.param(
            ["--server=grpc://127.0.0.1:9", "one.png"],
            ["127.0.0.1:9", "python serve.py"],
            marks=GRPC,
        ),
        (["--server=ftp://a", "one.png"], ["ftp://a", "grpc://"]),
        (["--server=REST", "--model=none", "one.png"], ["'none'", "basic_rnn"]),
        pytest.param(
            ["--server=GRPC", "--model=none", "one.png"], ["'none'", "basic_rnn"], marks=GRPC
        ),
        (["--server=REST", "photos/notes.txt"], ["PNG or JPEG"]),
        pytest.param(["--server=GRPC", "photos/notes.txt"], ["PNG or JPEG"], marks=GRPC),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, expected, server, folder):
    named = {
        "--server=REST": f"--server={server.url}",
        "--server=GRPC": f"--server=grpc://{server.grpc}",
    }
    result = run_client(*(named.get(a, a) for a in arguments), folder=folder)
    assert result.status == 1
    assert_one_line_error(result, *expected)
