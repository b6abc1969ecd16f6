"""Many runs at a glance."""

import pytest

from configs import Config, UserError
from training import runs
from training.run import Run

HISTORY = [{"accuracy": 0.5, "loss": 1.5}, {"accuracy": 0.75, "loss": 0.5}]


@pytest.fixture
def folder(tmp_path):
    """A finished run, one that is training, one that was interrupted, and a damaged one."""
    config = Config(dataset="digits", units=5, layers=2)
    finished = Run.create(tmp_path / "a", config)
    finished.save_history(HISTORY)
    finished.save_metrics({"test": {"accuracy": 0.987654}, "wall_seconds": 3723.4})
    Run.create(tmp_path / "b", config).save_history(HISTORY[:1])
    Run.create(tmp_path / "c", config)
    Run.create(tmp_path / "d", config).flags_path.write_text("garbage")
    (tmp_path / "compare.png").touch()
    return tmp_path


def test_the_table_says_of_each_run_what_it_is_and_how_to_go_on(folder):
    with Run(folder / "b").locked():
        lines = runs.table(folder).splitlines()
    head, *rows = [line.split(maxsplit=5) for line in lines]
    assert head == ["run", "model", "data", "score", "time", "status"]
    a, b, c, d = sorted(rows)
    assert a == ["a", "lstm-5x2", "digits", "98.77%", "1:02:03", "finished"]
    assert b == ["b", "lstm-5x2", "digits", "0:00", "running"]
    assert " ".join(c[3:]) == f"interrupted: python main.py --resume --run={folder}/c"
    assert "flags.txt" in " ".join(d)


def test_the_command_to_go_on_can_be_pasted_whatever_the_name(folder):
    Run.create(folder / "my run", Config(dataset="digits"))
    assert f"python main.py --resume --run='{folder}/my run'" in runs.table(folder)


def test_a_run_that_was_to_be_exported_and_was_not_is_listed_with_the_command_to_do_so(folder):
    run = Run(folder / "a")
    run.save_note(run.unexported_path, " --saved_models_dir=models")
    command = f"python main.py --mode=export --run={folder}/a --saved_models_dir=models"
    assert f" finished, not exported: {command}\n" in runs.table(folder)
    with run.locked():  # By the process that exports it.
        assert " finished\n" in runs.table(folder)


def test_a_folder_without_runs_is_told(tmp_path):
    with pytest.raises(UserError, match="it does not contain a run; expected a folder of runs"):
        runs.table(tmp_path)


def test_runs_of_one_name_are_called_by_their_paths():
    assert runs.names(["runs/a", "other/b/"]) == ["a", "b"]
    assert runs.names(["runs/a", "other/a"]) == ["runs/a", "other/a"]


def test_runs_are_compared_in_one_picture(folder):
    path = runs.compare([folder / "a", folder / "b"], folder)
    assert path == folder / "compare.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_only_runs_that_have_trained_can_be_compared(folder):
    with pytest.raises(UserError, match=r"c/history.csv: .* expected the history of a run"):
        runs.compare([folder / "a", folder / "c"], folder)
    with pytest.raises(UserError, match=r"--runs: received .*/e; .* expected the folder or name"):
        runs.compare([folder / "e"], folder)


def test_a_run_is_found_by_its_name_in_the_folder_of_runs(folder):
    assert runs.compare(["a", "b"], folder) == folder / "compare.png"
    assert Run.open("a", folder) == Run.open(folder / "a", "elsewhere")
    with pytest.raises(
        UserError, match=rf"{folder} does not have a run of this name; .*, such as {folder}/d"
    ):
        Run.open("e", folder)


def test_a_run_is_not_compared_with_itself(folder):
    with pytest.raises(UserError, match="--runs: received a run twice; expected each once"):
        runs.compare([folder / "a", "a"], folder)


def test_the_folder_of_a_comparison_is_made(folder):
    assert runs.compare([folder / "a", folder / "b"], folder / "new/one").is_file()


def test_the_history_comes_back_as_it_was_saved(folder):
    assert Run(folder / "a").history() == HISTORY
