"""`explain.py` as its users run it."""

import random
import re
import subprocess
import sys

import pytest

from configs import Config
from tests.conftest import PROJECT
from training.run import Run


def run_explain(folder, *arguments):
    command = [sys.executable, PROJECT / "explain.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--run is missing; expected --run=FOLDER of a finished run"),
        (["--run=none"], "--run and --against: received none; none/flags.txt does not exist"),
        (["--run=runs/othr"], "expected the folder or name of a run; did you mean other?"),
        (["--run=runs/none"], "expected the folder or name of a run, such as runs/"),
        (["--run=a", "--against=other"], "runs/other was trained with --dataset=mnist"),
        (["--run=runs/a", "--against=runs/other"], "expected --dataset=digits, as in runs/a"),
        (
            ["--run=runs/a", "--image=360"],
            "--image=360: there are 360 test examples",
        ),
        (["--run=runs/a", "--images=5"], "--images=5: expected an integer"),
        (["--run=runs/a", "--against=runs/a"], "--against: received a run twice"),
        (
            ["--run=runs/a", "--against=1,2,3,4,5,6,7"],
            "received 8 folders of runs; expected 1 to 7",
        ),
        (
            ["--run=runs/text", "--against=runs/words"],
            "runs/words was trained with --tokens=words; expected --tokens=characters",
        ),
        (
            ["--run=runs/text", "--against=runs/letters"],
            "runs/letters knows other symbols than runs/text; expected runs on the same text",
        ),
        # The run has no model yet: this message needs TensorFlow.
        pytest.param(["--run=runs/a"], "runs/a", marks=pytest.mark.slow),
    ],
)
def test_a_users_mistake_is_reported_in_one_line(arguments, expected, tmp_path):
    Run.create(tmp_path / "runs/a", Config(dataset="digits"))
    Run.create(tmp_path / "runs/other", Config(dataset="mnist"))
    for name, tokens, symbol in (
        ("text", "characters", "a"),
        ("words", "words", "a"),
        ("letters", "characters", "b"),
    ):
        run = Run.create(tmp_path / f"runs/{name}", Config(dataset="python_manual", tokens=tokens))
        run.vocabulary_path.write_text(f'["<unk>", "{symbol}"]')
    ended = run_explain(tmp_path, *arguments)
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 1
    assert expected in line
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "runs/a/explanation").exists()


@pytest.mark.slow
def test_a_report_is_one_page_with_all_figures(tmp_path):
    for name, flags in {
        "one": ["--model=peephole_lstm"],
        "two": ["--model=bidirectional_gru"],
    }.items():
        command = [sys.executable, PROJECT / "main.py", "--dataset=digits", "--epochs=1"]
        subprocess.run([*command, "--units=6", f"--name={name}", *flags], cwd=tmp_path, check=True)
    ended = run_explain(tmp_path, "--run=runs/one", "--against=runs/two", "--images=120")
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / "runs/one/explanation"
    assert f"done: see {folder.relative_to(tmp_path)}/report.html" in ended.stdout
    page = (folder / "report.html").read_text()
    pictures = sorted(path.stem for path in folder.glob("*.png"))
    assert {"calibration", "classes", "classes-2", "gates", "gradients-inputs"} < set(pictures)
    assert page.count("<img ") == len(pictures) + len(list(folder.glob("*.gif")))
    assert sorted(path.stem for path in folder.glob("*.svg")) == pictures
    # The page loads nothing from other addresses.
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:"}
    assert "peephole f = 0" in ended.stdout


@pytest.mark.slow
def test_a_run_on_generated_sequences_is_explained(tmp_path):
    command = [sys.executable, PROJECT / "main.py", "--dataset=adding", "--length=12", "--units=5"]
    command += ["--train_size=100", "--epochs=1"]
    for name, model in {"one": "cifg_lstm", "two": "bidirectional_gru"}.items():
        subprocess.run([*command, f"--name={name}", f"--model={model}"], cwd=tmp_path, check=True)
    ended = run_explain(tmp_path, "--run=one", "--against=two", "--image=2559", "--images=100")
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / "runs/one/explanation"
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == {
        *("reading-2559", "reading-2559-2", "gradients-states", "gradients-inputs", "gates"),
        *("answers-1", "answers-2"),
    }
    page = (folder / "report.html").read_text()
    assert page.count("<img ") == len(pictures) + len(list(folder.glob("*.gif"))) == 9
    assert "Left out, because the answers are not classes" in page
    longer = [*command, "--name=longer", "--length=13"]
    subprocess.run(longer, cwd=tmp_path, check=True)
    refused = run_explain(tmp_path, "--run=one", "--against=longer")
    assert "runs/longer was trained with --length=13; expected --length=12" in refused.stderr


@pytest.mark.slow
def test_a_run_on_a_text_is_explained(tmp_path):
    lines = ("The (old) man said 'no'.", "We're here: 'why' (or how)?", "All 3 of us.")
    text = "\n".join(random.Random(0).choices(lines, k=90))
    (tmp_path / "text.txt").write_text(text)
    command = [sys.executable, PROJECT / "main.py", "--dataset=text", "--text_file=text.txt"]
    command += ["--units=5", "--batch_size=4", "--steps_per_batch=20", "--epochs=1"]
    for model in ("lstm", "basic_rnn"):
        subprocess.run([*command, f"--name={model}", f"--model={model}"], cwd=tmp_path, check=True)
    (tmp_path / "text.txt").rename(tmp_path / "moved.txt")
    arguments = "--run=lstm", "--against=basic_rnn", "--image=2"
    refused = run_explain(tmp_path, *arguments)
    assert "--text_file=text.txt: this path does not exist" in refused.stderr
    ended = run_explain(tmp_path, *arguments, "--text_file=moved.txt")
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / "runs/lstm/explanation"
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == {
        *("passage", "context", "gradients-back", "units", "gates", "surprise-1", "surprise-2"),
    }
    page = (folder / "report.html").read_text()
    assert page.count("<img ") == len(pictures)
    assert "lstm, basic_rnn: loss against the number of characters" in page
