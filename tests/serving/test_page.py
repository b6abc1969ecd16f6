"""The page in a real browser, compared with the live models and NumPy."""

import base64
import io
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from configs import Config
from datasets import load
from explain.reading import read
from export.saved_model import export
from serving import samples
from tests.conftest import CLASSIFICATION, PROJECT, random_model
from tests.serving.conftest import STICKING_OUT, Server

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if not CHROMIUM:
    pytest.skip("chromium is not installed", allow_module_level=True)
pytestmark = pytest.mark.slow  # It starts servers and a browser.
expect = sync_api.expect
expect.set_options(timeout=30_000)

# Strokes in MNIST's pixels.
SEVEN = [[(7, 6), (21, 6), (12, 24)]]
FOUR = [[(12, 4), (9, 15), (19, 15)], [(18, 8), (17, 24)]]


class Plain(tf.Module):
    """A model that answers, but has no trace."""

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32, name="rows")])
    def answer(self, rows):
        return {"probabilities": tf.nn.softmax(tf.reduce_mean(rows, axis=2)[:, 10:14] / 20)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def answer_bytes(self, image_bytes):
        shares = tf.tile([[0.1, 0.9]], [tf.size(image_bytes), 1])
        return {"probabilities": shares, "classes": tf.argmax(shares, -1)}


class Numbers(tf.Module):
    """A model that does not read images."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, 2))])
    def answer(self, sequences):
        return {"values": tf.reduce_sum(sequences, axis=(1, 2))[:, None]}


class Prepared(tf.Module):
    """A model that returns the rows that it read from a file: here, the pixels of the image."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def answer_bytes(self, image_bytes):
        def decode(data):
            image = tf.io.decode_image(data, 1, expand_animations=False)
            return tf.image.resize(image, (28, 28), antialias=True)[..., 0]

        rows = tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec((28, 28)))
        return {**self.answer(rows), "rows": rows}

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32, name="rows")])
    def answer(self, rows):
        probabilities = self.follow(rows)["probabilities"][:, -1]
        return {"probabilities": probabilities, "classes": tf.argmax(probabilities, -1)}

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32, name="rows")])
    def follow(self, rows):
        seen = tf.cumsum(rows, axis=1) / 255
        return {"probabilities": tf.nn.softmax(seen[..., 10:17]), "hidden": seen[..., :5]}


@pytest.fixture(scope="module")
def models():
    """Models by name, with random weights and 7 classes."""
    return {
        "basic_rnn": random_model(model="basic_rnn"),
        "lstm": random_model(model="lstm"),
        "stacked": random_model(model="bidirectional_basic_rnn", layers=2, scan="columns"),
    }


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    """A folder with these models, two versions of one, and models without trace or images."""
    folder = tmp_path_factory.mktemp("page")
    for name, model in models.items():
        scan = "columns" if name == "stacked" else "rows"
        config = {"units": 6, "layers": 1, "scan": scan, "permute_seed": None}
        metrics = {"accuracy": 0.98765, "images": 10_000}
        export(model, CLASSIFICATION, folder / name, {"config": config, "metrics": metrics})
    shutil.copytree(folder / "lstm" / "1", folder / "lstm" / "2")
    plain = Plain()
    signatures = {"serving_default": plain.answer, "serving_bytes": plain.answer_bytes}
    tf.saved_model.save(plain, folder / "plain" / "1", signatures=signatures)
    numbers = Numbers()
    signatures = {"serving_default": numbers.answer}
    tf.saved_model.save(numbers, folder / "adding" / "1", signatures=signatures)
    prepared = Prepared()
    signatures = {"serving_default": prepared.answer, "serving_bytes": prepared.answer_bytes}
    signatures["trace"] = prepared.follow
    tf.saved_model.save(prepared, folder / "prepared" / "1", signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    config = folder / "models.config"
    entries = [
        f'config {{ name: "{path.name}" base_path: "{path}" model_platform: "tensorflow" '
        "model_version_policy { all {} } }"
        for path in folder.iterdir()
    ]
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    running = Server(folder, f"--model_config_file={config}", "--min_probability=0")
    running.wait_until(running.is_ready)
    yield running
    running.stop()


class Page:
    """The page in a browser of its own.

    Attributes:
        page: Playwright's `Page`.
        errors: The errors and warnings in the browser's console.
        asked: The last image that was sent to each model, by model, as `(28, 28)` arrays.
        files: The files that were sent to models, as bytes.
    """

    def __init__(self, browser, url, **options):
        options = {"viewport": {"width": 1280, "height": 900}} | options
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors, self.asked, self.files, self.hosts = [], {}, [], set()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)
        self.page.goto(url)
        # Then the page has the list of models, or shows an error.
        expect(self.page.locator("#notice:visible, option").first).to_be_attached()

    def _on_console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _on_request(self, request):
        self.hosts.add(request.url.split("/")[2])
        if request.method == "POST":
            model = request.url.split("/models/")[1].split("/")[0]
            body = request.post_data_json
            if body["signature_name"] == "serving_bytes":
                self.files.append(base64.b64decode(body["inputs"][0]["b64"]))
            else:
                self.asked[model] = np.array(body["inputs"][0])

    def __getattr__(self, name):
        return getattr(self.page, name)

    def at(self, selector, panel=0):
        """The elements with a CSS selector in one of the two panels."""
        return self.page.locator("article").nth(panel).locator(selector)

    def draw(self, strokes):
        """Draw with the mouse, and wait for the answers."""
        self.start_drawing(strokes)
        self.settle()

    def start_drawing(self, strokes):
        """Draw with the mouse."""
        box = self.page.locator("#canvas").bounding_box()
        for stroke in strokes:
            points = [
                (box["x"] + x * box["width"] / 28, box["y"] + y * box["height"] / 28)
                for x, y in stroke
            ]
            self.page.mouse.move(*points[0])
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*point, steps=5)
            self.page.mouse.up()

    def settle(self):
        """Wait until both models have answered."""
        expect(self.page.locator("article[aria-busy=true]")).to_have_count(0)

    def pick(self, name, panel=0):
        self.at(".model", panel).select_option(name)
        self.settle()

    def scrub(self, step):
        self.page.locator(".slider").fill(str(step))

    def bars(self, panel=0):
        """The probabilities on the page, in percent."""
        texts = self.at(".bars .share", panel).all_text_contents()
        return [float(text.removesuffix(" %")) for text in texts]

    def call(self, function, *arguments):
        """Call a JavaScript function with the page's `drawing`."""
        script = f"async (them) => ({function})((await import('/page/main.js')).drawing, ...them)"
        return self.page.evaluate(script, list(arguments))

    def image(self):
        """The drawing in MNIST's form, as the page normalises it, or `None`."""
        return self.call("(drawing) => drawing.image")


