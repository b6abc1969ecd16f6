"""A search continues after any interruption, and stops cleanly."""

import dataclasses
import os
import signal

import pytest

from configs import Config, Interrupted, UserError
from tests.tuning.conftest import MAX_TRIALS, SCORE, SPACES, Killed, Parallel, rows_of
from training.files import locking
from tuning import execution
from tuning.loop import MAX_SKIPPED
from tuning.on_ray import OnRay
from tuning.results import Results
from tuning.search import Search
from tuning.space import parse_space
from tuning.trial import THREADS


def kill_at(*calls):
    """A function that raises `Killed` at the calls with these indices."""

    def kill(number, config):
        if number in calls:
            raise Killed

    return kill


@pytest.mark.parametrize("tuner", MAX_TRIALS)
def test_a_search_killed_in_every_trial_has_the_same_trials_and_counts_each_once(
    tuner, trainer, search, tmp_path
):
    whole = search(tuner, folder="tune-whole")
    trained = list(trainer.configs)
    trainer.configs.clear()
    trainer.before = kill_at(*range(0, 999, 2))  # Each trial at its first start.
    for _ in range(len(whole)):
        with pytest.raises(Killed):
            search(tuner)
        assert rows_of(tmp_path / "tune-it")[-1]["status"] == "running"
    assert search(tuner) == whole
    assert trainer.configs[::2] == trainer.configs[1::2] == trained  # Each trial started twice.
    assert search(tuner) == whole
    assert len(trainer.configs) == 2 * len(trained)


def drawn_of(rows):
    """The rows without `known_at`, which depends on the order in which trials end."""
    return [row | {"known_at": None} for row in rows]


@pytest.mark.parametrize("tuner", ["random", "grid"])
@pytest.mark.parametrize("max_running", [2, 5])
def test_parallel_trials_have_the_same_draws_as_sequential_ones(
    tuner, max_running, trainer, search
):
    sequential = search(tuner, folder="tune-sequential")
    parallel = search(tuner, workers=Parallel(max_running))
    assert drawn_of(parallel) == drawn_of(sequential)
    assert parallel != sequential  # `known_at` differs.


@pytest.mark.parametrize("tuner", MAX_TRIALS)
def test_each_parallel_trial_is_trained_and_counted_once(tuner, trainer, search):
    sequential = search(tuner, folder="tune-sequential")
    trainer.configs.clear()
    parallel = search(tuner, workers=Parallel(3))
    assert len(parallel) >= min(len(sequential), 9)
    assert {row["status"] for row in parallel} == {"completed"}
    assert len(trainer.configs) == len(set(trainer.configs)) == len(parallel)


@pytest.mark.parametrize("tuner", MAX_TRIALS)
def test_a_search_killed_with_parallel_trials_keeps_the_finished_ones_and_continues(
    tuner, trainer, search, tmp_path
):
    kept, kills = [], 0
    while True:
        # The number of workers changes each time.
        workers = Parallel((3, 1, 4)[kills % 3], seed=kills, kill_after=2)
        try:
            rows = search(tuner, workers=workers)
            break
        except Killed:
            kills += 1
        finished = [r for r in rows_of(tmp_path / "tune-it") if r["status"] != "running"]
        assert all(row in finished for row in kept)
        assert len(finished) > len(kept)
        kept = finished
    assert kills
    assert {row["status"] for row in rows} == {"completed"}
    assert search(tuner) == rows  # One process replays the draws of several processes.


def test_the_best_trial_is_a_flag_file(trainer, search, tmp_path):
    from configs import read_flags

    rows = search()
    best = max(rows, key=lambda row: float(row["score"]))
    config = read_flags(tmp_path / "tune-it/best.flags")
    assert (str(config.units), config.model) == (best["units"], best["model"])
    assert config in trainer.configs
    text = (tmp_path / "tune-it/best.flags").read_text()
    assert f"# Trial {best['number']} of" in text
    assert f"python main.py --flagfile={tmp_path}/tune-it/best.flags" in text


def test_the_command_of_the_best_trial_sets_its_number_of_threads(
    trainer, search, tmp_path, monkeypatch
):
    def command_of(name, workers=None):
        search(folder=f"tune-{name}", workers=workers)
        results = Results(tmp_path / f"tune-{name}", (), SCORE)
        command = results.best_command()
        assert f"#   {command}\n" in results.best_path.read_text()
        variables, _, rest = command.partition("python ")
        assert rest == f"main.py --flagfile={results.best_path}"
        return variables

    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    assert command_of("plain") == ""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert command_of("three") == "TF_NUM_INTRAOP_THREADS=3 "
    on_ray = Parallel(2)
    on_ray.threads = OnRay("local", cpus_per_trial=0.5).threads
    assert command_of("ray", on_ray) == "TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 "
    assert OnRay("local", cpus_per_trial=4).threads == dict.fromkeys(THREADS, "4")


