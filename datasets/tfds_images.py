"""Sets of 28x28 grey images from TensorFlow Datasets, downloaded or from disk: MNIST and others."""

import functools
import hashlib
import pathlib
import re
import tempfile

import numpy as np

from configs import UserError
from configs.option import did_you_mean
from datasets.dataset import Dataset, images_spec
from datasets.downloads import check_folder, download, find_builder, prepare
from datasets.splits import ArraySplit

# TFDS also accepts versions, remote hubs and other spellings. Here a dataset has one name.
_NAME = re.compile(r"[a-z0-9_]+(/[A-Za-z0-9_.-]+)?")
# Valid names, for a suggestion when a name is misspelled.
_EMNIST = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
_NEAR = ("auto", "digits", "mnist", "fashion_mnist", "kmnist", *(f"emnist/{n}" for n in _EMNIST))


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
    check_folder(builder, name)
    files = pathlib.Path(mnist_dir).expanduser() if mnist_dir and name == "mnist" else None
    if files:
        _verify_files(files, builder.url_infos)
    if builder.is_prepared():
        source = f"prepared in {builder.data_path}"
    elif files:
        _prepare_from_files(builder, files)
        source = f"prepared in {builder.data_path} from {files}"
    else:
        download(builder, name)
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
    if not _NAME.fullmatch(name):
        raise _unfit(name, "the name of a TFDS dataset is spelled name or name/config")
    try:
        return find_builder(name, data_dir)
    except ValueError as error:
        raise _unfit(name, "TensorFlow Datasets does not have it") from error


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
        prepare(builder, download_dir=unpacked, download_config=config)


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