@pytest.fixture
def open_page(browser, request):
    """Open the page. After the test, the console must not have errors."""
    opened = []

    def open_page(url=None, **options):
        url = url or request.getfixturevalue("server").url
        opened.append(Page(browser, url, **options))
        return opened[-1]

    yield open_page
    for page in opened:
        page.unroute_all(behavior="ignoreErrors")  # A request may be on its way.
        page.context.close()
        assert page.errors == []
        assert page.hosts == {page.url.split("/")[2]}


@pytest.fixture
def page(open_page):
    return open_page()


def percent(share):
    """In percent, rounded down to a tenth, as the page writes shares."""
    return np.floor(share * 1000 + 1e-3) / 10


def traced(model, image):
    """The quantities at every step by name, `(steps, units)` each."""
    return {
        name: np.array(v)[0]
        for name, v in read(CLASSIFICATION, model, np.array(image)[None]).items()
    }


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_both_models_read_a_digit_drawn_with_the_mouse(page, models):
    page.draw(SEVEN)
    for panel, name in enumerate(["lstm", "basic_rnn"]):
        expected = traced(models[name], page.asked[name])["probabilities"][-1]
        expect(page.at(".model", panel)).to_have_value(name)
        expect(page.at(".digit", panel)).to_have_text(str(expected.argmax()))
        np.testing.assert_allclose(page.bars(panel), percent(expected), rtol=0, atol=0.11)
        expect(page.locator("#live")).to_contain_text(f"{name}: {expected.argmax()}, ")
        expect(page.at(".about", panel)).to_have_text(
            "6 units · reads rows · 98.76 % accuracy on 10,000 test images"
        )
    assert page.asked["lstm"].tolist() == page.asked["basic_rnn"].tolist() == page.image()