def test_a_failed_trial_is_recorded_with_its_reason_and_the_search_continues(trainer, search):
    def fail(number, config):
        if number in (1, 2, 4):
            raise ValueError(f"the loss\nis nan in {number}")

    trainer.before = fail
    rows = search()
    assert [row["status"] for row in rows].count("completed") == 7 - 3
    assert [row["reason"] for row in rows[:3]] == [
        "",
        "the loss is nan in 1",
        "the loss is nan in 2",
    ]
    assert len(rows) == 7  # Failed trials count.


def test_three_equal_failures_in_a_row_end_a_search_and_the_same_command_continues_after_them(
    trainer, search, tmp_path
):
    def fail(number, config):
        if 1 <= number <= 3:
            raise ValueError(f"the loss is {['nan', 1.5e9, 'inf'][number - 1]} at step {number}")

    trainer.before = fail
    with pytest.raises(
        UserError, match="3 trials in a row failed for the same reason: the loss is inf at step 3"
    ):
        search()
    assert [row["status"] for row in rows_of(tmp_path / "tune-it")] == ["completed"] + 3 * [
        "failed"
    ]
    rows = search()
    assert [row["status"] for row in rows] == ["completed"] + 3 * ["failed"] + 3 * ["completed"]


def test_a_search_killed_in_the_third_equal_failure_ends_at_it_too(trainer, search, tmp_path):
    def fail(number, config):
        if number == 2:
            raise Killed
        raise ValueError("the loss is nan")

    trainer.before = fail
    with pytest.raises(Killed):
        search()
    with pytest.raises(UserError, match="3 trials in a row failed for the same reason"):
        search()
    assert len(rows_of(tmp_path / "tune-it")) == 3


def test_different_failures_do_not_end_a_search(trainer, search):
    def fail(number, config):
        raise ValueError(["out of memory", "the loss is nan"][number % 2])

    trainer.before = fail
    with pytest.raises(UserError, match="no trial was completed"):
        search()


def test_values_that_contradict_each_other_fail_as_a_trial(trainer, search):
    rows = search("grid", "schedule:constant|cosine", config=Config(dataset="digits", warmup=0.1))
    assert [row["status"] for row in rows] == ["failed", "completed"]
    assert "--schedule=constant starts with its full rate" in rows[0]["reason"]


def test_a_value_that_does_not_apply_to_the_model_fails_as_a_trial(trainer, search):
    rows = search("grid", "model:gru|bidirectional_gru,head:both|last")
    assert [row["status"] for row in rows] == ["completed", "failed", "completed", "completed"]
    assert "--head=last: --model=gru has one direction; expected" in rows[1]["reason"]


def test_a_trial_over_the_budget_is_recorded_but_neither_trained_nor_counted(trainer, search):
    trainer.excess = lambda config: f"{config.units} is too much" if config.units > 40 else None
    rows = search(max_trials=5, max_parameters=400)
    rejected = [row for row in rows if row["status"] == "rejected"]
    assert rejected
    for row in rejected:
        assert row["reason"] == f"{row['units']} is too much"
        assert row["parameters"] == str(10 * int(row["units"]))
        assert row["score"] == ""
    assert len(trainer.configs) == len(rows) - len(rejected) == 5
    assert all(config.units <= 40 for config in trainer.configs)


def test_without_a_budget_only_the_training_builds_a_model_and_counts_its_parameters(
    trainer, search
):
    rows = search()
    assert not trainer.measured
    assert [row["parameters"] for row in rows] == [f"{10 * int(row['units'])}" for row in rows]
    search(folder="tune-cheap", max_latency_ms=1.0)
    assert trainer.measured == trainer.configs[len(rows) :]


def test_a_trial_over_the_budget_is_replaced_in_its_hyperband_bracket(trainer, search):
    whole = search("hyperband", folder="tune-whole")
    trainer.excess = lambda config: "too much" if config.units > 40 else None
    rows = [row for row in search("hyperband", max_parameters=400) if row["status"] != "rejected"]
    assert [row["epochs"] for row in rows] == [row["epochs"] for row in whole]


