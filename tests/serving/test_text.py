"""A model that reads text, behind the server: compared with the live model."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from tests.conftest import PROJECT, assert_one_line_error
from tests.serving.conftest import CHARACTERS, Server, images, random_text_model, surprise
from tests.serving.test_client import run_client
from tests.serving.test_rest import png

TEXT = 'a "fib", Ж.\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


@pytest.fixture(scope="module")
def model(folder):
    return random_text_model(folder, "text")


@pytest.fixture(scope="module")
def server(model, folder):
    running = Server(folder)
    running.wait_until(running.is_ready)
    yield running
    running.stop()


def outputs(server, signature, inputs, **more):
    answer = server.predict("text", signature_name=signature, inputs=inputs, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"]


def test_trace_names_each_symbol_its_surprise_and_the_likeliest_next(server, model):
    wanted = ["symbols", "ids", "bits", "likeliest", "shares", "hidden"]
    texts = ["中b", TEXT]  # The first is shorter, and begins with an unknown symbol.
    answer = outputs(server, "trace", texts, output_filter=wanted)
    assert set(answer) == set(wanted)
    for row, text in enumerate(texts):
        ids, bits, shares = surprise(model, text)
        padding = len(TEXT) - len(text)
        assert answer["symbols"][row] == [*text, *[""] * padding]
        assert answer["ids"][row] == [*ids, *[-1] * padding]
        np.testing.assert_allclose(answer["bits"][row][: len(text)], bits, rtol=0, atol=1e-4)
        best = np.argsort(-shares)[:, :5]
        np.testing.assert_array_equal(answer["likeliest"][row][: len(text)], best)
        likeliest = np.take_along_axis(shares, best, axis=1)
        np.testing.assert_allclose(answer["shares"][row][: len(text)], likeliest, rtol=0, atol=1e-5)
    assert np.shape(answer["hidden"]) == (2, len(TEXT), 6)


def test_a_text_is_read_on_step_by_step_from_the_states_after_it(server, model):
    answer = outputs(server, "serving_default", [TEXT[:5]])
    for end in range(5, len(TEXT)):
        shares = surprise(model, TEXT[:end])[2][-1]
        np.testing.assert_allclose(answer.pop("probabilities")[0], shares, rtol=0, atol=1e-5)
        states = {name: value for name, value in answer.items() if name.startswith("state_")}
        assert len(states) == 2
        answer = outputs(server, "step", {"ids": [CHARACTERS.index(TEXT[end])], **states})


def test_an_empty_text_is_read(server):
    assert outputs(server, "serving_default", [""])["perplexity"] == [1]
    answer = outputs(server, "serving_default", ["", "ab"])
    np.testing.assert_allclose(answer["probabilities"][0], 1 / len(CHARACTERS), rtol=1e-5)
    assert answer["perplexity"][0] == 1
    assert answer["state_0"][0] == [0] * 6
    answer = outputs(server, "trace", [""])
    assert {np.shape(values)[:2] for values in answer.values()} == {(1, 0)}


def test_decode_gives_the_symbols(server):
    assert outputs(server, "decode", list(range(len(CHARACTERS)))) == list(CHARACTERS)


def test_unknown_outputs_are_refused(server):
    for wanted, reason in [
        (["bits", "x"], "output_filter: received bits, x; expected some of "),
        ("bits", "output_filter: expected a list of some of bits, "),
        ([1], "output_filter: expected a list of some of bits, "),
    ]:
        answer = server.predict("text", signature_name="trace", inputs=["a"], output_filter=wanted)
        assert answer.status_code == 400
        assert reason in answer.json()["error"]


def test_the_list_of_models_says_what_they_read(server):
    ((version,),) = (m["versions"] for m in server.get("/v1/models").json()["models"])
    assert (version["reads_images"], version["reads_text"]) == (False, True)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_documented_curl_commands_work(server):
    page = (PROJECT / "docs/serving.md").read_text()
    lines = re.findall(r"^curl .*/models/text:.*", page, re.MULTILINE)
    answers = []
    for line in lines:
        line = line.replace("localhost:8501", server.url)
        done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
        answers.append(json.loads(done.stdout)["outputs"])
    read, trace, step, generate, decode = answers
    assert set(read) == {"probabilities", "perplexity", "state_0", "state_1"}
    assert set(trace) == {"symbols", "bits"}
    assert set(step) == {"probabilities", "state_0", "state_1"}
    assert len(generate[0]) == 20
    assert decode == list(CHARACTERS[1:4])


def test_the_client_refuses_a_model_of_text(server, tmp_path):

    (tmp_path / "a.png").write_bytes(png(images(1)[0]))
    flags = [f"--server={server.url}", "--model=text"]
    result = run_client(*flags, "a.png", folder=tmp_path)
    assert_one_line_error(result, "does not read image files")
