"""Sets of 28x28 grey images from TensorFlow Datasets, downloaded or from disk: MNIST and others."""

import errno
import functools
import hashlib
import os
import pathlib
import re
import sys
import tempfile
import threading
import time

import numpy as np

from configs import UserError
from configs.option import did_you_mean
from datasets.dataset import Dataset, images_spec
from datasets.splits import ArraySplit

# Without a network, TFDS would retry for minutes.
_PROBE_SECONDS = 2.5
# TFDS also accepts versions, remote hubs and other spellings. Here a dataset has one name.
_NAME = re.compile(r"[a-z0-9_]+(/[A-Za-z0-9_.-]+)?")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
# Valid names, for a suggestion when a name is misspelled.
_EMNIST = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
_NEAR = ("auto", "digits", "mnist", "fashion_mnist", "kmnist", *(f"emnist/{n}" for n in _EMNIST))


class Unavailable(UserError):
    """The dataset is not on this machine, and it cannot be downloaded.

    Attributes:
        why: The reason, without the advice on how to fix it.
    """

    def __init__(self, name, why):
        ways = [
            "connect to the network once",
            "name the folder of MNIST's four original .gz files with --mnist_dir=DIR"
            if name == "mnist"
            else "name the folder where TFDS has prepared it with --data_dir=DIR",
            "use the embedded digits with --dataset=digits",
        ]
        super().__init__(f"--dataset={name}: {why}; expected prepared data: {', or '.join(ways)}")
        self.why = why


def read(name, data_dir=None, mnist_dir=None):
    """Read an image set by its TFDS name; download and prepare it first if necessary.

    Args:
        name: A TFDS name, such as `"mnist"` or `"emnist/letters"`.
        data_dir: Folder of the prepared datasets of TFDS; `None` for the default of TFDS.
        mnist_dir: Only for `"mnist"`: a folder with the four original files, used in place of the
            network. Their checksums are always verified, even if the files are not needed.

    Returns:
        A `Dataset` with an empty validation split.

    Raises:
        UserError: If the name is unknown, the images are not 28x28 and grey, or a file is damaged.
        Unavailable: If it must be downloaded, and that is not possible.
    """
    import tensorflow_datasets as tfds

    builder = _find(name, data_dir)
    classes = _class_count(builder, name)
    _check_folder(builder, name)
    files = pathlib.Path(mnist_dir).expanduser() if mnist_dir and name == "mnist" else None
    if files:
        _verify_files(files, builder.url_infos)
    if builder.is_prepared():
        source = f"prepared in {builder.data_path}"
    elif files:
        _prepare_from_files(builder, files)
        source = f"prepared in {builder.data_path} from {files}"
    else:
        _download(builder, name)
        source = f"downloaded to {builder.data_path}"
    if not {"train", "test"} <= set(builder.info.splits):
        raise _unfit(name, f"its splits are {', '.join(builder.info.splits) or 'not known'}")
    form = builder.info.file_format
    if form is not tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"--dataset={name}: {builder.data_path} is stored as {form.value}; expected tfrecord: "
            "let TFDS prepare it again in another folder with --data_dir=DIR"
        )
    train, test = (_read_split(builder, split) for split in ("train", "test"))
    spec = images_spec(classes)
    return Dataset(name, source, spec, train=train, validation=train[:0], test=test)


def _find(name, data_dir):
    """The TFDS builder of a name."""
    # Imported here, since it takes half a second that `--dataset=digits` does not need.
    import tensorflow_datasets as tfds

    if not _NAME.fullmatch(name):
        raise _unfit(name, "the name of a TFDS dataset is spelled name or name/config")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except ValueError as error:
        raise _unfit(name, "TensorFlow Datasets does not have it") from error
    except Exception as error:  # TFDS raises many exception types for a damaged description.
        folder = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser() / name
        paths = ", ".join(str(path) for path in folder.rglob("dataset_info.json"))
        raise UserError(
            f"--dataset={name}: {paths or folder} is damaged ({type(error).__name__}); expected "
            f"the files that TFDS wrote: remove {folder} to prepare it again"
        ) from error


def _check_folder(builder, name):
    """Raise a `UserError` if the path of the prepared data is incomplete or not a folder.

    TFDS takes any folder at this path for complete data.
    """
    path = pathlib.Path(builder.data_path)
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    again = "choose another folder with --data_dir=DIR"
    if not there.is_dir():
        raise UserError(
            f"--dataset={name}: {there} is not a folder; expected a folder for the "
            f"prepared data of TFDS: remove the file, or {again}"
        )
    if not os.access(there, os.R_OK | os.X_OK):
        raise UserError(
            f"--dataset={name}: you may not read the folder {there}; expected permission to read "
            f"it: chmod u+rx, or {again}"
        )
    if there == path and not builder.is_prepared():
        raise UserError(
            f"--dataset={name}: the prepared data in {path} are incomplete: dataset_info.json is "
            "missing; expected a folder that TFDS has finished: remove "
            f"{path} to prepare it again, or {again}"
        )


