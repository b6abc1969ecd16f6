"""The place for text on the page in a real browser, compared with the live models and NumPy."""

import re
import shutil

import numpy as np
import pytest

from export.saved_model import export
from models import trace
from tests.conftest import CLASSIFICATION, random_model
from tests.serving.conftest import (
    CHARACTERS,
    STICKING_OUT,
    WORDS,
    Server,
    random_text_model,
    surprise,
)

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if not shutil.which("chromium"):
    pytest.skip("chromium is not installed", allow_module_level=True)
pytestmark = pytest.mark.slow  # It starts servers and a browser.
expect = sync_api.expect
expect.set_options(timeout=30_000)

TEXT = 'a big cab, "an old lamp" and\na panda. "hello", he'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text_page")


@pytest.fixture(scope="module")
def models(folder):
    """Models of text, and one of images."""
    image_model = random_model()
    export(image_model, CLASSIFICATION, folder / "of_images", {"config": {"units": 6}})
    return {
        "lstm": random_text_model(folder, "lstm"),
        "gru": random_text_model(folder, "gru", model="gru", seed=2),
        "words": random_text_model(folder, "words", "basic_rnn", WORDS, "word", seed=3),
    }


@pytest.fixture(scope="module")
def server(models, folder):
    running = Server(folder)
    running.wait_until(running.is_ready)
    yield running
    running.stop()


class Page:
    """The place for text in a browser of its own, with an LSTM and a GRU.

    Attributes:
        page: Playwright's `Page`.
        errors: The errors and warnings in the browser's console.
    """

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.goto(url)
        self.page.get_by_role("button", name="Text", exact=True).click()
        self.pick("lstm")
        self.pick("gru", panel=1)

    def _on_console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def __getattr__(self, name):
        return getattr(self.page, name)

    def at(self, selector, panel=0):
        """The elements with a CSS selector in one of the two panels."""
        return self.page.locator("#text-panels article").nth(panel).locator(selector)

    def settle(self):
        """Wait until both models have answered."""
        expect(self.page.locator("article[aria-busy=true]")).to_have_count(0)

    def pick(self, name, panel=0):
        self.at(".model", panel).select_option(name)
        self.settle()

    def type(self, text):
        self.page.locator("#text").fill(text)
        self.settle()

    def text(self):
        return self.page.locator("#text").input_value()

    def of_spans(self, script, panel=0):
        """The value of a JavaScript expression of `it` for each symbol."""
        return self.at(".text span", panel).evaluate_all(f"(all) => all.map((it) => {script})")

    def symbols(self, panel=0):
        """The texts of the coloured symbols."""
        return self.at(".text span", panel).all_text_contents()

    def colours(self, panel=0):
        """The backgrounds of the symbols: red, green, blue and opacity, `(steps, 4)`."""
        texts = self.of_spans("getComputedStyle(it).backgroundColor", panel)
        numbers = [[float(n) for n in re.findall(r"[\d.]+", text)] for text in texts]
        return np.array([[*each, 1.0][:4] for each in numbers])

    def point(self, step, panel=0):
        """Point to a symbol, counted from 1."""
        self.at(".text span", panel).nth(step - 1).hover()

    def next(self, panel=0):
        """The likeliest next symbols and their shares in percent, by the panel."""
        names = self.at(".next .label", panel).all_text_contents()
        shares = self.at(".next .share", panel).all_text_contents()
        return names, [float(share.removesuffix(" %")) for share in shares]


@pytest.fixture
def open_page(browser, server):
    """Open the page. After the test, the console must not have errors."""
    opened = []

    def open_page(**options):
        opened.append(Page(browser, server.url, **options))
        return opened[-1]

    yield open_page
    for page in opened:
        page.unroute_all(behavior="ignoreErrors")  # A request may be on its way.
        page.context.close()
        assert page.errors == []


@pytest.fixture
def page(open_page):
    return open_page()


def name(symbol):
    return {" ": "space", "\n": "new line", "<unk>": "unknown"}.get(symbol, symbol)


def opacity(bits):
    return 0.75 * np.minimum(1, bits / 8)


def greedy(model, text, count):
    """The text that a live model writes after another, always the likeliest known character."""
    for _ in range(count):
        shares = surprise(model, text)[2][-1]
        text += CHARACTERS[1 + shares[1:].argmax()]
    return text