@pytest.mark.parametrize(("tuner", "draws"), [("random", MAX_SKIPPED), ("grid", 2 * 249)])
def test_a_budget_that_all_draws_exceed_ends_in_one_line(tuner, draws, trainer, search, tmp_path):
    trainer.excess = lambda config: f"{config.units} is too much"
    for _ in range(2):  # The same command has the same result.
        with pytest.raises(
            UserError, match=r"no trial was completed .*: \d+ is too much\); expected"
        ):
            search(tuner, "units:8..256,model:lstm|gru", max_parameters=1)
        assert len(rows_of(tmp_path / "tune-it")) == draws


def test_a_grid_continues_after_any_number_of_trials_over_the_budget(trainer, search):
    trainer.excess = lambda config: "too much" if config.units < 200 else None
    rows = search("grid", "units:8..201:1", max_parameters=1)
    assert [row["status"] for row in rows] == 192 * ["rejected"] + 2 * ["completed"]
    assert MAX_SKIPPED < 192


def test_repeated_draws_are_not_trained_and_end_a_search_if_there_are_too_many(
    trainer, search, monkeypatch, capsys
):
    monkeypatch.setattr("tuning.loop.MAX_SKIPPED", 2)
    rows = search("bayesian", "units:8|16|24|32", max_trials=5)
    assert [row["status"] for row in rows[-2:]] == ["repeated", "repeated"]
    for row in rows[-2:]:
        (earlier,) = (r for r in rows if row["reason"] == f"the same values as trial {r['number']}")
        assert (row["units"], row["score"]) == (earlier["units"], earlier["score"])
    assert len(set(trainer.configs)) == len(trainer.configs) <= 4
    last = capsys.readouterr().out.splitlines()[-1]
    expected = "2 draws in a row were over the budget or repeated an earlier draw"
    assert last == f"the search ends: {expected}"


@pytest.mark.parametrize(
    ("tuner", "space", "counts"),
    [("random", "units:8|16|24,model:lstm|gru", range(1, 7)), ("grid", "units:8|16", [2])],
)
def test_a_search_that_ends_before_max_trials_says_so_each_time(
    tuner, space, counts, trainer, search, capsys
):
    for _ in range(2):
        rows = search(tuner, space, max_trials=9)
        assert len(rows) in counts
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"the search ends after {len(rows)} of --max_trials=9: --tuner={tuner} found no other "
            "combination of values"
        )
    search(tuner, space, max_trials=len(rows))
    assert "the search ends" not in capsys.readouterr().out


