"""Downloads: the preparation of datasets by TFDS, files by Keras, and a network that is silent."""

import errno
import os
import pathlib
import sys
import threading
import time

from configs import UserError
from configs.scopes import kind_of

# Without a network, TFDS would retry for minutes.
_PROBE_SECONDS = 2.5
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
# Datasets that can be read from original files in place of the network.
_FILES = {
    "mnist": "name the folder of MNIST's four original .gz files with --mnist_dir=DIR",
    "time_machine": "name the file of its text with --text_file=PATH",
    "tiny_shakespeare": "name the file of its text with --text_file=PATH",
}


class Unavailable(UserError):
    """The dataset is not on this machine, and it cannot be downloaded.

    Attributes:
        why: The reason, without the advice on how to fix it.
    """

    def __init__(self, name, why):
        embedded = "python_manual" if kind_of(name).reads == "tokens" else "digits"
        prepared = "name the folder where TFDS has prepared it with --data_dir=DIR"
        ways = [
            "connect to the network once",
            _FILES.get(name, prepared),
            f"use the embedded {embedded} with --dataset={embedded}",
        ]
        super().__init__(f"--dataset={name}: {why}; expected prepared data: {', or '.join(ways)}")
        self.why = why


def find_builder(name, data_dir):
    """The TFDS builder of a name.

    Raises:
        ValueError: If TFDS does not have the name.
        UserError: If the prepared data have a damaged description.
    """
    # Imported here, since it takes half a second that other datasets do not need.
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except ValueError:
        raise
    except Exception as error:  # TFDS raises many exception types for a damaged description.
        folder = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser() / name
        paths = ", ".join(str(path) for path in folder.rglob("dataset_info.json"))
        raise UserError(
            f"--dataset={name}: {paths or folder} is damaged ({type(error).__name__}); expected "
            f"the files that TFDS wrote: remove {folder} to prepare it again"
        ) from error


def check_folder(builder, name):
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


def download(builder, name):
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
        prepare(builder)
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise Unavailable(name, f"{where} the download failed ({error})") from error
    except tfds.download.download_manager.NonMatchingChecksumError as error:
        raise UserError(
            f"--dataset={name}: a downloaded file is damaged ({error}); expected the published "
            "checksum: remove the file and try again"
        ) from error


def prepare(builder, **how):
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


def fetch(name, url, sha256):
    """Return the path of a file, which Keras downloads once into its folder of datasets.

    Raises:
        UserError: If the download is damaged.
        Unavailable: If the file must be downloaded, and that is not possible.
    """
    import keras

    folder = os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")
    path = pathlib.Path(folder, "datasets", url.rpartition("/")[2])
    missing = Unavailable(name, f"{path} does not exist and {url} does not answer")
    if not path.exists() and _first_silent([url]):
        raise missing
    try:
        return keras.utils.get_file(origin=url, file_hash=sha256, cache_dir=folder)
    except ValueError as error:
        raise UserError(
            f"--dataset={name}: the file from {url} is damaged ({error}); expected the SHA-256 "
            f"{sha256}: remove {path} and try again, or name the file with --text_file=PATH"
        ) from error
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError):
            raise missing from error
        raise
    except Exception as error:  # Keras raises this class if the server answers with an error.
        raise Unavailable(name, f"{path} does not exist and {error}") from error


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
