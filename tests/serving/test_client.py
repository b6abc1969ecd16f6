"""The client with the real server, and with a server whose answers the tests choose."""

import base64
import contextlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from serving.images import ImageError, encode
from tests.conftest import PROJECT, Result, assert_one_line_error
from tests.serving.conftest import digits, images, softmax
from tests.serving.test_rest import png


def run_client(*arguments, folder, environment=(), **options):
    command = [sys.executable, "-m", "serving.client", *arguments]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": ""} | dict(environment)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=120, **options
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@contextlib.contextmanager
def told_server(answer):
    """The URL of a server that answers a POST with `answer(images)`: a status and its body.

    An answer that is not bytes is sent as JSON. It lists one model, `gru`.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send(200, {"models": [{"name": "gru"}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send(*answer([base64.b64decode(each["b64"]) for each in body["instances"]]))

        def send(self, status, body):
            kind = "text/html" if isinstance(body, bytes) else "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # The client has gone.

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def answers(probabilities=(0.1, 0.9), rows=None):
    """Answer the second of two classes to each image."""
    one = {"classes": 1, "probabilities": list(probabilities)}
    if rows is not None:
        one["rows"] = np.asarray(rows).tolist()
    return lambda images: (200, {"predictions": [one] * len(images)})


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def saved(image, kind, **options):
    """An image, or an array, as the bytes of a file."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Three images, two of them in a folder with files that are not images."""
    (tmp_path / "photos").mkdir()
    for name, image in zip(("one.png", "photos/a.PNG", "photos/b.png"), digits(3), strict=True):
        (tmp_path / name).write_bytes(png(image))
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / "._a.png").write_text("of macOS")
    (tmp_path / "photos" / "more.png").mkdir()
    return tmp_path


# With gRPC, the client imports TensorFlow, which takes seconds.
GRPC = SLOW = pytest.mark.slow


@pytest.mark.parametrize("protocol", ["rest", pytest.param("grpc", marks=GRPC)])
def test_files_and_folders_are_classified(protocol, server, models, folder):
    address = server.url if protocol == "rest" else f"grpc://{server.grpc}"
    flags = [f"--server={address}", "--version=1", "--min_probability=0", "one.png", "photos"]
    table = run_client(*flags, folder=folder)
    answers = run_client("--json", *flags, folder=folder)
    expected = softmax(models["lstm"](digits(3)))
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


