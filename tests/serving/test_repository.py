"""Loaded models stay while the disk cannot be read."""

import asyncio
import concurrent.futures
import pathlib
import shutil

import pytest

from serving.repository import Repository
from serving.version import Limits


@pytest.mark.parametrize("folder", ["", "lstm"], ids=["all models", "one model"])
def test_an_unreadable_folder_is_reported_once_and_its_models_stay(
    folder, saved_models, monkeypatch, capsys
):
    iterdir = pathlib.Path.iterdir
    unreadable = set()

    def read(path):
        if path in unreadable:
            raise PermissionError(f"{path}: no permission")
        return iterdir(path)

    monkeypatch.setattr(pathlib.Path, "iterdir", read)

    async def look():
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            repository = Repository(saved_models, None, Limits(), executor)
            await repository.refresh()
            unreadable.add(saved_models / folder)
            await repository.refresh()
            await repository.refresh()
            assert repository.is_ready
            assert str(repository.find("lstm")) == "lstm/1"
            told = capsys.readouterr().out
            assert told.count("cannot be read") == 1
            assert "no permission" in told

            unreadable.clear()
            shutil.rmtree(saved_models / "lstm")
            await repository.refresh()
            await repository.close()
            assert list(repository.models()) == ["basic_rnn"]

    asyncio.run(look())