def values_of(model, text, quantity):
    """The values of a quantity at each step, `(steps, units)`."""
    ids = surprise(model, text)[0]
    return np.asarray(trace(model, ids[None])[quantity])[0]


def test_each_character_is_tinted_by_its_surprise(page, models):
    page.type(TEXT)
    for panel, model in enumerate(["lstm", "gru"]):
        _, bits, _ = surprise(models[model], TEXT)
        shown = [symbol.replace("↵", "") for symbol in page.symbols(panel)]
        assert shown == list(TEXT)
        assert bits.max() > 6
        np.testing.assert_allclose(page.colours(panel)[:, 3], opacity(bits), rtol=0, atol=0.006)


def test_a_character_shows_its_surprise_and_the_five_likeliest_next(page, models):
    page.type(TEXT)
    page.at(".text").focus()
    for step in (1, 4, 20):
        page.point(step)
        for panel, model in enumerate(["lstm", "gru"]):
            _, bits, shares = surprise(models[model], TEXT)
            best = np.argsort(-shares[step - 1])[:5]
            names, percents = page.next(panel)
            assert names == [name(CHARACTERS[n]) for n in best]
            expected = 100 * shares[step - 1][best]
            np.testing.assert_allclose(percents, expected, rtol=0, atol=0.11)
            said = "the first" if step == 1 else f"{bits[step - 1]:.2f} bits"
            assert page.at(".since", panel).text_content() == f"{name(TEXT[step - 1])}: {said}"
            top = page.at(".next .top .label", panel).all_text_contents()
            comes = CHARACTERS.index(TEXT[step])
            assert top == ([name(TEXT[step])] if comes in best else [])
    # With the keyboard.
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.at(".text")).to_have_attribute("aria-valuenow", "3")
    _, bits, _ = surprise(models["lstm"], TEXT)
    said = page.at(".text").get_attribute("aria-valuetext")
    assert said.startswith(f"b: {bits[2]:.2f} bits; likeliest next: ")
    page.keyboard.press("ArrowDown")
    below = int(page.at(".text").get_attribute("aria-valuenow"))
    tops = page.of_spans("it.offsetTop")
    assert tops[below - 1] == min(top for top in tops if top > tops[2])


def test_a_unit_paints_the_text(page, models):
    page.type(TEXT)
    for quantity, unit in (("cell", 2), ("forget_gate", 4)):
        page.at(".quantity").select_option(quantity)
        page.settle()
        heat = page.at(".heat .map")
        box = heat.bounding_box()
        heat.click(position={"x": 30, "y": box["height"] * (unit + 0.5) / 6})
        named = f"unit {unit + 1}, {quantity.replace('_', ' ')}"
        expect(page.at(".colours option[value=unit]")).to_have_text(named)
        values = values_of(models["lstm"], TEXT, quantity)[:, unit]
        last = page.at(".limits span").last.text_content()
        low, high = (0, 1) if last == "1 open" else (-float(last[1:]), float(last[1:]))
        colours = page.evaluate(
            "async (name) => (await import('/page/colours.js')).palette(name)",
            "sequential" if last == "1 open" else "diverging",
        )
        indices = np.clip(np.rint(255 * (values - low) / (high - low)), 0, 255).astype(int)
        off = np.abs(page.colours()[:, :3] - np.array(colours)[indices])
        assert off.max() <= 4
    # The other panel keeps its colours, and this one can return to them.
    bits = surprise(models["gru"], TEXT)[1]
    np.testing.assert_allclose(page.colours(1)[:, 3], opacity(bits), rtol=0, atol=0.006)
    page.at(".colours").select_option("bits")
    bits = surprise(models["lstm"], TEXT)[1]
    np.testing.assert_allclose(page.colours()[:, 3], opacity(bits), rtol=0, atol=0.006)
    # With the keyboard.
    page.at(".heat .map").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.at(".colours")).to_have_value("unit")


