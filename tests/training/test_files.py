"""Files and folders that appear whole or not at all."""

import contextlib
import os

import pytest

from training.files import (
    ASIDE,
    atomic_folder,
    atomic_write,
    locking,
    remove_left,
    sync,
    sync_all,
    temporary_folder,
)


def test_a_folder_has_its_name_when_it_is_whole(tmp_path):
    with temporary_folder(tmp_path) as aside:
        (aside / "a.txt").write_text("whole")
        assert aside.name.startswith(ASIDE)
        aside.rename(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a/a.txt").read_text() == "whole"


def test_a_folder_that_is_not_finished_is_gone(tmp_path):
    def fill():
        with temporary_folder(tmp_path) as aside:
            (aside / "a.txt").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert not list(tmp_path.iterdir())


def test_what_was_killed_goes_and_what_is_at_work_stays(tmp_path):
    (tmp_path / f"{ASIDE}killed/deep").mkdir(parents=True)
    (tmp_path / f"{ASIDE}file").touch()
    (tmp_path / "finished").mkdir()
    with temporary_folder(tmp_path) as at_work, temporary_folder(tmp_path) as another:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {at_work.name, another.name, "finished", f"{ASIDE}file"}
        with locking(at_work, shared=True) as locked:
            assert not locked


def test_of_files_too_those_stay_that_are_being_written(tmp_path):
    (tmp_path / f"{ASIDE}killed.txt").touch()
    with atomic_write(tmp_path / "a.txt") as at_work:
        at_work.write_text("half")
        remove_left(tmp_path.iterdir())
        assert list(tmp_path.iterdir()) == [at_work]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_takes_the_place_of_another_when_it_is_whole(tmp_path):
    path = tmp_path / "report"
    for content in ("first", "second"):
        with atomic_folder(path) as aside:
            (aside / content).touch()
        assert [p.name for p in path.iterdir()] == [content]
    with contextlib.suppress(ZeroDivisionError), atomic_folder(path) as aside:
        (aside / "third").touch()
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*")) == [path, path / "second"]


def test_all_of_a_folder_reaches_the_disk(tmp_path, monkeypatch):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.txt").touch()
    (tmp_path / "d.txt").touch()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    sync_all(tmp_path)
    expected = [tmp_path, *(tmp_path / p for p in ("a", "a/b", "a/b/c.txt", "d.txt"))]
    assert sorted(synced) == sorted(map(str, expected))
    sync(tmp_path / "d.txt")
    assert synced[-1] == str(tmp_path / "d.txt")