GREY = np.random.default_rng(3).integers(0, 256, (20, 30), dtype=np.uint8)
GREY[0, :2] = 0, 255
COLOURS = np.random.default_rng(4).integers(0, 256, (20, 30, 3), dtype=np.uint8)
HIDDEN = np.dstack([COLOURS, GREY])
TURNED = Image.Exif()
TURNED[0x112] = 6
CMYK = Image.fromarray(COLOURS).convert("CMYK")
PALETTE = Image.fromarray(GREY).convert("P")
PALETTE.info["transparency"] = 0
FRAMES = {"save_all": True, "append_images": [Image.fromarray(255 - GREY)]}
# The file and the pixels that are sent, by format.
FILES = {
    "PNG": (saved(HIDDEN, "PNG"), HIDDEN),
    "BMP": (saved(COLOURS, "BMP"), COLOURS),
    "PPM": (saved(GREY, "PPM"), GREY),
    "GIF, animated": (saved(GREY, "GIF", **FRAMES), np.dstack([GREY] * 3)),
    "WebP": (saved(COLOURS, "WEBP", lossless=True), COLOURS),
    "WebP, transparent": (saved(HIDDEN, "WEBP", lossless=True, exact=True), HIDDEN),
    "WebP, turned": (
        saved(COLOURS, "WEBP", lossless=True, exif=TURNED),
        np.rot90(COLOURS, -1),
    ),
    "PNG, turned": (saved(GREY, "PNG", exif=TURNED), np.rot90(GREY, -1)),
    "TIFF, turned": (saved(GREY, "TIFF", exif=TURNED), np.rot90(GREY, -1)),
    "TIFF, two colours": (saved(GREY > 99, "TIFF"), np.where(GREY > 99, 255, 0)),
    "TIFF, 16 bits": (saved(GREY * np.uint16(257), "TIFF"), GREY),
    "TIFF, 12 bits in 16": (saved(GREY * np.uint16(16), "TIFF"), GREY),
    "TIFF, 32 bits": (saved(GREY.astype(np.int32) * 999 - 5, "TIFF"), GREY),
    "TIFF, floats": (saved(GREY / np.float32(255), "TIFF"), GREY),
    "TIFF, CMYK": (saved(CMYK, "TIFF"), COLOURS),
    "TIFF, transparent palette": (saved(PALETTE, "TIFF"), np.dstack([GREY] * 3)),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_format_is_encoded_with_the_same_pixels(kind):
    data, expected = FILES[kind]
    sent, count = encode(data)
    assert sent.startswith(b"\x89PNG")
    assert count == expected.shape[0] * expected.shape[1]
    np.testing.assert_array_equal(pixels(sent), expected)


def test_files_that_the_server_reads_are_sent_unchanged():
    for data in (
        saved(GREY, "PNG"),
        saved(GREY * np.uint16(257), "PNG"),
        saved(COLOURS, "JPEG", exif=TURNED),
        saved(CMYK, "JPEG"),
    ):
        assert encode(data) == (data, GREY.size)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_image_is_reduced(kind):
    large = Image.new("L", (5000, 4000), 255)
    large.paste(0, (0, 0, 2500, 4000))
    sent = pixels(encode(saved(large, kind, exif=TURNED)).data)
    assert sent.shape[0] == pytest.approx(sent.shape[1] * 5 / 4, rel=0.01)
    assert 2**21 < sent.size <= 2**22
    middle = sent.shape[0] // 2
    assert sent[: middle - 9].max() < 3
    assert sent[middle + 9 :].min() > 252


def bomb():
    """A PNG of a few bytes that declares 20,000 times 20,000 pixels."""
    data = bytearray(saved(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = (20_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "not an image"),
        (saved(GREY, "PNG")[:300], "truncated"),
        (saved(COLOURS, "JPEG")[:700], "truncated"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "pip install pillow-heif"),
        (bomb(), "more than 268 megapixels"),
    ],
    ids=["empty", "HTML", "cut PNG", "cut JPEG", "HEIC", "bomb"],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(data, reason):
    with pytest.raises(ImageError, match=reason):
        encode(data)


def test_a_bad_file_does_not_affect_the_others(server, folder):
    (folder / "cut.png").write_bytes(png(images(1)[0])[:100])
    (folder / "empty").mkdir()
    arguments = ["one.png", "cut.png", "none.png", "empty", "photos/notes.txt", "photos/b.png"]
    table = run_client(f"--server={server.url}", *arguments, folder=folder)
    lines = table.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == arguments
    assert all("%" in line for line in (lines[0], lines[5]))
    for line, reason in zip(
        lines[1:5], ["cut", "No such file", "hold an image", "Pillow"], strict=True
    ):
        assert reason in line
        assert "%" not in line
    assert table.status == 1
    assert_one_line_error(table, "4 of 6")
    printed = run_client(f"--server={server.url}", "--json", *arguments, folder=folder)
    assert ["error" in json.loads(line) for line in printed.stdout.splitlines()] == [
        *(False, True, True, True, True, False)
    ]
    assert printed.status == 1


def test_an_image_that_the_server_refuses_does_not_affect_the_others(folder):
    def answer(images):
        if any(pixels(image)[0, 0] == 7 for image in images):
            return 400, {"error": "signature serving_bytes: a seven; expected none"}
        return answers()(images)

    for at in range(9):
        (folder / f"{at}.png").write_bytes(png(np.full((2, 2), at)))
    with told_server(answer) as url:
        flags = [f"--server={url}", *(f"{at}.png" for at in range(9))]
        result = run_client(*flags, folder=folder)
    assert ["90.00%" in line for line in result.stdout.splitlines()[1:]] == [
        at != 7 for at in range(9)
    ]
    assert "a seven" in result.stdout.splitlines()[8]
    assert_one_line_error(result, "1 of 9")


def test_many_and_large_images_are_sent_in_several_requests(folder):
    random = np.random.default_rng(0)
    noise = saved(random.integers(0, 256, (1700, 1700), dtype=np.uint8), "PNG")  # 2.9 MB.
    for at in range(12):
        (folder / f"large{at}.png").write_bytes(noise)
    (folder / "small").mkdir()
    for at in range(70):
        (folder / "small" / f"{at}.png").write_bytes(png(images(1)[0]))
    parts = []

    def answer(images):
        if sum(map(len, images)) > 2**23:
            return 413, {"error": "received a body of over 11,184,810 bytes; expected fewer"}
        parts.append(len(images))
        return answers()(images)

    with told_server(answer) as url:
        arguments = [*(f"large{at}.png" for at in range(12)), "small"]
        result = run_client(f"--server={url}", *arguments, folder=folder)
    assert result.status == 0
    assert result.stdout.count("90.00%") == 82
    assert sum(parts) == 82
    assert max(parts) <= 64
    assert len(parts) < 12


@pytest.mark.slow
def test_ten_photos_of_12_megapixels_are_answered(server, folder):
    random = np.random.default_rng(0)
    for at in range(10):
        photo = random.integers(0, 70, (3000, 4000), dtype=np.uint8)
        kind = "PNG" if at == 0 else "JPEG"
        (folder / "photos" / f"{at}.{kind}").write_bytes(saved(photo, kind))
    assert sum(path.stat().st_size for path in (folder / "photos").glob("?.*")) > 30 * 2**20
    result = run_client(f"--server={server.url}", "photos", folder=folder)
    assert (result.status, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 13


def test_blank_images_and_unsure_answers_are_marked(folder):
    blank = {"classes": 1, "probabilities": [0.1, 0.9], "rows": np.zeros((28, 28)).tolist()}
    doubtful = {"classes": 1, "probabilities": [0.332, 0.668], "rows": np.eye(28).tolist()}
    unknown = {"classes": 1, "probabilities": [None, None]}  # A model without rows.

    def answer(images):
        return 200, {"predictions": [blank, doubtful, unknown]}

    with told_server(answer) as url:
        flags = [f"--server={url}", "one.png", "photos"]
        table, surer, printed = (
            run_client(*more, *flags, folder=folder)
            for more in ([], ["--min_probability=0.5"], ["--json"])
        )
    assert [line.split()[1:] for line in table.stdout.splitlines()[1:]] == [
        ["-", "-", "nothing", "drawn"],
        ["1", "66.80%", "not", "sure"],
        ["1", "nan%", "not", "sure"],
    ]
    assert surer.stdout.splitlines()[2].split()[1:] == ["1", "66.80%"]
    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [(line["class"], line["note"]) for line in lines] == [
        (None, "nothing drawn"),
        (1, "not sure"),
        (1, "not sure"),
    ]
    assert ["rows" in line for line in lines] == [False, False, False]


@pytest.mark.slow
def test_client_and_page_have_one_threshold(server, folder):
    threshold = server.get("/v1/models").json()["min_probability"]
    for low, is_sure in ((threshold - 0.01, False), (threshold + 0.01, True)):
        with told_server(answers(probabilities=[1 - low, low])) as url:
            result = run_client(f"--server={url}", "one.png", folder=folder)
        assert ("not sure" not in result.stdout) == is_sure


def test_show_prints_the_image_that_the_network_read(folder):
    rows = np.zeros((28, 28))
    rows[0, 0], rows[3, 1], rows[4:6, 2] = 255, 64, 200
    with told_server(answers(rows=rows)) as url:
        flags = [f"--server={url}", "--show", "one.png"]
        shown = run_client(*flags, folder=folder, environment={"PYTHONIOENCODING": "utf-8"})
        plain = run_client(*flags, folder=folder, environment={"PYTHONIOENCODING": "ascii"})
        line = json.loads(run_client("--json", *flags, folder=folder).stdout)
    assert line["rows"] == rows.tolist()
    for result, letters in ((shown, "▀▄█"), (plain, "'.#")):
        picture = result.stdout.splitlines()[2:]
        assert [len(row) for row in picture] == [28] * 14
        assert [row.rstrip() for row in picture[:3]] == [
            letters[0],
            " " + letters[1],
            "  " + letters[2],
        ]
        assert not "".join(picture[3:]).strip()
    with told_server(answers()) as url:  # A model that does not return rows.
        result = run_client(f"--server={url}", "--show", "one.png", folder=folder)
        assert (result.status, len(result.stdout.splitlines())) == (0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{}/", " {} ", "HTTP://{host}", "{host}", "http://{host}//"])
def test_an_address_is_understood(form, folder):
    with told_server(answers()) as url:
        address = form.format(url, host=url.removeprefix("http://"))
        result = run_client(f"--server={address}", "one.png", folder=folder)
    assert (result.status, result.stderr) == (0, "")


@pytest.mark.slow
def test_a_name_that_the_output_cannot_write_is_escaped(folder):
    os.rename(folder / "one.png", os.fsencode(folder) + b"/\xc3\xa9\xff.png")
    with told_server(answers()) as url:
        for encoding in ("ascii", "utf-8"):
            environment = {"PYTHONIOENCODING": encoding}
            flags = [f"--server={url}", "."]
            result = run_client(*flags, folder=folder, environment=environment)
            assert (result.status, result.stderr) == (0, "")
            assert "90.00%" in result.stdout


HTML = b"<html><title>It works!</title></html>"
WRONG_TOKEN = {"error": "received a wrong token; expected the server's"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, HTML), ["status 200", "text/html", "REST API"]),
        ((502, HTML), ["status 502", "text/html"]),
        ((200, []), ["not a JSON object"]),
        ((301, b""), ["status 301"]),
        ((200, {"predictions": []}), ["classes and probabilities"]),
        ((200, {"predictions": [[0.1, 0.9]]}), ["classes and probabilities"]),
        ((200, {"predictions": [{"classes": 2, "probabilities": [1]}]}), ["classes and"]),
        ((200, {"outputs": 3}), ["classes and probabilities"]),
        ((401, WRONG_TOKEN), ["received a wrong token", "--api_token_file"]),
        ((404, {"error": "Servable not found"}), ["'lstm'", "--model=gru"]),
        ((503, {"error": "4096 images wait"}), ["4096 images wait"]),
        ((500, {"message": "?"}), ["status 500"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_answer_is_reported_in_one_line(answer, expected, folder):
    with told_server(lambda images: answer) as url:
        result = run_client(f"--server={url}", "one.png", folder=folder)
    assert (result.status, result.stdout) == (1, "")
    assert_one_line_error(result, url, *expected)
    assert len(result.stderr.splitlines()) == 1


def test_a_timeout_is_reported_with_the_flag_that_extends_it(folder):
    answered = threading.Event()
    with told_server(lambda images: answered.wait(30) and answers()(images)) as url:
        result = run_client(f"--server={url}", "--timeout=0.2", "one.png", folder=folder)
        answered.set()
    assert_one_line_error(result, "within 0.2 s", "--timeout=0.4")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["image files"]),
        (["--server=http://127.0.0.1:9", "one.png"], ["127.0.0.1:9", "python serve.py"]),
        pytest.param(
            ["--server=grpc://127.0.0.1:9", "one.png"],
            ["127.0.0.1:9", "python serve.py"],
            marks=GRPC,
        ),
        (["--server=ftp://a", "one.png"], ["ftp://a", "grpc://"]),
        pytest.param(["--server=http://", "one.png"], ["http://", "grpc://"], marks=SLOW),
        pytest.param(["--server=http://a:99999", "one.png"], ["a:99999", "grpc://"], marks=SLOW),
        pytest.param(["--server=http://a b", "one.png"], ["a b", "grpc://"], marks=SLOW),
        pytest.param(["--server=grpc://a", "one.png"], ["grpc://a", "HOST:PORT"], marks=SLOW),
        (["--server=REST", "--model=none", "one.png"], ["'none'", "--model=basic_rnn"]),
        (["--server=REST", "--version=7", "one.png"], ["version 7", "expected one of: 1"]),
        pytest.param(["--server=GRPC_AS_REST", "one.png"], ["does not speak HTTP"], marks=SLOW),
        pytest.param(["--server=HTTPS", "one.png"], ["TLS"], marks=SLOW),
        pytest.param(["--api_token_file=none", "one.png"], ["none: No such file"], marks=SLOW),
        pytest.param(["--api_token_file=empty", "one.png"], ["empty is empty"], marks=SLOW),
        (["--api_token_file=one.png", "one.png"], ["one.png", "characters beyond ASCII"]),
        pytest.param(
            ["--server=GRPC", "--model=none", "one.png"], ["'none'", "basic_rnn"], marks=GRPC
        ),
        (["--server=REST", "photos/notes.txt"], ["1 of 1"]),
    ],
)
def test_a_mistake_is_reported_in_one_line(arguments, expected, server, folder):
    (folder / "empty").write_text("\n")
    named = {
        "--server=REST": f"--server={server.url}",
        "--server=HTTPS": server.url.replace("http", "--server=https"),
        "--server=GRPC": f"--server=grpc://{server.grpc}",
        "--server=GRPC_AS_REST": f"--server=http://{server.grpc}",
    }
    result = run_client(*(named.get(a, a) for a in arguments), folder=folder)
    assert result.status == 1
    assert_one_line_error(result, *expected)
    assert "urllib3" not in result.stderr
    assert "Max retries" not in result.stderr