def test_units_are_sorted_by_what_they_follow(page, models):
    page.type(TEXT)
    values = values_of(models["lstm"], TEXT, "cell")
    position, line = [], 0
    quoted, is_quoted = [], False
    for symbol in TEXT:
        position.append(line)
        line = 0 if symbol == "\n" else line + 1
        quoted.append(is_quoted or symbol == '"')
        is_quoted ^= symbol == '"'
    properties = {
        "line position": position,
        "quotes": quoted,
        "spaces": [symbol.isspace() for symbol in TEXT],
    }
    heat = page.at(".heat .map")
    box = heat.bounding_box()
    for label, wanted in properties.items():
        page.at(".follows").select_option(label)
        correlations = [np.corrcoef(values[:, unit], wanted)[0, 1] for unit in range(6)]
        order = np.argsort(-np.abs(correlations))
        for row, unit in enumerate(order):
            heat.hover(position={"x": 9, "y": box["height"] * (row + 0.5) / 6})
            follows = f"{correlations[unit]:+.3f}".replace("-", "−")
            readout = page.at(".readout")
            expect(readout).to_have_text(
                re.compile(rf"^unit {unit + 1}, .*follows {re.escape(follows)}")
            )
    page.at(".follows").select_option("")
    heat.hover(position={"x": 3, "y": 2})
    expect(page.at(".readout")).to_have_text(re.compile("^unit 1, character 1: [−0-9.]+$"))


def test_a_model_writes_on_until_it_is_stopped(page, models):
    page.type(TEXT)
    page.locator("#temperature").fill("0")
    for who, model in (("0", "lstm"), ("1", "gru")):
        page.type(TEXT)
        page.locator("#who").select_option(who)
        page.locator("#write").focus()
        page.keyboard.press("Space")
        expect(page.locator("#write")).to_contain_text("Stop")
        page.wait_for_function(
            f"() => document.getElementById('text').value.length > {len(TEXT)}+8"
        )
        page.keyboard.press("Escape")
        expect(page.locator("#write")).to_contain_text("Write on")
        written = page.text()
        assert written == greedy(models[model], TEXT, len(written) - len(TEXT))
        page.settle()
        page.wait_for_timeout(300)
        assert page.text() == written
        # Both models have read it.
        for panel, reader in enumerate(["lstm", "gru"]):
            _, bits, _ = surprise(models[reader], written)
            np.testing.assert_allclose(page.colours(panel)[:, 3], opacity(bits), rtol=0, atol=0.006)


def test_the_written_characters_are_tinted_at_once(page, models):
    page.type(TEXT)
    page.locator("#speed").select_option("4")
    page.at(".text").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => document.getElementById('text').value.length > {len(TEXT)}+3")
    page.route("**/versions/*:predict", lambda route: None)  # No more answers.
    page.wait_for_timeout(500)
    written = page.text()
    for panel, reader in enumerate(["lstm", "gru"]):
        _, bits, shares = surprise(models[reader], written)
        np.testing.assert_allclose(page.colours(panel)[:, 3], opacity(bits), rtol=0, atol=0.006)
        best = np.argsort(-shares[-1])[:5]
        assert page.next(panel)[0] == [name(CHARACTERS[n]) for n in best]


def test_the_user_steers_with_digits(page, models):
    page.type(TEXT)
    page.at(".text").focus()
    expected = TEXT
    for digit in (3, 1, 5):
        shares = surprise(models["lstm"], expected)[2][-1]
        symbol = CHARACTERS[np.argsort(-shares)[digit - 1]]
        page.keyboard.press(str(digit))
        if symbol != "<unk>":
            expected += symbol
        page.wait_for_function(
            "(text) => document.getElementById('text').value === text", arg=expected
        )
    page.settle()
    # While the model writes; the pause between two characters leaves time to choose.
    page.type(expected)
    page.locator("#temperature").fill("0")
    page.locator("#speed").select_option("4")
    page.locator("#write").click()
    page.wait_for_function(f"() => document.getElementById('text').value.length > {len(expected)}")
    page.keyboard.press("2")
    page.wait_for_function(
        f"() => document.getElementById('text').value.length > {len(expected)}+2"
    )
    page.keyboard.press("Escape")
    expect(page.locator("#write")).to_contain_text("Write on")
    text, chosen = page.text(), []
    for end in range(len(expected), len(text)):
        shares = surprise(models["lstm"], text[:end])[2][-1]
        shares[0] = -1  # The unknown symbol is never written.
        chosen.append(1 + np.argsort(-shares).tolist().index(CHARACTERS.index(text[end])))
    assert sorted(set(chosen)) in ([1, 2], [1, 2, 3])
    assert sum(rank > 1 for rank in chosen) == 1


