"""Every bad request is answered with its mistake, and the server answers the next request."""

import http.client
import json
import urllib.parse

import numpy as np
import pytest

from tests.serving.conftest import images
from tests.serving.test_rest import b64, png

BLANK = np.zeros((28, 28), int).tolist()
LSTM = "/v1/models/lstm"


def blank_but(value):
    """An image that is blank except for one pixel."""
    return [[value, *BLANK[0][1:]], *BLANK[1:]]


def instances(*rows, **others):
    return {"instances": list(rows), **others}


ENCODED = {"signature_name": "serving_bytes"}
# The bodies that are sent to :predict, and a part of the expected message.
BODIES = {
    "nothing": (b"", "as JSON"),
    "no JSON": (b"hello", "as JSON"),
    "half a JSON": (b'{"instances": [[1, 2', "as JSON"),
    "no UTF-8": (b'{"instances": "\xff\xfe"}', "as JSON"),
    "NaN": (instances(blank_but(float("nan"))), "received nan; expected values of 0 to 255"),
    "infinity": (instances(blank_but(float("inf"))), "received inf; expected values of 0 to 255"),
    "minus infinity": (instances(blank_but(-float("inf"))), "received -inf"),
    "NaN in other letters": (b'{"instances": [nan]}', "as JSON"),
    "NaN in half a JSON": (b'{"instances": [[NaN, 1', "as JSON"),
    "NaN in deep JSON": (b'{"instances": [NaN, ' + b"[" * 10**5 + b"]" * 10**5 + b"]}", "as JSON"),
    "NaN beside a number beyond all": (b'{"instances": [[[NaN, 1e999]]]}', "infinity when parsed"),
    "NaN beside half of a letter": (b'{"instances": [NaN], "\\ud800": 1}', "surrogates"),
    "half of a letter": (b'{"instances": ["\\ud800"]}', "surrogate"),
    "a byte order mark": (b'\xef\xbb\xbf{"instances": []}', "byte order mark"),
    "UTF-16": ('{"instances": []}'.encode("utf-16"), "UTF-8"),
    "Latin-1": ('{"instances": ["ß"]}'.encode("latin-1"), "UTF-8"),
    "a comma too many": (b'{"instances": [1,]}', "as JSON"),
    "deep JSON": (b'{"instances": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "as JSON"),
    "deep but sound JSON": (b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}", "shape"),
    "a list": (b"[]", "object"),
    "a number": (b"1", "object"),
    "null": (b"null", "object"),
    "an empty object": ({}, "instances"),
    "both formats": ({"instances": [BLANK], "inputs": [BLANK]}, "inputs, instances"),
    "another key": (instances(BLANK, signature="x"), "signature"),
    "a signature that is a number": (instances(BLANK, signature_name=3), "signature_name"),
    "a signature that is null": (instances(BLANK, signature_name=None), "signature_name"),
    "an unknown signature": (instances(BLANK, signature_name="x"), "serving_bytes"),
    "the init operation": (instances(BLANK, signature_name="__saved_model_init_op"), "trace"),
    "no rows": (instances(), "at least one"),
    "no columns": ({"inputs": []}, "shape"),
    "null rows": ({"instances": None}, "list"),
    "null columns": ({"inputs": None}, "shape"),
    "rows that are a text": ({"instances": "7"}, "list"),
    "rows that are an object": ({"instances": {"rows": [BLANK]}}, "list"),
    "columns that are a text": ({"inputs": "7"}, "shape"),
    "a flat image": (instances([0] * 784), "(1, 784)"),
    "an image without a batch dimension": ({"inputs": BLANK}, "(28, 28)"),
    "a batch of batches": (instances([BLANK]), "(1, 1, 28, 28)"),
    "29 rows": (instances([*BLANK, [0] * 28]), "(1, 29, 28)"),
    "27 columns": (instances([row[1:] for row in BLANK]), "(1, 28, 27)"),
    "a row that is short": (instances([*BLANK[1:], [0] * 27]), "lengths"),
    "a row that is a number": (instances([*BLANK[1:], 0]), "lengths"),
    "a second image that is small": (instances(BLANK, BLANK[1:]), "lengths"),
    "a pixel below 0": (instances(blank_but(-1)), "received -1"),
    "a pixel above 255": (instances(blank_but(300)), "received 300"),
    "a pixel just above": (instances(blank_but(255.001)), "0 to 255"),
    "a huge pixel": (instances(blank_but(1e300)), "0 to 255"),
    "a huge whole number": (instances(blank_but(2**63)), "0 to 255"),
    "an integer of 65 bits": (instances(blank_but(2**64)), "0 to 255"),
    "an integer of 20 digits": (instances(blank_but(10**20 - 1)), "0 to 255"),
    "an integer of 300 digits": (instances(blank_but(10**300)), "0 to 255"),
    "an integer of 400 digits": (instances(blank_but(10**400)), "infinity when parsed"),
    "an integer of 5000 digits": (
        json.dumps(instances(blank_but(7))).replace("7", "7" * 5000).encode(),
        "infinity when parsed",
    ),
    "a leading zero": (json.dumps(instances(blank_but(7))).replace("7", "07").encode(), "as JSON"),
    "a number beyond all": (b'{"instances": [[[1e999]]]}', "as JSON"),
    "a pixel that is null": (instances(blank_but(None)), "numbers"),
    "a pixel that is a text": (instances(blank_but("0")), "numbers"),
    "a pixel that is true": (instances(blank_but(True)), "booleans"),
    "an image of falsehoods": (instances([[False] * 28] * 28), "numbers"),
    "a pixel that is an object": (instances(blank_but({})), "numbers"),
    "a pixel that is a list": (instances(blank_but([0])), "lengths"),
    "a bad image among good ones": (instances(BLANK, blank_but(300), BLANK), "received 300"),
    "another input": (instances({"image": BLANK}), "rows"),
    "an input too many": (instances({"rows": BLANK, "more": 1}), "more"),
    "rows of two kinds": (instances({"rows": BLANK}, BLANK), "numbers"),
    "columns of another name": ({"inputs": {"image": [BLANK]}}, "image"),
    "an image in base64 as pixels": (instances(b64(png(images(1)[0]))), "numbers"),
    "a long text among small values": (instances("a" * 2**23, *[0] * 2000), "a text"),
    "a long name of a signature": (instances(BLANK, signature_name="a" * 2**20), "aaa"),
    "a long key": ({"instances": [BLANK], "a" * 2**20: 1}, "aaa"),
    "many keys": ({str(n): n for n in range(10**5)}, "…"),
    "a row of many keys": (instances({str(n): n for n in range(10**5)}), "…"),
    "too many rows": ({"inputs": [BLANK] * 2049}, "2048"),
    "pixels as an encoded image": (instances(BLANK, **ENCODED), "text"),
    "an encoded image that is null": (instances(None, **ENCODED), "text"),
    "an encoded image that is a number": (instances(7, **ENCODED), "text"),
    "an encoded image that is true": (instances(True, **ENCODED), "text"),
    "bad base64": (instances({"b64": "%%%"}, **ENCODED), "base64"),
    "base64 without its end": (instances({"b64": "iVBORw0"}, **ENCODED), "base64"),
    "base64 beyond ASCII": (instances({"b64": "ß"}, **ENCODED), "base64"),
    "base64 that is a number": (instances({"b64": 7}, **ENCODED), "text"),
    "base64 and more": (instances({"b64": "", "x": 1}, **ENCODED), "image_bytes"),
    "an empty image": (instances({"b64": ""}, **ENCODED), "PNG or JPEG"),
    "an image that is a text": (instances("seven", **ENCODED), "PNG or JPEG"),
    "half an image": (instances(b64(png(images(1)[0])[:99]), **ENCODED), "serving_bytes"),
    "a path of the file system": (instances("/etc/passwd", **ENCODED), "PNG or JPEG"),
    "a bad encoded image among good ones": (
        instances(b64(png(images(1)[0])), b64(b"bad"), **ENCODED),
        "PNG or JPEG",
    ),
    "keys twice": (b'{"instances": [1], "instances": []}', "at least one"),
}
# The method, path and body; the expected status and a part of the message.
REQUESTS = {
    "no such model": ("POST", "/v1/models/none:predict", {}, 404, "basic_rnn"),
    "no such version": ("POST", f"{LSTM}/versions/9:predict", {}, 404, "one of: 1"),
    "no such label": ("POST", f"{LSTM}/labels/new:predict", {}, 404, "'new'"),
    "a version that is a text": ("POST", f"{LSTM}/versions/one:predict", {}, 400, "a number"),
    "a version below 0": ("POST", f"{LSTM}/versions/-1:predict", {}, 400, "a number"),
    "a huge version": ("POST", f"{LSTM}/versions/{10**30}:predict", {}, 400, "a number"),
    "digits of another script": ("GET", f"{LSTM}/versions/%D9%A1", None, 400, "a number"),
    "another verb": ("POST", f"{LSTM}:regress", {}, 404, ":predict"),
    "no verb": ("POST", LSTM, {}, 405, "GET"),
    "a verb to be got": ("GET", f"{LSTM}:predict", None, 404, "predict"),
    "another method": ("DELETE", f"{LSTM}:predict", None, 405, "POST"),
    "an unknown path": ("GET", "/v2/models", None, 404, "/openapi.json"),
    "a slash too many": ("GET", "/v1/models/", None, 404, "/v1/models/"),
    "no path": ("GET", "models", None, 400, "Invalid HTTP"),
    "a path that climbs": ("GET", "/page/../server.py", None, 404, "server.py"),
    "a path that climbs unseen": ("GET", "/page/%2e%2e/server.py", None, 404, "server.py"),
    "an absolute path": ("GET", "/page//etc/passwd", None, 404, "passwd"),
    "a model that climbs": ("GET", "/v1/models/..%2f..%2fetc", None, 404, "etc"),
    "a model with a null": ("GET", "/v1/models/a%00b", None, 404, "a\\x00b"),
    "metadata of no model": ("GET", "/v1/models/none/metadata", None, 404, "basic_rnn"),
    "classify without its method": (
        *("POST", f"{LSTM}:classify", {"examples": [{"x": 1}]}, 400),
        "tensorflow/serving/predict",
    ),
    "classify without examples": ("POST", f"{LSTM}:classify", {}, 400, "examples"),
}


def ask(server, method, path, body=None, headers=()):
    """Send a request unchanged; `requests` would normalise it."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None and not headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def encoded(body):
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_with_a_reason(name, server):
    body, expected = BODIES[name]
    status, text = ask(server, "POST", f"{LSTM}:predict", encoded(body))
    assert status in (400, 413), text
    assert expected in json.loads(text)["error"]
    assert len(text) < 1000
    assert "Traceback" not in text


@pytest.mark.parametrize("name", REQUESTS)
def test_a_bad_path_or_method_is_refused_with_a_reason(name, server):
    method, path, body, expected_status, expected = REQUESTS[name]
    status, text = ask(server, method, path, encoded(body))
    assert status == expected_status, text
    assert expected in json.loads(text)["error"]


def test_fractional_pixels_are_not_rounded(server, models):
    image = images(1).astype(float)
    image[0, 3, 4] = 0.5
    rounded = [server.predict(inputs=np.round(image + d).tolist()).json() for d in (-0.1, 0.1)]
    actual = server.predict(inputs=image.tolist()).json()
    assert actual["outputs"]["probabilities"] not in [
        r["outputs"]["probabilities"] for r in rounded
    ]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server):
    headers = [("Content-Length", str(200 * 2**20))]
    status, text = ask(server, "POST", f"{LSTM}:predict", b"", headers)
    assert status == 413
    assert "33,554,432" in json.loads(text)["error"]


def test_a_body_that_grows_too_large_is_refused(server):
    chunks = (b" " * 2**20 for _ in range(40))
    answer = server.post(f"{LSTM}:predict", data=chunks)
    assert answer.status_code == 413


def test_the_server_still_works_afterwards(server):
    assert server.process.poll() is None
    assert server.predict(inputs=images(2).tolist()).status_code == 200
    assert 'status="500"' not in server.get("/metrics").text
