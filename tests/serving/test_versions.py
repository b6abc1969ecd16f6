"""Versions are added and removed while a server runs, and no request fails."""

import http.client
import json
import shutil
import signal
import threading

import pytest
import requests

from export.saved_model import export
from tests.conftest import CLASSIFICATION, random_model
from tests.serving.conftest import Server, images
from tests.serving.test_limits import connect

pytestmark = pytest.mark.slow  # Each test starts its own server.

BODY = {"instances": images(1).tolist()}


def another_lstm():
    return random_model(model="lstm", units=9)


def answer_of(response):
    """The answer without its last digits, which depend on the other rows in the batch."""
    if response.status_code != 200:
        return response.text
    (row,) = response.json()["predictions"]
    return tuple(round(probability, 5) for probability in row["probabilities"])


class Load:
    """Sends requests from two threads, and records every answer."""

    def __init__(self, server):
        self.server = server
        self.answers = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(2)]

    def ask(self):
        with requests.Session() as session:
            while not self.stop.is_set():
                answer = session.post(f"{self.server.url}/v1/models/lstm:predict", json=BODY)
                self.answers.append((answer.status_code, answer_of(answer)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_a_new_version_replaces_the_old_one_without_a_failed_request(saved_models, start):
    server = start(saved_models)
    before = answer_of(server.predict(**BODY))
    with Load(server) as load:
        export(another_lstm(), CLASSIFICATION, saved_models / "lstm", card={})
        server.wait_until(lambda: server.states() == {"2": "AVAILABLE"})
        after = answer_of(server.predict(**BODY))
        server.wait_until(lambda: load.answers[-1][1] == after)
    assert before != after
    assert set(load.answers) == {(200, before), (200, after)}
    # After the first answer of the new version, the old one does not answer any more.
    answers = [answer for _, answer in load.answers]
    assert before not in answers[answers.index(after) + len(load.threads) :]


@pytest.mark.parametrize("damage", ["empty", "garbage", "half"])
def test_a_broken_version_is_reported_and_the_old_one_stays(damage, saved_models, start):
    server = start(saved_models)
    before = answer_of(server.predict(**BODY))
    broken = saved_models / "lstm" / "2"
    with Load(server) as load:
        if damage == "half":
            shutil.copytree(saved_models / "lstm" / "1", saved_models / ".aside")
            (variables,) = (saved_models / ".aside" / "variables").glob("*.data-*")
            variables.write_bytes(variables.read_bytes()[:100])
            (saved_models / ".aside").rename(broken)
        else:
            broken.mkdir()
            if damage == "garbage":
                (broken / "saved_model.pb").write_bytes(b"garbage")
        expected = {"1": "AVAILABLE", "2": "END"}
        server.wait_until(lambda: server.states() == expected)
        versions = server.get("/v1/models/lstm").json()["model_version_status"]
        (failed,) = [v for v in versions if v["version"] == "2"]
        assert failed["status"]["error_code"] == "UNKNOWN"
        assert failed["status"]["error_message"]
        assert answer_of(server.predict(**BODY)) == before
        assert server.post("/v1/models/lstm/versions/2:predict", BODY).status_code == 404

        # After it is repaired, it replaces the old version.
        shutil.rmtree(broken)
        assert server.states()["1"] == "AVAILABLE"
        assert export(another_lstm(), CLASSIFICATION, saved_models / "lstm", card={}) == broken
        server.wait_until(lambda: server.states() == {"2": "AVAILABLE"})
    assert {status for status, _ in load.answers} == {200}
    assert server.is_ready()


def test_a_removed_version_is_not_served_any_more(saved_models, start):
    export(another_lstm(), CLASSIFICATION, saved_models / "lstm", card={})
    server = start(saved_models)
    with Load(server) as load:
        shutil.rmtree(saved_models / "lstm" / "2")
        server.wait_until(lambda: server.states() == {"1": "AVAILABLE"})
    assert {status for status, _ in load.answers} == {200}
    shutil.rmtree(saved_models / "lstm")
    server.wait_until(lambda: server.get("/v1/models/lstm").status_code == 404)
    assert server.predict(**BODY).status_code == 404
    assert server.predict("basic_rnn", **BODY).status_code == 200
    assert server.is_ready()


def test_a_new_model_is_served(saved_models, start):
    server = start(saved_models)
    export(random_model(model="gru"), CLASSIFICATION, saved_models / "gru", card={})
    server.wait_until(lambda: server.states("gru") == {"1": "AVAILABLE"})
    assert server.predict("gru", **BODY).status_code == 200


CONFIG = """
model_config_list {{
  config {{
    name: "digits"
    base_path: "{folder}/lstm"
    model_platform: "tensorflow"
    model_version_policy {{ {policy} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "new" value: 3 }}
  }}
}}
"""


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("latest { num_versions: 2 }", {"2", "3"}),
        ("all {}", {"1", "2", "3"}),
        ("specific { versions: 1 versions: 3 }", {"1", "3"}),
    ],
)
def test_tensorflow_servings_config_says_what_is_served(
    policy, served, saved_models, start, tmp_path
):
    for _ in range(2):
        export(another_lstm(), CLASSIFICATION, saved_models / "lstm", card={})
    (tmp_path / "models.config").write_text(CONFIG.format(folder=saved_models, policy=policy))
    server = start(saved_models, f"--model_config_file={tmp_path}/models.config")
    assert set(server.states("digits")) == served
    assert server.get("/v1/models/lstm").status_code == 404
    newest = server.predict("digits", **BODY)
    labelled = server.post("/v1/models/digits/labels/new:predict", BODY)
    assert labelled.json() == newest.json()
    stable = server.post("/v1/models/digits/labels/stable:predict", BODY)
    assert stable.status_code == (200 if "1" in served else 404)