def test_a_larger_max_trials_continues_a_search(trainer, search):
    few = search(max_trials=3)
    more = search(max_trials=6)
    assert more[:3] == few
    assert len(more) == len(trainer.configs) == 6
    assert search(max_trials=6, folder="tune-fresh") == more


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"space": "units:8..63,model:lstm|gru"},
            "--search=units:8..64,model:lstm|gru, not units:8",
        ),
        (
            {"tuner": "bayesian", "max_trials": 7, "space": SPACES["random"]},
            "--tuner=random, not b",
        ),
        ({"executions_per_trial": 2}, "--executions_per_trial=1, not 2"),
        ({"max_parameters": 9}, "--max_parameters=None, not 9"),
        ({"config": Config(model="basic_rnn", epochs=4)}, "--epochs=3, not 4"),
    ],
)
def test_the_folder_of_another_search_is_refused_and_not_changed(
    options, expected, trainer, search, tmp_path
):
    search()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError) as error:
        search(**options)
    assert expected in str(error.value)
    assert "--name" in str(error.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(("max_trials", "whole"), [(5, 6), (7, 12), (None, 6)])
def test_hyperband_without_max_trials_continues_to_the_end_of_its_iteration(
    max_trials, whole, trainer, search
):
    first_rows = search("hyperband", max_trials=max_trials)
    rows = search("hyperband")
    assert rows == search("hyperband") == search("hyperband", max_trials=whole)
    assert rows[: len(first_rows)] == first_rows
    assert len(rows) == len(trainer.configs) == whole
    more = search("hyperband", max_trials=whole + 1)
    assert more == search("hyperband", max_trials=whole + 1, folder="tune-fresh")


def test_a_smaller_max_trials_draws_nothing(trainer, search):
    rows = search(max_trials=5)
    assert search(max_trials=3) == rows
    assert len(trainer.configs) == 5


def test_a_trial_that_loses_its_worker_continues_on_another(trainer, search, capsys):
    class Losing(Parallel):
        lost = ()

        def wait(self):
            if len(self.lost) == 3:
                return super().wait()
            trial, *_ = self._tasks.pop(0)
            self.lost = (*self.lost, trial.number)
            return [dataclasses.replace(trial, reason="lost its worker: hit by a meteorite")]

    sequential = search(folder="tune-sequential")
    capsys.readouterr()
    assert drawn_of(search(workers=Losing(2))) == drawn_of(sequential)
    assert len(trainer.configs) == 2 * len(sequential)
    assert capsys.readouterr().out.count("(lost its worker: hit by a meteorite)") == 3


def test_a_signal_stops_parallel_trials_and_records_those_that_ended_meanwhile(
    trainer, search, tmp_path
):
    class Stopping(Parallel):
        flags = " --ray=local"

        def wait(self):
            os.kill(os.getpid(), signal.SIGTERM)
            return []

        def stop(self):
            task = self._tasks.pop(0)
            return [execution.run_trial(*task, self._data, self._executions)]

    with pytest.raises(Interrupted) as interrupt:
        search(workers=Stopping(3))
    flags = tmp_path / "tune-it/search.flags"
    assert str(interrupt.value) == (
        f"interrupted in trials 1, 2; to go on: python tune.py --flagfile={flags} --ray=local"
    )
    statuses = [row["status"] for row in rows_of(tmp_path / "tune-it")]
    assert statuses == ["completed", "running", "running"]


def test_the_folder_of_the_data_may_change(trainer, search):
    rows = search()
    config = Config(dataset="digits", model="basic_rnn", epochs=3, data_dir="elsewhere")
    assert search(config=config) == rows
    assert len(trainer.configs) == 7


def test_a_search_of_an_earlier_version_continues(trainer, search, tmp_path):
    rows = search()
    path = tmp_path / "tune-it/search.flags"
    text = path.read_text()
    assert "--head" not in text.replace("--head_init", "")
    path.write_text(
        text.replace("--head_init=", "--read_out=both\n--block_size=1\n--read_out_init=")
    )
    assert search() == rows
    path.write_text(f"{text}--read_out=last\n")
    with pytest.raises(UserError, match="holds a search with --head=last, not both; expected"):
        search()


def test_a_folder_in_which_another_process_searches_is_refused(trainer, search, tmp_path):
    (tmp_path / "tune-it").mkdir()
    with locking(tmp_path / "tune-it"), pytest.raises(UserError, match=r"another process.*--name"):
        search()


@pytest.mark.parametrize("damage", ["cut", "garbage", "value", "gap", "more"])
def test_a_damaged_file_of_trials_is_reported_and_not_changed(damage, trainer, search, tmp_path):
    search("grid")
    path = tmp_path / "tune-it/trials.csv"
    lines = path.read_text().splitlines(keepends=True)
    lines = {
        "cut": [*lines[:-1], lines[-1][:9]],
        "garbage": ["\0\1", *lines],
        "value": [*lines[:-1], lines[-1].replace("gru", "grue")],
        "gap": lines[:3] + lines[4:],
        "more": [*lines, lines[-1].replace("15,", "16,", 1)],
    }[damage]
    path.write_text("".join(lines))
    with pytest.raises(UserError, match=r"trials.csv.*expected"):
        search("grid")
    assert path.read_text() == "".join(lines)


def test_a_signal_between_two_trials_stops_cleanly_and_says_how_to_continue(
    trainer, search, tmp_path
):
    trainer.before = lambda number, config: number == 2 and os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted) as interrupt:
        search()
    assert interrupt.value.signal == signal.SIGTERM
    flags = tmp_path / "tune-it/search.flags"
    assert str(interrupt.value) == (
        f"interrupted after trial 2; to go on: python tune.py --flagfile={flags}"
    )
    assert f"--name=it\n--runs_dir={tmp_path}\n" in flags.read_text()
    assert [row["status"] for row in rows_of(tmp_path / "tune-it")] == 3 * ["completed"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"tuner": "grid", "space": "dropout:0..0.5"},
            "infinitely many values; expected dropout:A",
        ),
        ({"tuner": "grid", "space": "units:8..64:log"}, "units:LOW..HIGH:STEP"),
        ({"tuner": "random"}, "expected --max_trials=NUMBER"),
        ({"tuner": "asha"}, "expected --max_trials=NUMBER"),
        (
            {"tuner": "hyperband", "config": Config(steps=9)},
            "expected --epochs=NUMBER",
        ),
        (
            {"tuner": "asha", "config": Config(steps=9), "max_trials": 1},
            "expected --epochs=NUMBER",
        ),
        (
            {"config": Config(validation_size=0), "max_trials": 1},
            "--validation_size=0: trials",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_reported(options, expected):
    options = {"config": Config(), "space": "units:8..64"} | options
    options["space"] = parse_space(options["space"])
    with pytest.raises(UserError) as error:
        Search(**options)
    assert expected in str(error.value)