def test_typing_stops_the_writing(page):
    page.type(TEXT)
    page.locator("#write").click()
    page.wait_for_function(f"() => document.getElementById('text').value.length > {len(TEXT)}+2")
    page.type("a cab")
    page.wait_for_timeout(500)
    assert page.text() == "a cab"
    assert page.symbols() == list("a cab")
    expect(page.locator("#write")).to_contain_text("Write on")


@pytest.mark.parametrize(
    "text", ["Жа中b🙂c я", "🙂", "नमस्ते a", "שלום a", "e\u0301 a\U0001f468\u200d\U0001f469"]
)
def test_other_scripts_keep_every_character_in_its_place(text, page, models):
    page.type(text)
    for panel, model in enumerate(["lstm", "gru"]):
        ids, bits, _ = surprise(models[model], text)
        assert page.symbols(panel) == list(text)
        unknown = page.of_spans("it.classList.contains('unknown')", panel)
        assert unknown == [id == 0 for id in ids]
        np.testing.assert_allclose(page.colours(panel)[:, 3], opacity(bits), rtol=0, atol=0.006)
    expect(page.locator("#counted")).to_have_text(f"{len(text)} characters")
    page.locator("#steer button").nth(0).click()
    page.wait_for_function("(text) => document.getElementById('text').value > text", arg=text)
    assert page.text()[: len(text)] == text


def test_half_of_a_surrogate_pair_is_replaced(page):
    page.evaluate("""() => {
      const box = document.getElementById("text");
      box.value = "a\\ud83d b";
      box.dispatchEvent(new Event("input"));
    }""")
    page.settle()
    assert page.symbols() == ["a", "�", " ", "b"]


def test_a_long_text_stays_responsive(page, models):
    text = (TEXT * 300)[:10_000]
    page.evaluate("""() => {
      window.longest = 0;
      const observer = new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) {
          window.longest = Math.max(window.longest, duration);
        }
      });
      observer.observe({ type: "longtask" });
    }""")
    page.type(text)
    expect(page.at(".text span")).to_have_count(10_000)
    page.settle()
    _, bits, _ = surprise(models["lstm"], text)
    np.testing.assert_allclose(page.colours()[:, 3], opacity(bits), rtol=0, atol=0.006)
    page.point(5000)
    assert page.at(".since").text_content().endswith(f"{bits[4999]:.2f} bits")
    expect(page.at(".first")).to_have_text("character 4,961".replace(",", ""))
    heat = page.at(".heat .map")
    heat.click(position={"x": 30, "y": 30})
    assert page.colours()[:, 3].min() == 1
    page.locator("#write").click()
    page.wait_for_function("() => document.getElementById('text').value.length > 10_005")
    page.keyboard.press("Escape")
    page.settle()
    longest = page.evaluate("window.longest")
    print(f"the longest task took {longest:.0f} ms")
    assert longest < 3000  # On a busy machine; 0.3 s on an idle one.


def test_a_text_that_is_too_long_is_read_in_part(page):
    page.type("a b" * 7000)
    expect(page.locator("#counted")).to_have_text(
        "21,000 characters; the page reads the first 20,000"
    )
    expect(page.at(".text span")).to_have_count(20_000)


def test_a_model_of_words_reads_words(page, models):
    page.pick("words")
    text = "one two three\nfour seven one"
    page.type(text)
    words = ["one", "two", "three", "<eos>", "four", "seven", "one"]
    _, bits, shares = surprise(models["words"], words, WORDS)
    assert page.symbols() == ["one ", "two ", "three ", "↵\n", "four ", "seven ", "one "]
    np.testing.assert_allclose(page.colours()[:, 3], opacity(bits), rtol=0, atol=0.006)
    assert page.symbols(1) == [*"one two three", "↵\n", *"four seven one"]
    page.locator("#temperature").fill("0")
    page.locator("#write").click()
    page.wait_for_function(f"() => document.getElementById('text').value.length > {len(text)}")
    page.keyboard.press("Escape")
    page.settle()
    best = WORDS[1 + shares[-1][1:].argmax()]
    assert page.text().startswith(text + ("\n" if best == "<eos>" else f" {best}"))