def is_refused(server):
    try:
        connect(server).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_before_the_server_ends(number, saved_models, start):
    server = start(saved_models)
    expected = answer_of(server.predict(**BODY))
    body = json.dumps(BODY).encode()
    head = (
        f"POST /v1/models/lstm:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        client.sendall(head.encode() + body[:100])
    assert (
        server.get("/healthz").status_code == 200
    )  # The server has received the others before this.
    server.process.send_signal(number)
    server.wait_until(lambda: is_refused(server))
    for client in clients:
        client.sendall(body[100:])
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 200
        (row,) = json.loads(answer.read())["predictions"]
        assert tuple(round(share, 5) for share in row["probabilities"]) == expected
        client.close()
    assert server.process.wait(60) == 0


def test_a_request_sent_while_the_server_stops_is_answered(saved_models, start):
    server = start(saved_models)
    kept = http.client.HTTPConnection(server.url.removeprefix("http://"))
    kept.request("GET", "/healthz")
    assert kept.getresponse().read()
    server.process.send_signal(signal.SIGTERM)
    server.wait_until(lambda: is_refused(server))
    kept.request("POST", "/v1/models/lstm:predict", json.dumps(BODY))
    answer = kept.getresponse()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert json.loads(answer.read())["predictions"]
    assert server.process.wait(60) == 0


def test_a_broken_model_that_is_added_later_leaves_the_server_ready(saved_models, start):
    server = start(saved_models)
    (saved_models / "broken/1").mkdir(parents=True)
    server.wait_until(lambda: server.states("broken") == {"1": "END"})
    answer = server.get("/readyz")
    assert answer.status_code == 200
    assert list(answer.json()["not_served"]) == ["broken"]
    assert "saved_model.pb" in answer.json()["not_served"]["broken"]
    for name in ("lstm", "basic_rnn"):
        shutil.rmtree(saved_models / name)
    server.wait_until(lambda: server.get("/readyz").status_code == 503)


def test_a_server_without_models_reports_it(tmp_path):
    server = Server(tmp_path)
    server.wait_until(lambda: any("holds no models yet" in line for line in server.said))
    assert server.get("/readyz").status_code == 503
    assert server.stop() == 0
