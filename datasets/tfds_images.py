"""28x28 grey image sets from TensorFlow Datasets: MNIST and its family, online or from disk."""

import hashlib
import pathlib
import sys
import tempfile
import threading

import numpy as np

from configs import UserError
from datasets.dataset import Dataset, Split

# A dead network must be noticed in seconds; TFDS alone retries for minutes.
_PROBE_SECONDS = 3


class Unavailable(UserError):
    """The dataset is not on this machine and the network does not answer.

    Attributes:
        why: The reason alone, without the advice.
    """

    def __init__(self, name, why):
        ways = [
            "connect to the network once",
            "give MNIST's four original .gz files with --mnist_dir=DIR"
            if name == "mnist"
            else "give a folder where TFDS has prepared it with --data_dir=DIR",
            "use the embedded digits with --dataset=digits",
        ]
        super().__init__(f"--dataset={name}: {why}; expected one of: {'; '.join(ways)}")
        self.why = why


def read(name, data_dir=None, mnist_dir=None):
    """Read an image set by its TFDS name, preparing it first where that was never done.

    Args:
        name: A TFDS name, such as `"mnist"` or `"emnist/letters"`.
        data_dir: Where TFDS keeps prepared datasets; `None` for TFDS's own choice.
        mnist_dir: For `"mnist"` alone: a folder with the four original files, used in place of
            the network. Their published checksums are verified whether they are needed or not.

    Returns:
        A `Dataset` with an empty validation split.

    Raises:
        UserError: If the name is unknown, the images are not 28x28 and grey, or a file is damaged.
        Unavailable: If it would have to be downloaded and the network does not answer.
    """
    # Imported here: half a second that `--dataset=digits` should not pay.
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        classes = _class_count(builder)
    except (ValueError, KeyError) as error:
        problem = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"--dataset={name}: {problem}; expected auto, digits, or a TFDS set "
            "of 28x28 grey images with labels, such as mnist, fashion_mnist, kmnist, emnist/letters"
        ) from error

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
    train, test = (_read_split(builder, split) for split in ("train", "test"))
    return Dataset(name, source, classes, train=train, validation=train[:0], test=test)


def _class_count(builder):
    """The number of classes of a set of labelled 28x28 grey images; `ValueError` for others."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise ValueError(f"it has {', '.join(features)} and not image and label")
    shape, label = features["image"].shape, features["label"]
    if shape != (28, 28, 1) or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(f"its images have the shape {shape} and its labels are {label}")
    return label.num_classes


def _verify_files(folder, url_infos):
    """Compare the files of `folder` with the sizes and checksums TFDS has on record."""
    for info in url_infos.values():
        path = folder / info.filename
        if not path.is_file():
            names = ", ".join(sorted(info.filename for info in url_infos.values()))
            raise UserError(
                f"--mnist_dir={folder}: {path} is not there; expected the files {names}"
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != info.checksum:
            raise UserError(
                f"--mnist_dir={folder}: {path} ({path.stat().st_size} bytes) is damaged or not "
                f"MNIST's; expected {int(info.size)} bytes with SHA-256 {info.checksum}; fetch "
                "it again"
            )


def _prepare_from_files(builder, folder):
    """Let TFDS prepare MNIST from original files on disk, without the network."""
    import tensorflow_datasets as tfds

    # TFDS unpacks under the file's bare name and reuses what it finds there: give it a fresh place.
    with tempfile.TemporaryDirectory() as unpacked:
        config = tfds.download.DownloadConfig(manual_dir=folder)
        _prepare(builder, download_dir=unpacked, download_config=config)


def _download(builder, name):
    """Let TFDS download and prepare a dataset, if the network answers."""
    import requests
    import tensorflow_datasets as tfds

    where = f"it is not prepared in {builder.data_dir} and"
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
            "checksum; remove the file and try again"
        ) from error


def _prepare(builder, **how):
    """Let TFDS prepare a dataset; it does so aside and renames, so nothing half-done stays."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(**how)
    except (RuntimeError, tf.errors.OpError) as error:
        # How a disk that is full, or may not be written to, reaches us through TensorFlow.
        problem = str(error).splitlines()[0]
        raise OSError(
            None, f"preparing {builder.name} failed ({problem})", builder.data_dir
        ) from error


def _first_silent(urls):
    """The first of `urls` that does not answer within a few seconds in all, or `None`."""
    import requests

    answered = set()

    def probe(url):
        try:
            requests.head(url, timeout=_PROBE_SECONDS)
            answered.add(url)
        except requests.RequestException:
            pass

    # One daemon thread each: looking up a host name knows no time limit of its own.
    probes = [threading.Thread(target=probe, args=(url,), daemon=True) for url in urls]
    for thread in probes:
        thread.start()
    for thread in probes:
        thread.join(_PROBE_SECONDS)
    return next((url for url in urls if url not in answered), None)


def _read_split(builder, name):
    """Read one prepared split into memory as a `Split`."""
    import tensorflow as tf

    info = builder.info.splits[name]
    try:
        examples = builder.as_dataset(split=name, batch_size=-1, shuffle_files=False)
        images, labels = examples["image"].numpy(), examples["label"].numpy()
        if len(labels) != info.num_examples:
            raise ValueError(f"{len(labels)} of {info.num_examples} examples")
    except (tf.errors.OpError, ValueError) as error:
        files = ", ".join(str(path) for path in info.filepaths)
        raise UserError(
            f"the prepared file {files} is damaged ({str(error).splitlines()[0]}); expected "
            f"{info.num_examples} whole examples; remove {builder.data_path} to prepare it anew"
        ) from error
    return Split(images[..., 0], labels.astype(np.int64))
