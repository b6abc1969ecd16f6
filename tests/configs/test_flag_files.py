import dataclasses

import pytest

from configs import read_flags
from tests.conftest import PROJECT

SEARCHES = PROJECT / "configs/tune"  # `tests/tuning/test_tune.py` tests the files of `tune.py`.
FLAG_FILES = sorted({*(PROJECT / "configs").rglob("*.flags")} - {*SEARCHES.iterdir()})


@pytest.mark.parametrize("path", FLAG_FILES, ids=lambda path: path.stem)
def test_every_flag_file_is_a_valid_config_and_names_its_command(path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    read_flags(path)
    if path.stem != "recipe":
        assert f"python main.py --flagfile={path.relative_to(PROJECT)}" in path.read_text()


def test_the_tutorial_files_differ_only_in_the_model(monkeypatch):
    monkeypatch.chdir(PROJECT)
    paths = {path.stem: path for path in FLAG_FILES if path.parent.name == "tutorial"}
    configs = [read_flags(paths[name]) for name in ("basic_rnn", "lstm", "bidirectional_lstm")]
    assert [config.model for config in configs] == ["basic_rnn", "lstm", "bidirectional_lstm"]
    assert [config.head for config in configs] == ["both", "both", "backward"]
    alike = [dataclasses.replace(c, model="lstm", head="both") for c in configs]
    assert alike[0] == alike[1] == alike[2]
    for config in configs:
        assert (config.units, config.batch_size, config.steps) == (128, 128, 781)
        assert (config.optimizer, config.learning_rate, config.schedule) == (
            "adam",
            1e-3,
            "constant",
        )
        assert (config.head_init, config.log_every) == ("tutorial", 20)
