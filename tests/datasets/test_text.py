import hashlib
import pydoc_data.topics
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import Config, UserError
from datasets import downloads, load, text

LINE = "The 2 quick brown foxes jump;\n"


def config_of(path=None, **values):
    """A `Config` for a small text, by default in characters."""
    defaults = {"dataset": "text", "batch_size": 3, "steps_per_batch": 5}
    return Config(**defaults | {"text_file": path and str(path)} | values)


@pytest.fixture
def file(tmp_path):
    """Write a text, and return its path."""

    def write(content):
        path = tmp_path / "a.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def contents(data):
    """The texts of the three parts, decoded without our decoder."""
    symbols, blank = data.spec.vocabulary, "" if data.spec.step == "character" else " "
    parts = (data.train, data.validation, data.test)
    return [blank.join(symbols[i] for i in part.symbols) for part in parts]


def test_a_text_is_split_in_order_into_80_10_and_10_percent(file):
    written = "".join(chr(97 + i % 26) for i in range(407))
    data = load(config_of(file(written)))
    assert contents(data) == [written[:325], written[325:366], written[366:]]
    assert data.name == "text"
    assert data.source == f"{file(written)}, 407 characters"
    assert data.summary().endswith("65 training, 8 validation and 8 test sequences")


@pytest.mark.parametrize("size", [0, 2, 60])
def test_validation_symbols_come_before_the_test_part_and_the_rest_is_for_training(size, file):
    written = "".join(chr(97 + i % 26) for i in range(407))
    train, validation, test = contents(load(config_of(file(written), validation_size=size)))
    assert (train + validation, test) == (written[:366], written[366:])
    assert len(validation) == size


def test_the_spec_says_what_is_read(file):
    for tokens, step in (("characters", "character"), ("words", "word")):
        spec = load(config_of(file(LINE * 20), tokens=tokens)).spec
        assert (spec.reads, spec.answers, spec.shape, spec.step) == (
            *("tokens", "next_token", (None,)),
            step,
        )
        assert spec.size == len(spec.vocabulary) == len({*spec.vocabulary})
        assert spec.words == f"sequences of {tokens}, {spec.size} symbols"


def test_the_vocabulary_comes_from_the_training_part_alone(file):
    data = load(config_of(file("ab" * 40 + "xa" * 5 + "yb" * 5)))
    assert data.spec.vocabulary == ("<unk>", "a", "b")
    assert data.validation.symbols.tolist() == [0, 1] * 5
    assert data.test.symbols.tolist() == [0, 2] * 5


def test_words_are_split_as_words_and_lines_end_with_a_symbol(file):
    data = load(config_of(file(LINE * 20), tokens="words"))
    words = [*LINE.split(), "<eos>"] * 20
    assert contents(data) == [" ".join(part) for part in (words[:112], words[112:126], words[126:])]
    small = load(config_of(file(LINE * 20), tokens="words", vocabulary_size=4)).spec
    assert small.vocabulary == ("<unk>", *data.spec.vocabulary[1:4])


def test_a_text_is_kept_as_it_is_without_cleaning(file):
    written = "é\r\n\tÀ€ \U0001f600.\n" * 40
    assert "".join(contents(load(config_of(file(b"\xef\xbb\xbf" + written.encode()))))) == written


def test_cleaning_as_d2l_leaves_letters_and_blanks(file):
    written = "  Don't -- PANIC!\r\nsee é p. 42\n\n" * 20
    characters = load(config_of(file(written), clean="d2l"))
    assert "".join(contents(characters)) == "don t panicsee p" * 20
    words = load(config_of(file(written), clean="d2l", tokens="words"))
    assert " ".join(contents(words)) == " ".join(["don t panic <eos> see p <eos> <eos>"] * 20)


def test_a_folder_holds_the_three_parts(tmp_path):
    texts = ["first part " * 9, "second", "a third one"]
    for name, content in zip(("train", "valid", "test"), texts, strict=True):
        (tmp_path / f"{name}.txt").write_text(content)
    data = load(config_of(tmp_path))
    assert contents(data)[0] == texts[0]
    assert contents(data)[1] == "s" + 5 * "<unk>"
    with pytest.raises(UserError, match=r"--validation_size=0: .* is a folder.*; expected no"):
        load(config_of(tmp_path, validation_size=0))


