"""Texts, as datasets of language models: a model predicts each next character or word.

Sources: `time_machine` is H. G. Wells, The Time Machine, 1895, as in A. Zhang et al., Dive into
Deep Learning, edition 0.17, https://classic.d2l.ai, section 8.2; `tiny_shakespeare` is the text of
A. Karpathy, https://github.com/karpathy/char-rnn; `python_manual` is the help of Python's `pydoc`.
"""

import hashlib
import pathlib
import platform
import re

from configs import UserError
from datasets import downloads
from datasets.dataset import Dataset, Spec
from datasets.splits import StreamSplit
from datasets.vocabulary import Vocabulary, split

_TIME_MACHINE = "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
_SHA256 = {
    "time_machine": "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
    "tiny_shakespeare": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
}
_FILES = ("train.txt", "valid.txt", "test.txt")
_PATHS = f"the path of a text in UTF-8, or of a folder with {', '.join(_FILES)}"


def read(config, vocabulary=None):
    """The dataset of text of a `Config`.

    A single text is split in order: the first 80 % are for training, the next 10 % for validation
    and the last 10 % for testing. `validation_size` changes the number of symbols for validation;
    the symbols before them are for training.

    Args:
        config: A `Config`; its dataset, locations, batch size, and the settings of texts are used.
        vocabulary: The symbols of a trained model. `None` takes the symbols of the training part.

    Returns:
        A `Dataset` of three `StreamSplit`s.

    Raises:
        UserError: If the text is missing, not UTF-8, or too short.
        Unavailable: If the text must be downloaded, and that is not possible.
    """
    is_trained = vocabulary is not None
    texts, flag, source = _read_texts(config)
    if config.clean == "d2l":
        texts = [clean_as_d2l(text, config.tokens) for text in texts]
    parts = [split(text, config.tokens) for text in texts]
    source = f"{source}, {sum(map(len, parts)):,} {config.tokens}"
    if len(parts) == 1:
        parts = _split_in_order(parts[0], flag, config)
    elif config.validation_size is not None:
        raise UserError(
            f"--validation_size={config.validation_size}: {config.text_file} is a folder, whose "
            "valid.txt is for validation; expected no --validation_size, or the path of a file"
        )
    if vocabulary is None:
        vocabulary = Vocabulary.of(parts[0], config.tokens, config.vocabulary_size)
    else:
        vocabulary = Vocabulary(tuple(vocabulary), config.tokens)
    parts[0] = parts[0][: config.max_train_tokens]
    _require_sizes(parts, flag, config, is_trained=is_trained)
    train, validation, test = (
        StreamSplit.of_symbols(vocabulary.indices(part), config.steps_per_batch) for part in parts
    )
    spec = Spec(
        reads="tokens",
        answers="next_token",
        shape=(None,),
        size=len(vocabulary),
        step=config.tokens.removesuffix("s"),
        vocabulary=vocabulary.symbols,
    )
    return Dataset(config.dataset, source, spec, train, validation, test)


def clean_as_d2l(text, tokens):
    """Clean a text as the book Dive into Deep Learning does.

    Args:
        text: The text.
        tokens: `"characters"` or `"words"`.

    Returns:
        The lines in lower case, with one blank between the letters of the English alphabet for all
        other characters there. The lines are joined without a separator, as in the book. For words
        they are kept: otherwise the last word of a line and the first of the next would be one.
    """
    lines = [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in text.split("\n")]
    return ("" if tokens == "characters" else "\n").join(lines)


def _read_texts(config):
    """Read the texts of a `Config`: one, or those of a folder.

    Returns:
        A list of one text, or of three; the flag that names them; and their origin, in words.
    """
    name, path = config.dataset, config.text_file
    if name == "python_manual":
        if path:
            raise UserError(
                f"--text_file={path}: --dataset=python_manual is part of Python; expected "
                "--dataset=text to read a file, or no --text_file"
            )
        source = f"pydoc_data.topics of Python {platform.python_version()}"
        return [_python_manual()], f"--dataset={name}", source
    if path:
        return _read_path(name, pathlib.Path(path))
    if name == "text":
        raise UserError(
            f"--dataset=text: --text_file is not given; expected {_PATHS}: add --text_file=PATH"
        )
    if name == "time_machine":
        path = pathlib.Path(downloads.fetch(name, _TIME_MACHINE, _SHA256[name]))
        return [_decode(path, path.read_bytes())], f"--dataset={name}", str(path)
    text, source = _tiny_shakespeare(config.data_dir)
    return [text], f"--dataset={name}", source