def test_a_model_writes_from_nothing(page):
    page.type("")
    expect(page.at(".since")).to_have_text("no text")
    expect(page.locator("#steer button").first).to_be_disabled()
    assert page.symbols() == []
    page.locator("#write").click()
    page.wait_for_function("() => document.getElementById('text').value.length > 3")
    page.keyboard.press("Escape")
    expect(page.locator("#write")).to_contain_text("Write on")
    page.settle()
    assert [symbol.replace("↵", "") for symbol in page.symbols()] == list(page.text())


def test_a_phone_shows_and_steers_with_the_finger(open_page, models):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.type(TEXT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.at(".text span").nth(7).tap()
    _, bits, shares = surprise(models["lstm"], TEXT)
    assert page.at(".since").text_content() == f"{name(TEXT[7])}: {bits[7]:.2f} bits"
    page.locator("#steer button").nth(1).tap()
    symbol = CHARACTERS[np.argsort(-shares[-1])[1]]
    page.wait_for_function(
        "(text) => document.getElementById('text').value === text", arg=TEXT + symbol
    )
    for control in page.locator("#write, #steer button").all():
        box = control.bounding_box()
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize("width", [360, 700, 1024, 1280])
def test_nothing_is_wider_than_the_window(width, open_page):
    page = open_page(viewport={"width": width, "height": 800})
    page.type("x" * 300 + TEXT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(STICKING_OUT) == []


def luminance(colour):
    linear = np.array(colour) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_coloured_text_is_readable_in_light_and_dark_mode(scheme, open_page):
    page = open_page(color_scheme=scheme)
    page.type(TEXT + "中文")

    def colour(property):
        text = page.at(".text").evaluate(f"(it) => getComputedStyle(it).{property}")
        return np.array([float(n) for n in re.findall(r"[\d.]+", text)][:3])

    ground, ink = colour("backgroundColor"), colour("color")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for *tint, share in page.colours():
        mixed = share * np.array(tint) + (1 - share) * ground
        dark, bright = sorted([luminance(mixed), luminance(ink)])
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_two_kinds_of_models_have_a_place_each(page, server):
    expect(page.get_by_role("heading", name="Letter by letter")).to_be_visible()
    expect(page.locator("#canvas")).to_be_hidden()
    page.reload()  # The choice is stored.
    expect(page.locator("#text")).to_be_visible()
    assert set(page.at(".model option").all_text_contents()) == {"lstm", "gru", "words", "no model"}
    page.get_by_role("button", name="Images").click()
    expect(page.locator("#canvas")).to_be_visible()
    expect(page.locator("#text")).to_be_hidden()
    assert page.title() == "Row by row"
    offered = page.locator("#panels .model").first.locator("option").all_text_contents()
    assert offered == ["of_images", "no model"]


@pytest.mark.parametrize(("kind", "shown"), [("reads_text", "#text"), ("reads_images", "#canvas")])
def test_models_of_one_kind_have_the_page_for_themselves(kind, shown, page):
    def answer(route):
        response = route.fetch()
        listed = response.json()
        listed["models"] = [m for m in listed["models"] if m["versions"][0][kind]]
        route.fulfill(response=response, json=listed)

    page.route("**/v1/models", answer)
    page.reload()
    expect(page.locator(shown)).to_be_visible()
    expect(page.locator("#places")).to_be_hidden()


def test_characters_are_drawn_by_their_probabilities(page):
    probabilities = np.array([0.4, 0.3, 0.15, 0.1, 0.05, 0])
    for temperature in (0, 0.5, 1, 2):
        drawn = page.evaluate(
            """async ([probabilities, temperature]) => {
              const { drawFrom } = await import("/page/reading.js");
              return Array.from({ length: 20000 }, () => drawFrom(probabilities, temperature));
            }""",
            [probabilities.tolist(), temperature],
        )
        shares = np.bincount(drawn, minlength=6) / 20000
        weights = probabilities[1:] ** (1 / max(temperature, 0.01))
        expected = weights / weights.sum()
        np.testing.assert_allclose(shares, [0, *expected], rtol=0, atol=0.02)