def test_answers_come_while_the_pen_still_moves(page):
    x, y = middle(page.locator("#canvas"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 60)
    expect(page.at(".digit")).not_to_have_text("–")
    first = page.asked["lstm"]
    page.mouse.move(x - 80, y + 60, steps=4)
    page.settle()
    assert page.asked["lstm"].tolist() == page.image() != first.tolist()


def in_mnist_form(ink):
    """MNIST's form as LeCun et al. describe it: each pixel has the ink between its edges."""
    for axis in (0, 1):
        inked = np.any(ink, axis=1 - axis).nonzero()[0]
        ink = ink.take(range(inked[0], inked[-1] + 1), axis)
    shape = np.array(ink.shape)
    scale = 20 / shape.max()

    def shrink(line):
        edges = np.minimum(np.arange(21) / scale, len(line))
        up_to = np.interp(edges, np.arange(len(line) + 1), np.insert(np.cumsum(line), 0, 0))
        return np.diff(up_to) * scale

    for axis in (0, 1):
        ink = np.apply_along_axis(shrink, axis, ink)
    masses = [np.average(np.arange(20) + 0.5, weights=ink.sum(axis)) for axis in (1, 0)]
    top, left = np.clip(np.rint(14.5 - np.array(masses)), 0, 28 - np.ceil(shape * scale)).astype(
        int
    )
    image = np.zeros((48, 48))
    image[top : top + 20, left : left + 20] = ink
    return image[:28, :28]


@pytest.mark.parametrize(
    "strokes", [SEVEN, FOUR, [[(1, 1), (4, 3)]], [[(2, 26), (27, 26), (27, 20)]], [[(9, 9)]]]
)
def test_a_drawing_is_brought_to_mnists_form(strokes, page):
    page.draw(strokes)
    png = page.locator("#canvas").evaluate("(canvas) => canvas.toDataURL()").partition(",")[2]
    ink = np.array(Image.open(io.BytesIO(base64.b64decode(png))))[:, :, 3]
    expected = in_mnist_form(ink.astype(float))
    assert expected.max() > 200
    np.testing.assert_allclose(page.image(), expected, rtol=0, atol=0.51)


def test_an_image_in_mnists_form_stays_unchanged(page):
    random = np.random.default_rng(0)
    for height, width in ((20, 12), (9, 20), (20, 20)):
        digit = random.integers(1, 256, (height, width)).astype(float)
        image = np.rint(in_mnist_form(digit)).astype(int).tolist()
        page.call("(drawing, image) => drawing.load(image)", image)
        assert page.image() == image


def test_a_browser_asks_whether_the_page_has_changed(server):
    for path in ("/", "/page/main.js", "/page/style.css"):
        assert server.get(path).headers["cache-control"] == "no-cache"
    unchanged = {"if-none-match": server.get("/page/main.js").headers["etag"]}
    assert server.get("/page/main.js", headers=unchanged).status_code == 304


def test_samples_are_loaded_and_changes_undone(page):
    expect(page.locator("#undo")).to_be_disabled()
    page.get_by_label("Load a 3").click()
    three = page.image()
    page.get_by_role("button", name="Other digits").click()
    page.get_by_label("Load a 3").click()
    page.settle()
    other = page.image()
    assert page.asked["lstm"].tolist() == other != three
    page.draw(SEVEN)
    assert page.image() != other
    page.get_by_role("button", name="Clear").click()
    page.settle()
    expect(page.at(".digit")).to_have_text("–")
    expect(page.at(".since")).to_have_text("nothing drawn")
    assert page.image() is None
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    page.settle()
    assert page.image() == page.asked["lstm"].tolist() == other
    page.get_by_role("button", name="Undo").click()
    assert page.image() == three
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#undo")).to_be_disabled()
    assert page.image() is None


def test_hard_samples_are_labelled(page):
    legend = page.locator(".samples legend")
    for _ in range(3):
        expect(legend).to_have_text("or choose one of these")
        expect(page.get_by_label("a hard one")).to_have_count(0)
        page.get_by_role("button", name="Other digits").click()
    expect(legend).to_have_text("or choose one of these hard ones")
    expect(page.get_by_label("a hard one")).to_have_count(10)


def test_the_answer_to_a_cleared_drawing_disappears(page):
    page.draw(SEVEN)
    live, summary = page.locator("#live"), page.locator(".summary")
    expect(live).to_have_text(re.compile(r"lstm: \d, .* %; basic_rnn: \d, .* %"))
    page.at(".quantity").select_option("forget_gate")
    page.get_by_role("button", name="Clear").click()
    assert (live.text_content(), summary.text_content()) == ("nothing drawn", "")
    assert page.at(".digit").all_text_contents() == ["–"]
    page.get_by_role("button", name="Undo").click()
    expect(live).to_have_text(re.compile(r"lstm: \d"))
    expect(page.at(".quantity")).to_have_value("forget_gate")


def list_models(page, change):
    """Make the page refresh, and receive the server's list of models after a change."""

    def answer(route):
        response = route.fetch()
        listed = response.json()
        change(listed)
        route.fulfill(response=response, json=listed)

    page.unroute_all()
    page.route("**/v1/models", answer)
    with page.expect_response("**/v1/models"):
        page.evaluate("() => void document.dispatchEvent(new Event('visibilitychange'))")


def test_an_answer_below_the_threshold_is_not_sure(page, models):
    page.draw(SEVEN)
    probability = traced(models["lstm"], page.asked["lstm"])["probabilities"][-1].max()
    since = page.at(".since")
    for threshold, is_sure in ((probability - 0.01, True), (probability + 0.01, False)):
        list_models(page, lambda listed, to=threshold: listed.update(min_probability=float(to)))
        pattern = "^(since|only)" if is_sure else "^not sure · (since|only)"
        expect(since).to_have_text(re.compile(pattern))
        doubt = "" if is_sure else ", not sure"
        expect(page.locator("#live")).to_have_text(re.compile(rf"^lstm: \d, [0-9.]+ %{doubt};"))
    page.scrub(12)  # Only the last step is marked.
    expect(since).to_have_text("after row 12 of 28")


def test_the_list_of_models_has_the_threshold(server):
    assert server.get("/v1/models").json()["min_probability"] == 0  # The fixture's flag.


def test_chosen_models_return_when_they_are_served_again(page):
    def without(*gone):
        def change(listed):
            listed["models"] = [each for each in listed["models"] if each["name"] not in gone]

        list_models(page, change)

    page.pick("stacked")
    page.at(".version").select_option("1")
    page.pick("lstm", panel=1)
    page.at(".version", 1).select_option("1")
    chosen = [("stacked", "1"), ("lstm", "1")]

    def shown():
        return [
            (page.at(".model", at).input_value(), page.at(".version", at).input_value())
            for at in (0, 1)
        ]

    assert shown() == chosen
    # Like a server that restarts: it has no models, then some.
    for gone in (
        ("stacked", "lstm", "basic_rnn", "plain", "prepared", "adding"),
        ("stacked", "lstm"),
    ):
        without(*gone)
        expect(page.at(f".model option[value={gone[0]}]")).to_have_count(0)
        assert not set(shown()) & set(chosen)
    without()
    expect(page.at(".model")).to_have_value("stacked")
    assert shown() == chosen
    page.unroute_all()
    page.reload()
    expect(page.at(".version", 1)).to_have_value("1")
    assert shown() == chosen
    page.pick("no model", panel=1)
    page.reload()
    expect(page.at(".model")).to_have_value("stacked")
    assert page.at(".model", 1).input_value() == ""


def test_models_that_appear_one_after_another_get_one_panel_each(page):
    def with_only(*names):
        def change(listed):
            listed["models"] = [each for each in listed["models"] if each["name"] in names]

        list_models(page, change)

    # Start with no model.
    page.evaluate("() => sessionStorage.clear()")
    page.route("**/v1/models", lambda route: route.fulfill(json={"models": []}))
    page.reload()
    expect(page.locator("#notice")).to_have_text(re.compile("The server has no models yet."))
    with_only("plain")
    expect(page.at(".model")).to_have_value("plain")
    with_only("plain", "lstm")
    expect(page.at(".model", 1)).to_have_value("lstm")
    expect(page.at(".model")).to_have_value("plain")


def file_of(image, kind="PNG", **options):
    data = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image.astype(np.uint8))
    image.save(data, kind, **options)
    return data.getvalue()


