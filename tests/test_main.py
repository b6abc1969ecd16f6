"""The program itself: what it leaves behind, and what it says to a mistake."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from configs import Config
from tests.conftest import PROJECT, Result, assert_one_line_error
from training.run import Run

SMALL = ("--units=5", "--epochs=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the program was run once, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    flags = ["--dataset=digits", "--name=first", "--seed=3", "--dropout=0.2", *SMALL]
    printed, _ = start_main(folder, *flags).communicate(timeout=120)
    return folder, printed


@pytest.fixture
def first_run(trained, tmp_path):
    """A copy of a finished run, `runs/first`, and of what it exported."""
    shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs" / "first"


def test_training_says_what_it_did_and_leaves_a_run_and_a_saved_model(trained):
    folder, printed = trained
    metrics = json.loads((folder / "runs/first/metrics.json").read_text())
    assert metrics["test"]["images"] == 360
    assert 0 <= metrics["test"]["accuracy"] <= 1
    last = printed.splitlines()[-1]
    assert last.startswith(f"done: {metrics['test']['accuracy']:.2%} of 360 test images right")
    assert "dataset: digits (scikit-learn): 1,318 training, 119 validation" in printed
    card = json.loads((folder / "saved_models/lstm/1/model_card.json").read_text())
    assert card["metrics"] == metrics["test"]
    assert card["dataset"] == metrics["dataset"]
    assert card["versions"] == metrics["versions"]
    assert (card["config"]["model"], card["config"]["units"]) == ("lstm", 5)
    assert card["run"] == "first"


@pytest.mark.slow
def test_a_run_can_be_evaluated_and_exported_again(run_main, first_run):
    evaluated = run_main("--mode=evaluate", "--run=runs/first")
    assert evaluated.status == 0
    metrics = json.loads((first_run / "metrics.json").read_text())
    again = json.loads((first_run / "evaluations/digits.json").read_text())
    assert again == metrics["test"]
    assert f"done: {again['accuracy']:.2%} of 360 test images right" in evaluated.stdout
    exported = run_main("--mode=export", "--run=runs/first")
    assert exported.stdout.splitlines()[-1] == "done: SavedModel: saved_models/lstm/2"


@pytest.mark.slow
def test_a_runs_flag_file_repeats_it_to_the_same_weights(run_main, first_run, tmp_path):
    import keras

    run_main("--flagfile=runs/first/flags.txt", "--name=again")
    first, again = (
        keras.models.load_model(tmp_path / "runs" / name / "model.keras").get_weights()
        for name in ("first", "again")
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_help_lists_every_flag_with_default_and_bounds_without_tensorflow(call_main):
    result = call_main("--help")
    for text in (
        *(
            "--model: The recurrent network. Expects one of basic_rnn, irnn, lstm_1997",
            "--units: ",
            "an integer, at least 1",
            "(default: '128')",
        ),
        *("--learning_rate: ", "--run: ", "--mode: <train|import|evaluate|export|list|compare|"),
    ):
        assert text in " ".join(result.stdout.split())
    check = (
        "import sys, main; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], cwd=PROJECT, check=True)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--model=transformer", ["--model=transformer", "one of basic_rnn, irnn"]),
        ("--units=-3", ["--units=-3", "an integer, at least 1"]),
        ("--layers=0", ["--layers=0", "at least 1"]),
        ("--batch_size=0", ["--batch_size=0", "at least 1"]),
        ("--epochs=-1", ["--epochs=-1", "at least 1"]),
        ("--validation_size=-5", ["--validation_size=-5", "at least 0"]),
        ("--learning_rate=nan", ["--learning_rate=nan", "a number"]),
        ("--dropout=1", ["--dropout=1.0", "below 1"]),
        ("--scan=diagonal", ["--scan=diagonal", "rows, columns, rows_and_columns, pixels"]),
        ("--optimizer=adm", ["--optimizer=adm", "adam, adamw"]),
        ("--head=backward", ["--head=backward", "bidirectional"]),
        ("--mode=evaluate", ["--mode=evaluate", "--run=PATH"]),
        ("--mode=export", ["--mode=export", "--run=PATH"]),
        ("lstm", ["'lstm'", "only flags"]),
    ],
)
def test_a_mistaken_flag_is_told_in_one_line_at_once(flag, expected, call_main, tmp_path):
    result = call_main(flag)
    assert result.status == 1
    assert_one_line_error(result, *expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--unit=5", "--unit is not a flag; expected one that --help lists; did you mean --units?"),
        ("--units=many", "--units=many: expected an integer"),
        ("--mode=trian", "--mode=trian: expected one of train, import, evaluate, export"),
        ("--mode=trian", "did you mean train?"),
        ("--views=0", "--views=0: expected a positive integer"),
        ("--peer_seconds=soon", "--peer_seconds=soon: expected a non-negative number"),
        ("--resume=maybe", "--resume=maybe: expected true or false"),
        ("--flagfile=nowhere.flags", "nowhere.flags: the flag file does not exist"),
        (f"--flagfile={sys.executable}", "NUL"),
    ],
)
def test_a_flag_that_cannot_be_parsed_is_told_in_one_line(flag, expected, call_main):
    result = call_main(flag)
    assert result.status == 1
    assert_one_line_error(result, expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--unit=5", "--unit is not a flag"),
        ("-unit=5", "--unit is not a flag"),
        ("--nounits", "--nounits is not a flag"),
        ("--units 5", "--units 5 is not a flag"),
        ("--units", "--units"),
        ("--units=five", "--units=five: expected an integer"),
        ("--detect_anomaly=perhaps", "--detect_anomaly=perhaps: expected true or false"),
        ("--data_dir=~no-such-user", "--data_dir=~no-such-user: "),
        ("--units=0", "--units=0: expected an integer, at least 1"),
        ("--model=lsmt", "did you mean lstm?"),
        ("--dropout=2", "--dropout=2.0: expected a number"),
        ("--block_size=2", "--block_size=2: --model=lstm has no blocks"),
        ("--layers=1500", "--layers=1500: expected an integer, at least 1, at most 100"),
        ("--mode=trian", "--mode=trian: expected one of train"),
        ("--views=2", "--views=2: "),
    ],
)
def test_a_wrong_flag_in_a_flag_file_names_the_innermost_file(line, expected, tmp_path, run_main):
    inner, outer = tmp_path / "inner.flags", tmp_path / "outer.flags"
    inner.write_text(f"# A comment\n--epochs=3\n{line}\n")
    outer.write_text(f"--seed=1\n--flagfile={inner}\n")
    result = run_main("--layers=2", f"--flagfile={outer}")
    assert_one_line_error(result, f"error: {inner}: ", expected)


@pytest.mark.parametrize("wrong", ["--units=five", "--units=0", "--unit=5", "--dropout=2"])
def test_a_wrong_flag_of_the_command_names_no_file(wrong, tmp_path, run_main):
    (tmp_path / "f").write_text("--units=5\n--dropout=0.5\n")
    assert "/f:" not in run_main(f"--flagfile={tmp_path}/f", wrong).stderr


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--dataset=mnst"], ["--dataset=mnst", "auto, digits"]),
        (["--dataset=cifar10"], ["--dataset=cifar10", "(32, 32, 3)"]),
        (["--dataset=mnist", "--mnist_dir=nowhere"], ["nowhere", "does not exist"]),
        (["--validation_size=1437"], ["--validation_size=1437", "at most 1436"]),
        (["--runs_dir=file/runs"], ["file", "Not a directory"]),
        (["--runs_dir=/proc/runs"], ["/proc/runs", "No such file or directory"]),
        (
            ["--mode=evaluate", "--run=runs/none"],
            ["runs/none", "does not exist", "train one first"],
        ),
        (["--mode=export", "--run=."], ["flags.txt does not exist"]),
    ],
)
def test_a_mistaken_place_or_name_is_told_in_one_line(flags, expected, run_main, tmp_path):
    (tmp_path / "file").touch()
    result = run_main(*flags, *SMALL)
    assert result.status == 1
    assert_one_line_error(result, *expected)
    assert {path.name for path in tmp_path.iterdir()} <= {"file"}


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder nobody may write to")
def test_a_folder_nobody_may_write_to_costs_no_finished_run(run_main, first_run):
    result = run_main("--saved_models_dir=/proc/models", "--run=runs/first", "--resume")
    assert result.status == 1
    advice = "python main.py --mode=export --run=runs/first --saved_models_dir=FOLDER"
    assert_one_line_error(result, "/proc/models", advice)
    assert run_main("--mode=export", "--run=runs/first").status == 0


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder nobody may write to")
def test_a_data_folder_nobody_may_write_to_is_named(run_main, mnist_dir):
    result = run_main(
        "--dataset=mnist", f"--mnist_dir={mnist_dir}", "--data_dir=/proc/data", *SMALL
    )
    assert result.status == 1
    assert_one_line_error(result, "/proc/data")


def test_an_existing_run_is_refused_and_kept(run_main, first_run):
    before = {p: p.read_bytes() for p in first_run.rglob("*.*")}
    result = run_main("--name=first", *SMALL)
    assert result.status == 1
    assert_one_line_error(result, "runs/first exists", "--name")
    assert {p: p.read_bytes() for p in first_run.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--mode=export", "--units=7"], ["--units=7: the run was begun with --units=5, which"]),
        (
            ["--mode=evaluate", "--scan=columns"],
            ["--scan=columns: the run was begun with --scan=rows", "--dataset"],
        ),
    ],
)
def test_a_flag_that_a_finished_run_cannot_change_is_refused(flags, expected, run_main, first_run):
    result = run_main(*flags, "--run=runs/first")
    assert result.status == 1
    assert_one_line_error(result, *expected)


@pytest.mark.parametrize("damage", ["truncated", "missing", "garbage", "flipped"])
def test_a_damaged_run_is_told_in_one_line(damage, run_main, first_run):
    path = first_run / "model.keras"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(b"garbage")
    result = run_main("--mode=evaluate", "--run=runs/first")
    assert result.status == 1
    assert_one_line_error(result, "runs/first/model.keras")


def start_main(tmp_path, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, PROJECT / "main.py", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_ctrl_c_keeps_all_work_and_says_how_to_go_on(tmp_path, run_main):
    # Batches of 2 make 659 steps an epoch: the first print comes from the second.
    flags = ["--epochs=1000", "--units=5", "--batch_size=2", "--log_every=700"]
    not_kept = ["--saved_models_dir=my models", "--distribute=none"]
    process = start_main(tmp_path, "--dataset=digits", "--name=first", *flags, *not_kept)
    next(line for line in process.stdout if line.startswith("step"))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted after " in stderr.splitlines()[-1]
    assert stderr.splitlines()[-1].endswith(
        "to go on: python main.py --resume --run=runs/first '--saved_models_dir=my models' "
        "--distribute=none"
    )
    steps = int(stderr.split("interrupted after ")[1].split()[0].replace(",", ""))
    checkpoints = (tmp_path / "runs/first/checkpoints").iterdir()
    assert max(path.name for path in checkpoints) == f"{steps:09d}.npz"
    assert steps >= 700  # More than the first epoch's, after which it was saved in any case.
    assert run_main("--mode=evaluate", "--run=runs/first").status == 0
    assert run_main("--mode=export", "--run=runs/first").status == 0
    assert "interrupted: python main.py --resume" in run_main("--mode=list").stdout


def test_a_signal_while_it_exports_ends_at_once_and_says_how_to_go_on(
    first_run, run_main, tmp_path, monkeypatch
):
    def send(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal did not end it at once")

    resume = ("--resume", "--run=runs/first", "--saved_models_dir=models")
    with monkeypatch.context() as patch:
        patch.setattr("export.saved_model.sync_all", send)
        interrupted = run_main(*resume)
    assert interrupted.status == 128 + signal.SIGTERM
    assert interrupted.stderr.splitlines()[-1] == (
        f"interrupted before it was exported; to go on: python main.py {' '.join(resume)}"
    )
    assert list((tmp_path / "models/lstm").iterdir()) == []
    export = "--mode=export --run=runs/first --saved_models_dir=models"
    assert f"finished, not exported: python main.py {export}\n" in run_main("--mode=list").stdout
    assert run_main(*resume).status == 0
    assert (tmp_path / "models/lstm/1/saved_model.pb").is_file()
    assert "not exported" not in run_main("--mode=list").stdout


@pytest.mark.slow
def test_a_run_killed_before_its_end_is_measured_and_exported_and_then_left_alone(
    trained, first_run, run_main, tmp_path
):
    (first_run / "metrics.json").unlink()
    shutil.rmtree(tmp_path / "saved_models")
    # The command that began it goes on with it.
    command = ["--name=first", "--resume", "--seed=3", "--dropout=0.2", *SMALL]
    resumed = run_main(*command)
    assert resumed.stdout.splitlines()[-1] == trained[1].splitlines()[-1]
    again = run_main("--run=runs/first", "--resume")
    assert "runs/first is finished" in again.stdout
    assert again.stdout.splitlines()[-2:] == resumed.stdout.splitlines()[-2:]
    assert [path.name for path in (tmp_path / "saved_models/lstm").iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--resume"], ["--resume: received neither --run nor --name", "--run=PATH"]),
        (["--resume", "--mode=export", "--run=runs/first"], ["--resume", "--mode=train"]),
        (["--resume", "--run=runs/none"], ["runs/none", "runs/first"]),
        (["--resume", "--run=runs/first", "--units=9"], ["--units=9", "begun with --units=5"]),
        (["--run=runs/first"], ["--run=runs/first: received no --mode", "expected --resume"]),
        (["--mode=compare"], ["--runs=PATH"]),
        (["--mode=compare", "--runs=runs/none"], ["runs/none", "runs/first"]),
        (["--mode=list", "--runs_dir=nowhere"], ["--runs_dir=nowhere", "does not contain a run"]),
        (["--mode=evaluate", "--run=runs/first", "--views=3"], ["--views=3", "--rotation"]),
        (["--mode=evaluate", "--run=frist"], ["received frist", "did you mean first?"]),
        (["--mode=export", "--run=runs/fisrt"], ["runs/fisrt", "did you mean first?"]),
        (["--views=3"], ["--views=3: received no --mode", "expected --mode=evaluate"]),
        (["--mode=list", "--runs=a,b"], ["--runs=a,b: received --mode=list", "--mode=compare"]),
        (["--tf1_names=a:b"], ["--tf1_names=a:b: received no --mode", "--mode=import"]),
        (["--tf1_checkpoint=x"], ["--tf1_checkpoint=x: received no --mode", "--mode=import"]),
    ],
)
def test_a_run_that_cannot_be_resumed_or_shown_is_told_in_one_line(
    flags, expected, first_run, run_main
):
    result = run_main(*flags)
    assert result.status == 1
    assert_one_line_error(result, *expected)


def test_views_of_a_run_without_distortion_are_refused_before_its_model_is_loaded(
    first_run, run_main
):
    (first_run / "model.keras").write_bytes(b"damaged, which would be told")
    result = run_main("--mode=evaluate", "--run=runs/first", "--views=3")
    assert_one_line_error(result, "--views=3: the lstm was trained without distortion")


def test_runs_in_the_home_folder_are_listed(run_main, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Run.create(tmp_path / "home/r/first", Config())
    assert "first" in run_main("--mode=list", "--runs_dir=~/r").stdout
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.slow
def test_a_run_in_the_home_folder_is_made_and_found_there(run_main, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    trained = run_main("--runs_dir=~/r", "--saved_models_dir=~/s", "--name=first", *SMALL)
    assert trained.status == 0
    assert trained.stdout.splitlines()[-1].endswith(f"see {home}/r/first")
    assert (home / "s/lstm/1/saved_model.pb").is_file()
    assert "finished" in run_main("--mode=list", "--runs_dir=~/r").stdout
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.slow
def test_a_name_with_letters_that_the_terminal_lacks_is_trained_and_exported(call_main, tmp_path):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    trained = call_main("--dataset=digits", "--name=née", *SMALL, **environment)
    assert (trained.status, "Traceback" in trained.stderr) == (0, False)
    assert (tmp_path / "runs/née/metrics.json").is_file()
    listed = call_main("--mode=list", **environment)
    assert listed.status == 0
    assert "finished" in listed.stdout


@pytest.mark.slow
def test_a_keras_json_for_other_programs_does_not_change_a_run(call_main, tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = '{"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"}'
    (tmp_path / ".keras/keras.json").write_text(settings)
    trained = call_main("--dataset=digits", *SMALL, HOME=str(tmp_path), KERAS_MAX_EPOCHS="0")
    assert trained.status == 0


def test_output_that_no_one_reads_ends_the_program_quietly(first_run, tmp_path):
    with start_main(tmp_path, "--mode=list") as listing:
        listing.stdout.close()  # As `| head` does when it has seen enough.
        assert listing.stderr.read() == ""
    assert listing.returncode == 128 + signal.SIGPIPE


@pytest.mark.slow
def test_an_export_on_a_full_disk_is_told_in_one_line_and_leaves_no_half(first_run, tmp_path):
    def small_files_only():
        # The closest to a full disk that needs no privilege: no file may grow beyond 1 kB.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    flags = ["--mode=export", "--run=runs/first"]
    exporting = start_main(tmp_path, *flags, preexec_fn=small_files_only)
    _, stderr = exporting.communicate(timeout=120)
    folder = tmp_path / "saved_models/lstm"
    assert_one_line_error(Result(exporting.returncode, "", stderr), "saved_models")
    assert [path.name for path in folder.iterdir()] == ["1"]
