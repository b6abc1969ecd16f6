"""Messages about folders that are not laid out as models and versions."""

import asyncio
import concurrent.futures
import pathlib

import pytest

from configs import UserError
from serving.layout import is_version, mistake_in
from serving.repository import Repository
from serving.settings import read_config
from serving.version import Limits


def make(folder, *paths):
    """Make files, or folders where a path ends with a slash."""
    for path in paths:
        new = folder / path
        (new if path.endswith("/") else new.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            new.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "nowhere",
            "does not exist; expected a folder of exported models: train one with python main.py",
        ),
        ("file", "is a file; expected a folder of exported models"),
        ("models/lstm", "is a model; expected the folder of models: models"),
        ("models/lstm/", "is a model; expected the folder of models: models"),
        ("models/lstm/1", "is a version of a model; expected the folder of models: models"),
        ("my models/gru", "is a model; expected the folder of models: 'my models'"),
        ("lstm", "is a model; expected the folder of models: ."),
        ("loose", "is a SavedModel itself; expected a folder of models: move it to ./loose/1"),
        ("models", None),
        ("digits", None),
        ("empty", None),
        (".", None),
    ],
)
def test_a_wrong_folder_is_reported_with_the_right_one(given, expected, tmp_path, monkeypatch):
    make(
        tmp_path,
        *("file", "empty/", "loose/saved_model.pb", "lstm/3/saved_model.pb"),
        *("models/lstm/1/saved_model.pb", "my models/gru/1/saved_model.pb"),
        "digits/7/1/saved_model.pb",  # The name of a model may be a number.
    )
    monkeypatch.chdir(tmp_path)
    assert mistake_in(pathlib.Path(given)) == expected


def test_the_parent_of_the_working_directory_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path, "lstm/1/saved_model.pb") / "lstm")
    assert mistake_in(pathlib.Path()) == "is a model; expected the folder of models: .."
    monkeypatch.chdir("1")
    assert mistake_in(pathlib.Path()).endswith("the folder of models: ../..")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *[("1", True), ("007", True), (str(2**63 - 1), True), (str(2**63), False)],
        *[("v1", False), ("1.0", False), ("-1", False), ("١", False), ("", False)],
        ("1" * 5000, False),
    ],
)
def test_a_version_is_a_number_of_63_bits(name, is_one):
    assert is_version(name) == is_one


def said_by(folder, config=None, change=None):
    """Refresh a repository twice, and once more after a change, so that it prints messages."""

    async def look():
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            repository = Repository(folder, config, Limits(), executor)
            await repository.refresh()
            await repository.refresh()
            if change:
                change()
                await repository.refresh()

    asyncio.run(look())


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (
            ["lstm/v1/saved_model.pb"],
            "{0}/lstm/v1 is not served: its name is not a version; expected a number: rename it "
            "to {0}/lstm/1",
        ),
        (["lstm/latest/saved_model.pb"], "rename it to {0}/lstm/1"),
        ([f"lstm/{10**20}/saved_model.pb"], "rename it to {0}/lstm/1"),
        (["lstm/2/", "lstm/best/saved_model.pb"], "rename it to {0}/lstm/3"),
        (
            ["lstm/saved_model.pb", "lstm/variables/"],
            "{0}/lstm is not served: it is a SavedModel itself, not a folder of versions; move it "
            "to {0}/lstm/1",
        ),
        (
            ["lstm/"],
            "{0}/lstm is not served: it does not hold a version; expected a folder such as",
        ),
        ([], "{0} holds no models yet; train one: python main.py"),
    ],
)
def test_a_folder_that_is_not_served_is_reported_once(paths, expected, tmp_path, capsys):
    said_by(make(tmp_path, *paths))
    said = capsys.readouterr().out
    assert said.count(expected.format(tmp_path)) == 1
    assert said.count("no models yet") == (not paths)


def test_a_folder_that_is_being_written_is_not_reported(tmp_path, capsys):
    def change():
        make(tmp_path, "lstm/", "gru/assets/", "rnn/new/saved_model.pb")

    said_by(make(tmp_path, "basic/v1/saved_model.pb"), change=change)
    said = capsys.readouterr().out
    assert said.count("is not served") == 2
    assert "rnn/new is not served" in said


CONFIG = 'model_config_list {{ config {{ name: "lstm" base_path: "{}" }} }}'


@pytest.mark.parametrize(
    ("base_path", "expected"),
    [
        ("none", "it does not exist; expected a folder of versions, such as {0}/none/1"),
        ("lstm/1", "not a folder of versions; give the folder above, {0}/lstm"),
        ("empty", "does not hold a version; expected a folder such as {0}/empty/1"),
    ],
)
def test_a_base_path_without_versions_is_reported(base_path, expected, tmp_path, capsys):
    make(tmp_path, "lstm/1/saved_model.pb", "empty/")
    (tmp_path / "config").write_text(CONFIG.format(tmp_path / base_path))
    said_by(tmp_path, read_config(tmp_path / "config"))
    said = capsys.readouterr().out
    assert said.count(expected.format(tmp_path)) == 1
    assert "no models yet" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "does not name a model; expected model_config_list"),
        ("model_config_list {}", "does not name a model"),
        (
            'model_config_list { config { name: "lstm" } }',
            "lstm does not have a base_path; expected",
        ),
        ('model_config_list { config { base_path: "/m" } }', "/m does not have a name; expected"),
        ("model_config_list { config {} }", "a model does not have a name"),
        (
            'model_config_list { config { name: "a" base_path: "/a" } config { name: "a" '
            'base_path: "/b" } }',
            "a is named twice",
        ),
        ("\ufeffmodel", "expected a ModelServerConfig"),
    ],
)
def test_a_config_that_names_no_folder_is_refused(text, expected, tmp_path):
    (tmp_path / "config").write_text(text)
    with pytest.raises(UserError, match=expected):
        read_config(tmp_path / "config")