DIGIT = np.zeros((28, 28))
DIGIT[3:9, 5:25] = np.random.default_rng(5).integers(1, 256, (6, 20))  # Not in MNIST's form.
TURNED = Image.Exif()
TURNED[0x112] = 6


def turned(orientation):
    """A WebP with an EXIF orientation, and its pixels after Pillow has turned it."""
    exif = Image.Exif()
    exif[0x112] = orientation
    data = file_of(DIGIT, "WEBP", lossless=True, exif=exif)
    return data, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L"))


def choose(page, name, data):
    page.locator("#file").set_input_files({"name": name, "mimeType": "", "buffer": data})
    expect(page.locator("#said")).to_contain_text(name)
    expect(page.locator("#said")).not_to_contain_text("…")


def give(page, how, data):
    """Paste or drop a file."""
    page.evaluate(
        """([how, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "seven.png"));
          const options = { bubbles: true, cancelable: true };
          const event = how === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
            : new DragEvent("drop", { ...options, dataTransfer: transfer });
          document.querySelector("h1").dispatchEvent(event);
        }""",
        [how, list(data)],
    )
    expect(page.locator("#said")).to_have_text("seven.png, as the network reads it")


@pytest.mark.parametrize("how", ["choose", "paste", "drop"])
def test_a_file_is_shown_as_the_server_prepares_it(how, page):
    page.pick("prepared")
    page.pick("lstm", panel=1)
    page.draw(FOUR)
    before = page.image()
    data = file_of(DIGIT)
    if how == "choose":
        choose(page, "seven.png", data)
    else:
        give(page, how, data)
    page.settle()
    assert set(page.files) == {data}
    assert page.image() == DIGIT.tolist()
    for model in ("lstm", "prepared"):
        assert page.asked[model].tolist() == DIGIT.tolist()
    expect(page.locator("#live")).to_contain_text("prepared: ")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#said")).to_have_text("")
    assert page.image() == before


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("as-it-is.jpg", file_of(DIGIT, "JPEG", exif=TURNED), None),
        ("lossless.webp", file_of(DIGIT, "WEBP", lossless=True), DIGIT),
        *((f"turned{orientation}.webp", *turned(orientation)) for orientation in range(2, 9)),
        (
            "animated.gif",
            file_of(DIGIT, "GIF", save_all=True, append_images=[Image.new("L", (28, 28))]),
            DIGIT,
        ),
        ("bitmap.bmp", file_of(DIGIT, "BMP"), DIGIT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_browser_converts_only_formats_that_the_server_does_not_read(
    name, data, expected, page
):
    page.pick("prepared")
    choose(page, name, data)
    (sent,) = page.files
    if expected is None:
        assert sent == data
    else:
        assert sent.startswith(b"\x89PNG")
        image = np.asarray(Image.open(io.BytesIO(sent)).convert("RGBA"))
        np.testing.assert_array_equal(image, np.dstack([expected] * 3 + [np.full((28, 28), 255)]))


def test_a_photo_of_24_megapixels_is_reduced_in_the_browser(page):
    page.pick("prepared")
    photo = Image.new("L", (6000, 4000), 0)
    photo.paste(255, (3000, 0, 6000, 4000))
    choose(page, "photo.jpg", file_of(photo, "JPEG", exif=TURNED))
    (sent,) = page.files
    image = np.asarray(Image.open(io.BytesIO(sent)).convert("L"))
    assert image.size <= 2**22
    assert image.shape[0] == pytest.approx(1.5 * image.shape[1], rel=0.01)
    assert image[: image.shape[0] // 2 - 9].max() < 9
    assert image[image.shape[0] // 2 + 9 :].min() > 246


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("notes.txt", b"no image", "cannot read the file; choose a PNG, JPEG or WebP"),
        ("nothing.png", b"", "The file is empty"),
        ("cut.png", file_of(DIGIT)[:90], "PNG"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_and_changes_nothing(name, data, expected, page):
    page.draw(FOUR)
    before = page.image()
    choose(page, name, data)
    expect(page.locator("#said")).to_contain_text(f"{name}: ")
    expect(page.locator("#said")).to_contain_text(expected)
    assert page.image() == before
    assert all("400" in error for error in page.errors)
    page.errors.clear()


def test_a_blank_file_is_reported(page):
    page.pick("prepared")
    page.draw(FOUR)
    choose(page, "blank.png", file_of(np.zeros((28, 28))))
    expect(page.locator("#said")).to_have_text("blank.png: nothing is drawn on it.")
    expect(page.at(".since")).to_have_text("nothing drawn")
    assert page.image() is None


def test_a_model_that_does_not_return_rows_still_answers_a_file(page):
    page.pick("plain")
    page.pick("no model", panel=1)
    choose(page, "old.png", file_of(DIGIT))
    expect(page.locator("#said")).to_have_text("old.png: plain answers 1, 90.0 %")
    page.pick("no model")
    choose(page, "none.png", file_of(DIGIT))
    expect(page.locator("#said")).to_contain_text(
        "no model on this page has the signature serving_bytes"
    )


def test_a_drawing_during_the_reading_of_a_file_stays(page):
    page.pick("prepared")
    page.route("**/v1/models/prepared/**", lambda route: None)  # It never answers.
    with page.expect_request("**/v1/models/prepared/**"):
        page.locator("#file").set_input_files(
            {"name": "late.png", "mimeType": "", "buffer": file_of(DIGIT)}
        )
    expect(page.locator("#said")).to_have_text("late.png: reading …")
    page.start_drawing(FOUR)
    expect(page.locator("#said")).to_have_text("")
    assert page.image() != DIGIT.tolist()


def test_each_step_shows_the_values_after_it(page, models):
    page.draw(SEVEN)
    expected = traced(models["lstm"], page.asked["lstm"])
    for step in (1, 5, 28):
        page.scrub(step)
        shares = expected["probabilities"][step - 1]
        np.testing.assert_allclose(page.bars(), percent(shares), rtol=0, atol=0.11)
        expect(page.at(".digit")).to_have_text(str(shares.argmax()))
        expect(page.locator(".position")).to_have_text(f"row {step} of 28")
        mark, picture = (
            page.at(f".picture {at}").first.bounding_box() for at in (".mark", "canvas")
        )
        assert mark["y"] - picture["y"] == pytest.approx((step - 1) / 28 * picture["height"], abs=1)
        for cursor in page.at(".cursor").all():
            box = cursor.evaluate("(it) => it.parentElement.getBoundingClientRect().toJSON()")
            at = cursor.bounding_box()["x"] - box["x"]
            assert at == pytest.approx((step - 1) / 28 * box["width"], abs=1)


def test_the_chart_says_from_which_step_the_answer_stays(page, models):
    page.draw(SEVEN)
    answers = traced(models["lstm"], page.asked["lstm"])["probabilities"].argmax(-1)
    since = 28 - np.flatnonzero(np.append(answers[::-1] != answers[-1], True))[0] + 1
    said = f"since row {since}" if since < 28 else "only since the last row"
    expect(page.at(".since")).to_have_text(said)
    label = page.at(".chart svg").get_attribute("aria-label")
    assert label.endswith(f"{answers[-1]} leads from row {since} on")
    assert page.at(".chart path").count() == 7


def test_heat_maps_show_every_quantity_and_can_be_scrubbed(page, models):
    page.draw(SEVEN)
    expected = traced(models["lstm"], page.asked["lstm"])
    offered = [option.get_attribute("value") for option in page.at(".quantity option").all()]
    assert set(offered) == set(expected) - {"probabilities"}
    assert offered[:2] == ["cell", "hidden"]
    heat = page.at(".heat .map")
    for name in ("cell", "forget_gate"):
        page.at(".quantity").select_option(name)
        is_gate = name.endswith("gate")
        expect(page.at(".min")).to_have_text("0 closed" if is_gate else re.compile("^−[1-9]"))
        box = heat.bounding_box()
        # Column 10 of 28, unit 5 of 6.
        heat.hover(position={"x": box["width"] * 9.5 / 28, "y": box["height"] * 4.5 / 6})
        value = f"{expected[name][9, 4]:.3f}".replace("-", "−")
        expect(page.at(".readout")).to_have_text(f"unit 5, row 10: {value}")
        expect(page.locator(".slider")).to_have_value("28")
    page.mouse.down()
    expect(page.locator(".slider")).to_have_value("10")
    page.mouse.move(box["x"] + box["width"] * 19.5 / 28, box["y"] + 5)
    expect(page.locator(".slider")).to_have_value("20")
    page.mouse.up()
    chart = page.at(".chart .map").bounding_box()
    page.mouse.click(chart["x"] + chart["width"] * 2.5 / 28, chart["y"] + 20)
    expect(page.locator(".slider")).to_have_value("3")


def test_colours_match_the_values(page, models):
    page.draw(SEVEN)
    page.at(".quantity").select_option("forget_gate")
    gate = traced(models["lstm"], page.asked["lstm"])["forget_gate"]
    shown = page.at(".heat .map canvas").evaluate(
        """(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return [...data.filter((_, at) => at % 4 === 1)];
        }"""
    )
    green = np.interp(gate, np.linspace(0, 1, 6), [0x04, 0x2A, 0x5D, 0x97, 0xCE, 0xF5])
    np.testing.assert_allclose(np.reshape(shown, (6, 28)).T, green, rtol=0, atol=2)


def test_colours_differ_in_grey_too(page):
    palettes = page.evaluate(
        """async () => {
          const { palette } = await import("/page/colours.js");
          return ["diverging", "sequential"].map(palette);
        }"""
    )
    for colours in palettes:
        grey = luminance(colours)
        assert (np.diff(grey) >= 0).all()
        assert grey[0] < 0.05
        assert grey[-1] > 0.75


def luminance(colours):
    """Relative luminance, 0 to 1, of colours 0 to 255, as WCAG 2 defines it."""
    linear = np.array(colours) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_playing_shows_the_steps_one_after_another(page):
    page.draw(SEVEN)
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 60)  # On from here by `run_for` alone.
    page.get_by_role("button", name="Play").click()
    seen = []
    for _ in range(52):
        seen.append(int(page.locator(".slider").input_value()))
        page.clock.run_for(100)
    assert (seen[0], seen[-1]) == (1, 28)
    assert set(np.diff(seen)) <= {0, 1, 2}
    expect(page.locator(".play")).to_have_text(re.compile("Play"))


def test_another_model_is_shown_with_its_own_steps_and_quantities(page, models):
    page.draw(SEVEN)
    page.pick("stacked")
    expected = traced(models["stacked"], page.asked["stacked"])
    expect(page.locator(".position")).to_have_text(
        "step 28 of 28"
    )  # One panel has rows, the other columns.
    page.scrub(9)
    shares = expected["probabilities"][8]
    np.testing.assert_allclose(page.bars(), percent(shares), rtol=0, atol=0.11)
    expect(page.at(".since")).to_have_text("after column 9 of 28")
    mark, picture = (page.at(f".picture {at}").first.bounding_box() for at in (".mark", "canvas"))
    assert mark["x"] - picture["x"] == pytest.approx(8 / 28 * picture["width"], abs=1)
    assert mark["height"] == pytest.approx(picture["height"], abs=2)
    assert page.at(".quantity option").all_text_contents() == [
        f"hidden, layer {layer} {direction}"
        for direction in ("forward", "backward")
        for layer in (1, 2)
    ]
    expect(page.at(".veil")).to_be_visible()
    page.at(".quantity").select_option("backward_2_hidden")
    expect(page.at(".veil")).to_be_hidden()  # It starts at the other end.


def test_a_version_can_be_chosen(page):
    options = page.at(".version option")
    expect(options).to_have_text(["2", "1"])
    page.draw(SEVEN)
    with page.expect_request("**/v1/models/lstm/versions/1:predict"):
        page.at(".version").select_option("1")
    page.settle()
    expect(page.at(".digit")).to_have_text(re.compile(r"\d"))


def test_a_new_version_replaces_the_one_on_the_page(models, tmp_path, open_page):
    export(models["lstm"], CLASSIFICATION, tmp_path / "lstm", {})
    running = Server(tmp_path)
    try:
        running.wait_until(running.is_ready)
        page = open_page(running.url)
        expect(page.at(".digit")).to_be_visible()
        expect(page.at(".digit", 1)).to_be_hidden()  # There is only one model.
        export(models["lstm"], CLASSIFICATION, tmp_path / "lstm", {})
        running.wait_until(lambda: running.states() == {"2": "AVAILABLE"})
        page.draw(SEVEN)
        expect(page.at(".version")).to_have_value("2", timeout=2_000)
        expect(page.at(".digit")).to_have_text(re.compile(r"\d"))
        assert all("404" in error for error in page.errors)  # The browser logs them.
        page.errors.clear()
    finally:
        running.stop()


def test_a_model_without_a_trace_answers_but_shows_no_steps(page):
    page.draw(SEVEN)
    page.pick("plain")
    rows = page.asked["plain"].mean(1)[10:14] / 20
    expected = np.exp(rows) / np.exp(rows).sum()
    np.testing.assert_allclose(page.bars(), percent(expected), rtol=0, atol=0.11)
    expect(page.at(".digit")).to_have_text(str(expected.argmax()))
    expect(page.at(".without-trace")).to_contain_text("cannot show the steps")
    expect(page.at(".steps")).to_be_hidden()
    expect(page.at(".about")).to_have_text("no model card")
    page.pick("no model", panel=1)
    expect(page.at(".digit", 1)).to_be_hidden()


def test_a_model_that_does_not_read_images_is_listed_and_says_so(page):
    page.pick("adding")
    page.draw(SEVEN)
    note = page.at(".without-images")
    expect(note).to_be_visible()
    expect(note).to_contain_text("This model does not read images")
    expect(page.at(".about")).to_have_text("no model card")
    for part in (".answer", ".now", ".steps", ".without-trace"):
        expect(page.at(part)).to_be_hidden()
    assert "adding" not in page.asked
    expect(page.locator("#live")).to_have_text(re.compile(r"^basic_rnn: \d, .* %$"))
    page.pick("lstm")
    expect(note).to_be_hidden()
    expect(page.at(".digit")).to_have_text(re.compile(r"\d"))


def test_a_late_answer_of_another_model_is_not_shown(page):
    page.route("**/v1/models/lstm/**", lambda route: None)  # It never answers.
    with page.expect_request("**/v1/models/lstm/**"):
        page.start_drawing(SEVEN)
    page.pick("plain")
    assert len(page.bars()) == 4
    page.unroute("**/v1/models/lstm/**")
    page.pick("lstm")
    assert len(page.bars()) == 7


def test_a_model_chosen_while_a_request_waits_is_asked(page):
    page.call(
        """(drawing, image) => {
          drawing.load(image);
          const picker = document.querySelector(".model");
          picker.value = "plain";
          picker.dispatchEvent(new Event("change"));
        }""",
        np.eye(28, dtype=int).tolist(),
    )
    page.settle()
    assert len(page.bars()) == 4


def test_a_refusal_is_shown_in_place_of_the_answer(page):
    def refuse(route):
        route.fulfill(status=503, json={"error": "4096 rows wait already; try again later"})

    page.route("**/v1/models/lstm/**", refuse)
    page.draw(SEVEN)
    expect(page.at(".since")).to_have_text("4096 rows wait already; try again later")
    expect(page.at(".digit", 1)).to_have_text(re.compile(r"\d"))
    page.unroute("**/v1/models/lstm/**")
    expect(page.at(".digit")).to_have_text(re.compile(r"\d"))  # The page retries by itself.
    assert all("503" in error for error in page.errors)
    page.errors.clear()


def test_the_keyboard_can_do_everything(page):
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    press = page.keyboard.press
    press("Tab")
    expect(page.locator("#canvas")).to_be_focused()
    expect(page.locator("#pen")).to_be_visible()
    for key in ["ArrowDown", "Space", *["ArrowDown"] * 9, "Space", *["ArrowRight"] * 9]:
        press(key)
    page.settle()
    one = page.image()
    columns = np.any(one, axis=0).nonzero()[0]
    assert np.any(one, axis=1).sum() == 20
    assert np.ptp(columns) < 8
    expect(page.at(".digit")).to_have_text(re.compile(r"\d"))
    press(",")
    expect(page.locator(".slider")).to_have_value("27")
    press("p")
    expect(page.locator(".play")).to_have_text(re.compile("Pause"))
    press("p")
    press("7")
    assert page.image() != one
    press("o")
    while not choosers:
        page.wait_for_timeout(50)
    press("Control+z")
    assert page.image() == one
    press("c")
    assert page.image() is None
    press("u")
    assert page.image() == one
    page.settle()
    page.locator(".slider").focus()
    press("Home")
    expect(page.locator(".position")).to_have_text("row 1 of 28")
    page.at(".heat .map").focus()
    press("ArrowRight")
    press("ArrowDown")
    expect(page.locator(".slider")).to_have_value("2")
    expect(page.at(".heat .map")).to_have_attribute(
        "aria-valuetext", re.compile("^unit 2, row 2: ")
    )


def test_two_arrow_keys_together_draw_diagonally(page):
    page.locator("#canvas").focus()
    page.keyboard.press("Space")
    page.keyboard.down("ArrowRight")
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    page.keyboard.up("ArrowRight")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")
    image = np.array(page.image())
    rows, columns = (np.any(image, axis=axis).sum() for axis in (1, 0))
    assert rows == pytest.approx(columns, abs=2)


PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def test_a_finger_draws_on_a_phone(open_page):
    page = open_page(**PHONE)
    x, y = middle(page.locator("#canvas"))
    session = page.context.new_cdp_session(page.page)
    for kind, points in [
        ("touchStart", [(x, y - 60)]),
        ("touchMove", [(x, y)]),
        ("touchMove", [(x + 10, y + 60)]),
        ("touchEnd", []),
    ]:
        points = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.settle()
    image = np.array(page.image())
    assert np.any(image, axis=1).sum() == 20
    assert np.any(image, axis=0).sum() < 12
    assert page.evaluate("scrollY") == 0
    expect(page.locator(".summary")).to_have_text(
        re.compile(r"lstm: \d, .* % · basic_rnn: \d, .* %")
    )


@pytest.mark.parametrize("width", [360, 700, 1024, 1280])
def test_nothing_is_wider_than_the_window(width, open_page):
    page = open_page(**PHONE | {"viewport": {"width": width, "height": 740}})
    page.draw(FOUR)
    page.pick("stacked")
    page.page.get_by_text("Keys", exact=True).click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(STICKING_OUT) == []
    before, after = (page.page.locator(f"#player {name}") for name in (".previous", ".next"))
    for side in ("width", "height"):
        assert before.bounding_box()[side] == after.bounding_box()[side]


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_moves_when_the_answer_comes(width, open_page):
    page = open_page(viewport={"width": width, "height": 900})
    script = """() => [...document.querySelectorAll("#panels :is(.pickers, .about, .answer, .now,"
      + ".picture, .bars, .plot, .map, .axis, .readout, .quantity, .legend)")].map((it) => {
        const { top, height } = it.getBoundingClientRect();
        return [it.className, top + scrollY, height];
      })"""
    expect(page.get_by_label("Load a 3")).to_be_visible()  # The samples take space, too.
    before = page.evaluate(script)
    page.draw(SEVEN)
    page.at(".heat .map").hover()
    expect(page.at(".readout")).to_contain_text("unit")
    assert page.evaluate(script) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark_mode(scheme, open_page):
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    page.draw(SEVEN)
    colours = page.evaluate(
        """() => {
          const probe = document.body.appendChild(document.createElement("i"));
          const colours = {};
          for (const name of ["ground", "card", "text", "quiet", "accent", "rival", "error"]) {
            probe.style.color = `var(--${name})`;
            colours[name] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
          }
          probe.remove();
          return colours;
        }"""
    )
    grounds = [luminance(colours.pop(name)) for name in ("ground", "card")]
    assert (max(grounds) < 0.1) == (scheme == "dark")
    for name, colour in colours.items():
        for ground in grounds:
            low, high = sorted([luminance(colour), ground])
            assert (high + 0.05) / (low + 0.05) >= 4.5, name
    duration = "(it) => getComputedStyle(it).transitionDuration"
    assert page.at(".track span").first.evaluate(duration) == "0s"


def test_the_page_asks_for_a_token_and_waits_for_a_missing_server(
    open_page, folder, tmp_path, start
):
    for name in ("lstm", "plain", "stacked"):
        shutil.copytree(folder / name / "1", tmp_path / "models" / name / "1")
    (tmp_path / "token").write_text("a secret\n")
    flags = [tmp_path / "models", f"--api_token_file={tmp_path / 'token'}"]
    server = start(*flags)
    page = open_page(server.url)
    notice = page.locator("#notice")

    def give(token):
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Use it").click()

    expect(notice).to_contain_text("The server asks for a token.")
    expect(page.get_by_label("Load a 3")).to_be_visible()
    give("a guess")
    expect(notice).to_contain_text("The server refuses this token.")
    give("a secret")
    expect(notice).to_be_hidden()
    page.pick("plain")
    page.pick("stacked", panel=1)
    page.draw(SEVEN)
    expect(page.at(".digit")).to_have_text(re.compile(r"\d"))

    server.process.kill()
    server.process.wait()
    page.draw(FOUR)
    expect(notice).to_contain_text("The server does not answer.")
    expect(page.at(".digit")).to_have_text("–")
    expect(page.at(".since")).to_have_text("no answer")
    expect(page.locator("#live")).to_have_text("plain: no answer; stacked: no answer")

    # The server restarts with another token.
    (tmp_path / "token").write_text("another")
    start(*flags, f"--rest_api_port={server.url.rpartition(':')[2]}")
    expect(notice).to_contain_text("The server refuses this token.")
    give("another")
    expect(notice).to_be_hidden()
    expect(page.at(".digit")).to_have_text(re.compile(r"\d"))
    assert page.at(".model").input_value() == "plain"
    assert page.at(".model", 1).input_value() == "stacked"
    assert page.image() == page.asked["plain"].tolist()
    complaints = ("401", "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
    assert all(any(each in error for each in complaints) for error in page.errors)
    page.errors.clear()


@pytest.fixture(scope="module")
def trained(mnist_dir, tmp_path_factory):
    """MNIST's test images, and a server of a GRU that was trained for an epoch."""
    folder = tmp_path_factory.mktemp("trained")
    data = {"mnist_dir": str(mnist_dir), "data_dir": str(folder / "data")}
    flags = ["--flagfile=configs/fast.flags", f"--runs_dir={folder}", "--name=fast"]
    flags += [f"--saved_models_dir={folder / 'models'}", *(f"--{k}={v}" for k, v in data.items())]
    command = [sys.executable, "main.py", *flags, "--dataset=mnist", "--epochs=1"]
    subprocess.run(command, cwd=PROJECT, check=True)
    running = Server(folder / "models")
    running.wait_until(running.is_ready)
    yield load(Config(dataset="mnist", **data)).test, running
    running.stop()


def test_the_easy_samples_are_read_right(trained):
    _, server = trained
    drawn = [(digit, *sample) for digits in samples.sets() for digit, sample in enumerate(digits)]
    instances = [image.tolist() for _, image, _ in drawn]
    answers = server.predict("gru", instances=instances).json()["predictions"]
    right = {True: [], False: []}
    for (digit, _, hard), answer in zip(drawn, answers, strict=True):
        right[hard].append(answer["classes"] == digit)
    print(f"{sum(right[False])} of 30 easy samples right, {sum(right[True])} of 10 hard ones")
    assert sum(right[False]) >= 29


def test_97_percent_of_300_test_digits_on_the_canvas_are_read_right(open_page, trained):
    test, server = trained
    page = open_page(server.url)
    read = page.call(
        """async (drawing, images) => {
          const panel = document.querySelector("article");
          const read = [];
          for (const image of images) {
            drawing.load(image);
            while (panel.getAttribute("aria-busy") === "true") {
              await new Promise((done) => setTimeout(done, 5));
            }
            read.push([Number(panel.querySelector(".digit").textContent), drawing.image]);
          }
          return read;
        }""",
        test.inputs[:300].tolist(),
    )
    answers, images = zip(*read, strict=True)
    right = (np.array(answers) == test.targets[:300]).mean()
    same = (np.array(images) == test.inputs[:300]).all((1, 2)).mean()
    print(f"{right:.2%} of 300 digits right, {same:.2%} drawn as they were")
    assert right >= 0.97
    assert same >= 0.99