def test_a_text_is_read_with_the_vocabulary_of_a_trained_model(file):
    data = load(config_of(file("abcabcabcd" * 2)), ("<unk>", "b", "a"))  # Too short to train on.
    assert data.spec.vocabulary == ("<unk>", "b", "a")
    assert data.train.symbols.tolist() == [2, 1, 0, 2, 1, 0, 2, 1, 0, 0, 2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize("values", [{"clean": "d2l"}, {"tokens": "words"}, {"validation_size": 9}])
def test_the_checksum_tells_texts_and_settings_apart(values, file):
    path = file(LINE * 20)
    checksum = load(config_of(path)).checksum()
    assert load(config_of(path)).checksum() == checksum
    assert load(config_of(path, **values)).checksum() != checksum
    # The indices of these two texts are the same.
    assert (
        load(config_of(file("ab" * 50))).checksum() != load(config_of(file("ac" * 50))).checksum()
    )


@pytest.mark.parametrize(
    ("content", "values", "message"),
    [
        (b"", {}, "a.txt: the file is empty; expected a text"),
        (b"abc" * 40 + b"\xe9t\xe9", {}, "0xe9 at offset 120 is not UTF-8; expected .* iconv"),
        ("ab\n".encode("utf-16"), {}, "0xff at offset 0 is not UTF-8; expected"),
        (b"abc", {}, "training part has a length of 2; .* 20 characters, .*--batch_size=3 .*=5"),
        (b"ab" * 12, {}, "training part has a length of 19; expected at least 20"),
        (
            b"a b\n" * 8,
            {"tokens": "words"},
            "training part has a length of 19; expected at least 20",
        ),
        (b"1" * 99, {"clean": "d2l"}, "training part has a length of 0; expected at least 20"),
        (b"ab" * 20, {"validation_size": 37}, "=37: .*a.txt has 36 char.*; expected fewer"),
        (
            b"ab" * 20,
            {"validation_size": 17},
            "training part has a length of 19; expected at least",
        ),
        (
            b"ab" * 20,
            {"validation_size": 1},
            "the validation part has a length of 1; expected at least",
        ),
        (
            b"abcd",
            {"batch_size": 1, "steps_per_batch": 1},
            "the test part has a length of 1; expected",
        ),
    ],
)
def test_a_text_that_cannot_be_trained_on_is_one_clear_error(content, values, message, file):
    with pytest.raises(UserError, match=f"^--.*{message}") as error:
        load(config_of(file(content), **values))
    assert "\n" not in str(error.value)


def test_the_shortest_text_gives_one_batch(file):
    data = load(config_of(file("ab" * 12 + "a")))
    assert len(data.train.symbols) == 20
    assert data.train.steps_per_epoch(3) == 1
    ((xs, ys),) = data.train.batches(3, seed=0).take(1).as_numpy_iterator()
    assert xs.shape == ys.shape == (3, 5)


@pytest.mark.parametrize("name", ["train.txt", "valid.txt", "test.txt"])
def test_a_folder_that_lacks_a_file_is_named(name, tmp_path):
    for other in {"train.txt", "valid.txt", "test.txt"} - {name}:
        (tmp_path / other).write_text("some text")
    with pytest.raises(UserError, match=f"^--text_file={tmp_path}: the folder lacks {name}; exp"):
        load(config_of(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"text_file": "nowhere"},
            "--text_file=nowhere: this path does not exist; expected .*fold",
        ),
        ({"text_file": None}, "--dataset=text: --text_file is not given; expected .*add"),
        (
            {"dataset": "time_machine", "text_file": "/"},
            "--text_file=/: this is a folder; expected",
        ),
        (
            {"dataset": "python_manual", "text_file": "a.txt"},
            "--text_file=a.txt: --dataset=python_manual is part of Python; expected --dataset=text",
        ),
    ],
)
def test_a_path_that_does_not_fit_is_one_clear_error(values, message):
    with pytest.raises(UserError, match=f"^{message}"):
        load(config_of(**values))


def test_the_manual_of_python_needs_no_file():
    data = load(Config(dataset="python_manual", validation_size=0))
    topics = pydoc_data.topics.topics
    expected = sum(map(len, topics.values())) + len(topics) - 1
    assert len(data.train.symbols) + len(data.test.symbols) == expected
    assert contents(data)[0].startswith(topics[min(topics)])
    assert data.source.startswith("pydoc_data.topics of Python 3.")


