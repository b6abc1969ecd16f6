"""Atomic writes of files and folders."""

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


def test_a_complete_folder_is_renamed(tmp_path):
    with temporary_folder(tmp_path) as temporary:
        (temporary / "a.txt").write_text("whole")
        assert temporary.name.startswith(ASIDE)
        temporary.rename(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a/a.txt").read_text() == "whole"


def test_an_unfinished_folder_is_removed(tmp_path):
    def fill():
        with temporary_folder(tmp_path) as temporary:
            (temporary / "a.txt").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert not list(tmp_path.iterdir())


def test_abandoned_folders_are_removed_and_locked_ones_stay(tmp_path):
    (tmp_path / f"{ASIDE}killed/deep").mkdir(parents=True)
    (tmp_path / f"{ASIDE}file").touch()
    (tmp_path / "finished").mkdir()
    with temporary_folder(tmp_path) as at_work, temporary_folder(tmp_path) as another:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {at_work.name, another.name, "finished", f"{ASIDE}file"}
        with locking(at_work, shared=True) as locked:
            assert not locked


def test_abandoned_files_are_removed_and_locked_ones_stay(tmp_path):
    (tmp_path / f"{ASIDE}killed.txt").touch()
    with atomic_write(tmp_path / "a.txt") as at_work:
        at_work.write_text("half")
        remove_left(tmp_path.iterdir())
        assert list(tmp_path.iterdir()) == [at_work]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_if_the_block_succeeds(tmp_path):
    path = tmp_path / "report"
    for content in ("first", "second"):
        with atomic_folder(path) as temporary:
            (temporary / content).touch()
        assert [p.name for p in path.iterdir()] == [content]
    with contextlib.suppress(ZeroDivisionError), atomic_folder(path) as temporary:
        (temporary / "third").touch()
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*")) == [path, path / "second"]


def test_a_folder_is_flushed_to_the_disk_with_its_contents(tmp_path, monkeypatch):
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