def _read_path(name, path):
    """Read `--text_file`: see `_read_texts`."""
    flag = f"--text_file={path}"
    kinds = _PATHS if name == "text" else "the path of a text in UTF-8"
    if not path.exists():
        raise UserError(f"{flag}: this path does not exist; expected {kinds}")
    if path.is_dir() and name != "text":
        raise UserError(f"{flag}: this is a folder; expected {kinds}, or --dataset=text")
    if path.is_dir():
        missing = [file for file in _FILES if not (path / file).is_file()]
        if missing:
            raise UserError(
                f"{flag}: the folder lacks {', '.join(missing)}; expected {', '.join(_FILES)}, or "
                "the path of a file, which is then split"
            )
        return (
            [_decode(path / file, (path / file).read_bytes()) for file in _FILES],
            flag,
            str(path),
        )
    content = path.read_bytes()
    source = str(path)
    if name in _SHA256 and hashlib.sha256(content).hexdigest() != _SHA256[name]:
        source += ", which differs from the published file"
    return [_decode(path, content)], flag, source


def _decode(path, content):
    """The text of the bytes of a file, without the mark of UTF-8 at its beginning."""
    if not content:
        raise UserError(
            f"--text_file={path}: the file is empty; expected a text in UTF-8: name another file"
        )
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UserError(
            f"--text_file={path}: the byte 0x{content[error.start]:02x} at offset {error.start:,} "
            "is not UTF-8; expected a text in UTF-8: convert it, as with iconv -f LATIN1 -t UTF-8"
        ) from error


def _python_manual():
    """The topics of `pydoc`, sorted by name. They differ between versions of Python."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _tiny_shakespeare(data_dir):
    """Read tiny Shakespeare by TFDS, whose three splits are joined; return it and its origin."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    name = "tiny_shakespeare"
    builder = downloads.find_builder(name, data_dir)
    downloads.check_folder(builder, name)
    source = f"prepared in {builder.data_path}"
    if not builder.is_prepared():
        downloads.download(builder, name)
        source = f"downloaded to {builder.data_path}"
    try:
        splits = (builder.as_dataset(split=part) for part in ("train", "validation", "test"))
        content = b"".join(e["text"] for part in splits for e in tfds.as_numpy(part))
    except (ValueError, tf.errors.OpError):  # A split is missing, or a file is damaged.
        content = b""
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise UserError(
            f"--dataset={name}: the prepared data in {builder.data_path} are damaged; expected the "
            f"text with the SHA-256 {_SHA256[name]}: remove the folder to prepare it again"
        )
    return content.decode("utf-8"), source


def _split_in_order(symbols, flag, config):
    """Split symbols into those for training, validation and testing: a list of three parts."""
    count = len(symbols)
    begin_test = count * 9 // 10
    size = config.validation_size
    size = begin_test - count * 8 // 10 if size is None else size
    if size > begin_test:
        raise UserError(
            f"--validation_size={size}: {flag} has {begin_test:,} {config.tokens} before its test "
            "part; expected fewer, so that some are left to train on"
        )
    begin = begin_test - size
    return [symbols[:begin], symbols[begin:begin_test], symbols[begin_test:]]


def _require_sizes(parts, flag, config, is_trained):
    """Raise a `UserError` if a part is too short: for a batch, or to predict a single symbol."""
    batch, steps, tokens = config.batch_size, config.steps_per_batch, config.tokens
    sizes = [len(part) for part in parts]
    needed = (batch + 1) * steps
    if sizes[0] < needed and not is_trained:
        raise UserError(
            f"{flag}: the training part has a length of {sizes[0]:,}; expected at least {needed:,} "
            f"{tokens}, for a batch of --batch_size={batch} tracks of --steps_per_batch={steps}: "
            "lower one of the two, or name a longer text"
        )
    for size, name in ((sizes[1], "validation"), (sizes[2], "test")):
        # The first symbol is not predicted. A text can have no validation part.
        if size == 1 or (size == 0 and name == "test"):
            raise UserError(
                f"{flag}: the {name} part has a length of {size}; expected at least 2 {tokens}: "
                "name a longer text, or change --validation_size"
            )