def publish(monkeypatch, name, content):
    """Let a short text be the published one."""
    monkeypatch.setitem(text._SHA256, name, hashlib.sha256(content.encode()).hexdigest())


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """The folder in which Keras keeps what it has downloaded."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def test_the_time_machine_is_downloaded_once(keras_home, network_that_answers, monkeypatch, capsys):
    publish(monkeypatch, "time_machine", LINE * 9)
    config = config_of(dataset="time_machine")
    network_that_answers(200, (LINE * 9).encode())
    assert "".join(contents(load(config))) == LINE * 9
    network_that_answers(404, b"gone")
    data = load(config)
    assert "".join(contents(data)) == LINE * 9
    assert data.source == f"{keras_home}/datasets/timemachine.txt, 270 characters"


def test_a_damaged_download_is_refused(keras_home, network_that_answers, capsys):
    network_that_answers(200, b"not the text you are looking for")
    with pytest.raises(UserError, match=r"time_machine: the file from .* is damaged .*; expected"):
        load(config_of(dataset="time_machine"))


def test_a_failing_download_is_told_with_the_ways_out(keras_home, network_that_answers, capsys):
    network_that_answers(404, b"gone")
    with pytest.raises(downloads.Unavailable, match=r"404.*--text_file=PATH.*python_manual"):
        load(config_of(dataset="time_machine"))


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("no_names", "time_machine"),
        ("no_network", "time_machine"),
        ("no_network", "tiny_shakespeare"),
    ],
)
def test_without_network_the_error_comes_in_seconds(network, name, request, keras_home, tmp_path):
    request.getfixturevalue(network)
    start = time.monotonic()
    with pytest.raises(downloads.Unavailable, match=r"--text_file=PATH.*=python_manual"):
        load(config_of(dataset=name, data_dir=str(tmp_path)))
    assert time.monotonic() - start < 5


def test_a_file_in_place_of_the_published_text_is_told(file):
    data = load(config_of(file(LINE * 9), dataset="time_machine"))
    assert data.source.endswith("a.txt, which differs from the published file, 270 characters")


def store_shakespeare(data_dir, parts):
    """Prepare texts as TFDS would prepare tiny Shakespeare."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_shakespeare",
        version="1.0.0",
        data_dir=data_dir,
        features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
        split_datasets={name: [(name, {"text": part})] for name, part in parts.items()},
    )


def test_the_three_parts_of_tfds_are_joined_and_split_again(tmp_path, monkeypatch):
    written = "".join(chr(97 + i % 23) for i in range(200))
    publish(monkeypatch, "tiny_shakespeare", written)
    parts = {"train": written[:150], "validation": written[150:160], "test": written[160:]}
    store_shakespeare(tmp_path, parts)
    data = load(config_of(dataset="tiny_shakespeare", data_dir=str(tmp_path), validation_size=0))
    assert contents(data) == [written[:180], "", written[180:]]
    assert data.source.startswith(f"prepared in {tmp_path}")


def test_prepared_parts_that_are_damaged_are_refused(tmp_path):
    store_shakespeare(tmp_path, {"train": "a", "validation": "b", "test": "c"})
    config = config_of(dataset="tiny_shakespeare", data_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"prepared data in .* are damaged; expected the text with"):
        load(config)
    (record,) = tmp_path.glob("**/*train*tfrecord*")
    record.write_bytes(record.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"prepared data in .* are damaged; expected the text with"):
        load(config)


def test_the_time_machine_has_the_numbers_of_the_book(text_dir):
    path = text_dir / "time_machine/timemachine.txt"
    config = {"dataset": "time_machine", "clean": "d2l"}
    data = load(config_of(path, **config))
    assert sum(map(len, contents(data))) == 170_580
    assert data.spec.size == 28
    assert data.source == f"{path}, 170,580 characters"
    words = load(config_of(path, **config, tokens="words"))
    counted = " ".join(contents(words)).split()
    assert len(counted) - counted.count("<eos>") == 32_775


def test_tiny_shakespeare_has_its_customary_parts(text_dir, tmp_path):
    config = {"dataset": "tiny_shakespeare", "validation_size": 0}
    file = text_dir / "shakespeare/input.txt"
    data = load(config_of(file, **config))
    assert [len(part.symbols) for part in (data.train, data.test)] == [1_003_854, 111_540]
    builder = tfds.builder("tiny_shakespeare", data_dir=tmp_path)
    given = tfds.download.DownloadConfig(manual_dir=file.parent)
    builder.download_and_prepare(download_dir=tmp_path / "downloads", download_config=given)
    prepared = load(config_of(data_dir=str(tmp_path), **config))
    assert prepared.checksum() == data.checksum()


def test_the_penn_treebank_has_mikolovs_numbers(text_dir, tmp_path):
    for ours, name in (("train", "train"), ("valid", "valid"), ("test", "test")):
        (tmp_path / f"{ours}.txt").symlink_to(text_dir / f"ptb/ptb.{name}.txt")
    data = load(config_of(tmp_path, tokens="words"))
    parts = (data.train, data.validation, data.test)
    assert [len(part.symbols) for part in parts] == [929_589, 73_760, 82_430]
    assert data.spec.size == 10_000
    assert all(np.mean(part.symbols == 0) < 0.07 for part in parts)
