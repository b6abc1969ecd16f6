import os
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from configs import Config, UserError
from datasets import downloads, load
from tests.conftest import random_split

FILES = [
    f"{split}-{kind}-ubyte.gz"
    for split in ("t10k", "train")
    for kind in ("images-idx3", "labels-idx1")
]


@pytest.fixture(scope="session")
def prepared(mnist_dir, tmp_path_factory):
    """A TFDS folder in which MNIST was prepared from its original files."""
    data_dir = tmp_path_factory.mktemp("prepared")
    load(Config(dataset="mnist", data_dir=str(data_dir), mnist_dir=str(mnist_dir)))
    return data_dir


def store_letters(data_dir, names=("train", "test"), classes=37, **options):
    """Prepare a small `emnist/letters` as TFDS would, and return its splits."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=classes),
        }
    )
    sizes = {"train": 48, "test": 9}
    splits = {name: random_split(sizes[name], classes, seed=sizes[name]) for name in names}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="emnist",
        config="letters",
        version="3.1.0",
        data_dir=data_dir,
        features=features,
        split_datasets={
            name: [
                (number, {"image": split.inputs[number, ..., np.newaxis], "label": label})
                for number, label in enumerate(split.targets)
            ]
            for name, split in splits.items()
        },
        **options,
    )
    return splits


def test_mnist_is_split_as_in_the_tutorials(prepared, no_network):
    data = load(Config(dataset="mnist", data_dir=str(prepared)))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]
    assert (data.name, data.spec.size) == ("mnist", 10)
    assert data.train.inputs.shape == (55_000, 28, 28)
    assert data.train.inputs.dtype == np.uint8
    np.testing.assert_array_equal(
        np.bincount(data.test.targets), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )


def test_without_validation_all_60_000_are_trained_on(prepared):
    data = load(Config(dataset="mnist", data_dir=str(prepared), validation_size=0))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [60_000, 0, 10_000]


def test_auto_takes_mnist_where_it_is_prepared(prepared, no_network):
    data = load(Config(dataset="auto", data_dir=str(prepared)))
    assert data.name == "mnist"
    assert "prepared" in data.source


@pytest.mark.parametrize("dataset", ["mnist", "auto"])
def test_a_damaged_original_is_named_and_the_prepared_copy_stays(
    dataset, prepared, mnist_dir, tmp_path
):
    for name in FILES:
        shutil.copy(mnist_dir / name, tmp_path)
    damaged = tmp_path / "train-images-idx3-ubyte.gz"
    os.truncate(damaged, 1_000_000)
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    with pytest.raises(UserError, match=f"{damaged} .1000000 bytes. is damaged, .* expected"):
        load(Config(dataset=dataset, data_dir=str(prepared), mnist_dir=str(tmp_path)))
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before


def test_a_missing_original_is_named(tmp_path):
    for name in FILES[:2]:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"is damaged|does not exist"):
        load(Config(dataset="mnist", data_dir=str(tmp_path / "data"), mnist_dir=str(tmp_path)))
    (tmp_path / "none").mkdir()
    with pytest.raises(
        UserError, match=r"t10k-images-idx3-ubyte\.gz does not exist; expected the files"
    ):
        load(Config(dataset="mnist", data_dir=str(tmp_path), mnist_dir=str(tmp_path / "none")))
    assert not (tmp_path / "data").exists()


def test_any_set_of_28x28_grey_images_works_by_its_name_with_its_own_class_count(tmp_path):
    splits = store_letters(tmp_path)
    data = load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))
    assert (data.name, data.spec.size) == ("emnist/letters", 37)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [44, 4, 9]
    test = splits["test"]
    stored = dict(zip([image.tobytes() for image in test.inputs], test.targets, strict=True))
    for image, label in zip(data.test.inputs, data.test.targets, strict=True):
        assert stored[image.tobytes()] == label


def test_a_set_in_another_file_format_is_refused(tmp_path):
    store_letters(tmp_path, file_format="array_record")
    with pytest.raises(
        UserError, match=r"is stored as array_record; expected tfrecord: .*--data_dir"
    ):
        load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove", "cut"])
def test_a_damaged_prepared_file_is_named_and_left_alone(tmp_path, damage):
    store_letters(tmp_path)
    (path,) = tmp_path.rglob("*train.tfrecord*")
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        del content[len(content) // 2 :]
    elif damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content.clear()
    if damage == "cut":  # Between two records.
        records = [*tf.data.TFRecordDataset([str(path)]).take(40).as_numpy_iterator()]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        content = path.read_bytes()
    elif damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} is damaged .* expected 48 whole examples"):
        load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))
    assert damage == "remove" or path.read_bytes() == content


@pytest.mark.parametrize("content", ["", "{}", "garbage", '{"name": "emni'])
def test_a_damaged_description_of_a_prepared_set_is_named(tmp_path, content):
    store_letters(tmp_path)
    (path,) = tmp_path.rglob("dataset_info.json")
    path.write_text(content)
    with pytest.raises(UserError, match=f"{path} is damaged .*; expected .*: remove {tmp_path}"):
        load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("content", [(), ("mnist-train.tfrecord-00000-of-00001",)])
def test_incomplete_prepared_data_are_told_with_the_cure(name, content, tmp_path):
    folder = tmp_path / "mnist/3.0.1"
    folder.mkdir(parents=True)
    for file in content:
        (folder / file).touch()
    cure = f"remove {folder} to prepare it again, or choose"
    with pytest.raises(UserError, match=f"{folder} are incomplete: .* expected .*: {cure}"):
        load(Config(dataset=name, data_dir=str(tmp_path)))


def test_prepared_data_whose_description_is_lost_are_told_with_the_cure(tmp_path):
    store_letters(tmp_path)
    (path,) = tmp_path.rglob("dataset_info.json")
    path.unlink()
    with pytest.raises(UserError, match=f"are incomplete: .* remove {path.parent} to prepare"):
        load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))


@pytest.mark.parametrize("file", ["data", "data/mnist", "data/mnist/3.0.1"])
def test_a_file_in_the_place_of_a_folder_of_data_is_named(file, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(UserError, match=rf"{path} is not a folder; expected a folder.*--data_dir"):
        load(Config(dataset="mnist", data_dir=str(tmp_path / "data")))


def test_a_folder_of_data_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *arguments: False)  # Root may read all of them.
    with pytest.raises(UserError, match=f"you may not read the folder {tmp_path}; .* chmod"):
        load(Config(dataset="mnist", data_dir=str(tmp_path)))


def test_another_version_of_the_data_is_named(no_network, tmp_path):
    store_letters(tmp_path)
    (tmp_path / "emnist/letters/3.1.0").rename(tmp_path / "emnist/letters/3.0.9")
    with pytest.raises(UserError, match=r"only version 3.0.9, and this program reads 3.1.0"):
        load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "near"),
    [("mnst", "mnist"), ("fashionmnist", "fashion_mnist"), ("EMNIST/Letters", "emnist/letters")],
)
def test_a_near_name_is_suggested(name, near, tmp_path):
    with pytest.raises(UserError, match=rf"such as mnist.*; did you mean {near}\?"):
        load(Config(dataset=name, data_dir=str(tmp_path)))


def test_a_file_in_the_place_of_mnists_folder_is_named_and_files_that_were_unpacked(tmp_path):
    unpacked = (tmp_path / FILES[0]).with_suffix("")
    unpacked.touch()
    for folder, told in (
        (tmp_path / "none", "the folder does not exist; expected a folder with the files t10k"),
        (unpacked, "this is a file; expected a folder with the files t10k"),
        (tmp_path, "does not exist; expected the files t10k.*: pack .*ubyte with gzip"),
    ):
        with pytest.raises(UserError, match=rf"--mnist_dir={folder}: .*{told}"):
            load(Config(dataset="mnist", mnist_dir=str(folder), data_dir=str(tmp_path / "d")))


def test_a_set_without_a_test_split_is_refused(tmp_path):
    store_letters(tmp_path, names=("train",))
    with pytest.raises(UserError, match=r"its splits are train; expected .* a test split"):
        load(Config(dataset="emnist/letters", data_dir=str(tmp_path)))


def test_a_validation_split_that_leaves_nothing_to_train_on_is_refused(tmp_path):
    store_letters(tmp_path)
    values = {"dataset": "emnist/letters", "data_dir": str(tmp_path)}
    assert len(load(Config(validation_size=47, **values)).train) == 1
    with pytest.raises(UserError, match=r"--validation_size=48: .* expected at most 47"):
        load(Config(validation_size=48, **values))


@pytest.mark.parametrize("network", ["no_network", "silent_network", "no_names"])
def test_without_network_the_error_comes_in_seconds_and_names_three_ways_out(
    network, request, tmp_path
):
    request.getfixturevalue(network)
    start = time.monotonic()
    with pytest.raises(downloads.Unavailable) as error:
        load(Config(dataset="mnist", data_dir=str(tmp_path)))
    assert time.monotonic() - start < 5
    for way in ("connect to the network", "--mnist_dir=DIR", "--dataset=digits"):
        assert way in str(error.value)


def test_without_network_only_auto_falls_back_and_says_why(no_network, tmp_path):
    data = load(Config(dataset="auto", data_dir=str(tmp_path)))
    assert data.name == "digits"
    assert "because mnist is not prepared in" in data.source
    assert "does not answer" in data.source
    with pytest.raises(downloads.Unavailable, match="--data_dir=DIR"):
        load(Config(dataset="kmnist", data_dir=str(tmp_path)))


def test_a_damaged_download_is_refused_by_its_checksum(network_that_answers, tmp_path):
    network_that_answers(200, b"not the images you are looking for")
    with pytest.raises(UserError, match=r"kmnist: a downloaded file is damaged .*ubyte.gz"):
        load(Config(dataset="kmnist", data_dir=str(tmp_path)))
    assert not list(tmp_path.glob("kmnist/[0-9]*"))


def test_a_failing_download_is_told_with_the_ways_out(network_that_answers, tmp_path):
    network_that_answers(404, b"gone")
    with pytest.raises(downloads.Unavailable, match=r"the download failed .*404.*--dataset=digits"):
        load(Config(dataset="kmnist", data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("mnst", "TensorFlow Datasets does not have it"),
        ("cifar10", r"shape \(32, 32, 3\)"),
        ("wikipedia", "not image and label"),
        ("emnist/lettres", "TensorFlow Datasets does not have it"),
        ("../mnist", "spelled"),
        ("MNIST", "spelled"),
        ("mnist:9.9.9", "spelled"),
        ("huggingface:mnist", "spelled"),
    ],
)
def test_a_name_that_is_no_28x28_grey_image_set_is_refused(name, problem, tmp_path):
    with pytest.raises(UserError, match=f"--dataset={name}: .*{problem}.*; expected auto, digits"):
        load(Config(dataset=name, data_dir=str(tmp_path)))