def _class_count(builder, name):
    """The number of classes; `UserError` if these are not labelled 28x28 grey images."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise _unfit(name, f"its features are {', '.join(features)}, not image and label")
    image, shape, label = features["image"], features["image"].shape, features["label"]
    grey = isinstance(image, tfds.features.Image) and image.dtype == "uint8"
    if not grey or shape != (28, 28, 1) or not isinstance(label, tfds.features.ClassLabel):
        raise _unfit(name, f"its images have the shape {shape} and its labels are {label}")
    return label.num_classes


def _unfit(name, problem):
    hint = "" if name in _NEAR else did_you_mean(name, _NEAR)
    return UserError(
        f"--dataset={name}: {problem}; expected auto, digits, or a TFDS set of 28x28 grey images "
        f"with labels and a test split, such as mnist, fashion_mnist, kmnist, emnist/letters{hint}"
    )


def _verify_files(folder, url_infos):
    """Compare the files of `folder` with the checksums that TFDS has recorded."""
    names = ", ".join(sorted(info.filename for info in url_infos.values()))
    if not folder.is_dir():
        problem = "this is a file" if folder.exists() else "the folder does not exist"
        raise UserError(
            f"--mnist_dir={folder}: {problem}; expected a folder with the files {names}"
        )
    for info in url_infos.values():
        path = folder / info.filename
        if not path.is_file():
            unpacked = path.with_suffix("")
            cure = f": pack {unpacked} with gzip" if unpacked.is_file() else ""
            raise UserError(
                f"--mnist_dir={folder}: {path} does not exist; expected the files {names}{cure}"
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != info.checksum:
            raise UserError(
                f"--mnist_dir={folder}: {path} ({path.stat().st_size} bytes) is damaged, or is "
                f"not MNIST's; expected {int(info.size)} bytes with SHA-256 {info.checksum}: "
                "download it again"
            )


def _prepare_from_files(builder, folder):
    """Let TFDS prepare MNIST from original files on disk, without the network."""
    import tensorflow_datasets as tfds

    # A new folder, since TFDS would reuse an older unpacked file with the same name.
    with tempfile.TemporaryDirectory() as unpacked:
        config = tfds.download.DownloadConfig(manual_dir=folder)
        _prepare(builder, download_dir=unpacked, download_config=config)


def _download(builder, name):
    """Let TFDS download and prepare a dataset, if the network answers."""
    import requests
    import tensorflow_datasets as tfds

    path = pathlib.Path(builder.data_path)
    others = sorted(info.parent.name for info in path.parent.glob("[0-9]*/dataset_info.json"))
    only = f" (only version {', '.join(others)}, and this program reads {path.name})"
    where = f"{name} is not prepared in {builder.data_dir}{only if others else ''} and"
    silent = _first_silent(builder.url_infos or ())
    if silent:
        raise Unavailable(name, f"{where} {silent} does not answer")
    try:
        _prepare(builder)
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise Unavailable(name, f"{where} the download failed ({error})") from error
    except tfds.download.download_manager.NonMatchingChecksumError as error:
        raise UserError(
            f"--dataset={name}: a downloaded file is damaged ({error}); expected the published "
            "checksum: remove the file and try again"
        ) from error


def _prepare(builder, **how):
    """Let TFDS prepare a dataset. It writes a temporary folder and renames it at the end."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(**how)
    except (RuntimeError, tf.errors.OpError, tfds.download.extractor.ExtractError) as error:
        # TFDS reports a full or read-only disk in the text of these exceptions.
        text = str(error).splitlines()[0]
        number = next((n for n in _DISK_ERRORS if os.strerror(n) in text), errno.EIO)
        raise OSError(number, f"preparing {builder.name} failed ({text})", builder.data_dir) from (
            error
        )


def _first_silent(urls):
    """The first URL that does not answer within `_PROBE_SECONDS`, or `None`.

    All URLs are probed at the same time.
    """
    import requests

    answered = set()

    def probe(url):
        try:
            requests.head(url, timeout=_PROBE_SECONDS)
            answered.add(url)
        except requests.RequestException:
            pass

    # Each URL has a daemon thread, since looking up a host name has no time limit.
    probes = [threading.Thread(target=probe, args=(url,), daemon=True) for url in urls]
    for thread in probes:
        thread.start()
    deadline = time.monotonic() + _PROBE_SECONDS
    for thread in probes:
        thread.join(max(0, deadline - time.monotonic()))
    return next((url for url in urls if url not in answered), None)


def _read_split(builder, name):
    """Read one prepared split into memory as a `Split`."""
    import tensorflow as tf

    info = builder.info.splits[name]
    again = f"remove {builder.data_path} to prepare it again"
    if not info.num_examples:
        raise UserError(
            f"the prepared data in {builder.data_path} are incomplete: dataset_info.json counts 0 "
            f"examples of {name}; expected at least 1: {again}"
        )
    try:
        examples = _read_records(info)
        images, labels = examples["image"].numpy(), examples["label"].numpy()
        if len(labels) != info.num_examples:
            raise tf.errors.DataLossError(None, None, f"it ends after {len(labels)} examples")
    except tf.errors.OpError as error:
        files = ", ".join(str(path) for path in info.filepaths)
        if isinstance(error, tf.errors.PermissionDeniedError):
            raise UserError(
                f"you may not read the prepared file {files}; expected permission to read it: "
                "chmod u+r"
            ) from error
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error).splitlines()[0]).strip()
        raise UserError(
            f"the prepared file {files} is damaged ({reason}); expected {info.num_examples} whole "
            f"examples: {again}"
        ) from error
    return ArraySplit(images[..., 0], labels.astype(np.int64))


def _read_records(split):
    """Read the examples of a split in batches of 1,000, which is seconds faster than TFDS."""
    import tensorflow as tf

    features = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "label": tf.io.FixedLenFeature((), tf.int64),
    }
    image_spec = tf.TensorSpec((28, 28, 1), tf.uint8)

    def parse(records):
        examples = tf.io.parse_example(records, features)
        decode = functools.partial(tf.io.decode_png, channels=1)
        images = tf.map_fn(decode, examples["image"], fn_output_signature=image_spec)
        return examples | {"image": images}

    records = tf.data.TFRecordDataset([str(path) for path in split.filepaths]).batch(1000)
    batches = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.rebatch(split.num_examples).get_single_element()
