import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT


def run(body, *arguments, shell="", **environment):
    """Run a script whose `main()` is a line of Python, with redirections of a shell."""
    script = f"import os, sys\nfrom configs import *\ndef main():\n    {body}\nrun_script(main)\n"
    command = ["sh", "-c", f'"$@" {shell}', "sh", sys.executable, "-c", script, *arguments]
    environment = {"PYTHONPATH": str(PROJECT)} | environment
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_a_letter_that_the_output_cannot_encode_is_escaped(environment):
    done = run("print(chr(0x10d), chr(0x1f600)); print('after')", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["\\u010d \\U0001f600", "after"]


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "</dev/null", "<&- 2>&-"])
def test_a_script_runs_with_closed_streams(shell, tmp_path):
    path = tmp_path / "file"
    body = f"""print('out'); print('err', file=sys.stderr); os.write(2, b'err')
    with open({str(path)!r}, 'w') as file: file.write('whole'); print(file.fileno())
    raise UserError('mine')"""
    assert run(body, shell=shell).returncode == 1
    assert path.read_text() == "whole"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("body", ["print('x')", "print('x', flush=True)", "print('x' * 10**6)"])
def test_a_full_output_is_reported_in_one_line(body):
    done = run(body, shell=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output: No space left on device; expected")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_help_into_a_full_output_is_reported_in_one_line():
    done = run("pass", "--help", shell=">/dev/full")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flag", "columns"),
    [("-h", "0"), ("--help", "1"), ("-?", "-5"), ("-h", "many"), ("--help", "100000")],
)
def test_each_flag_of_help_prints_it_at_any_width_of_the_terminal(flag, columns):
    done = run("pass", flag, COLUMNS=columns)
    assert "Traceback" not in done.stderr
    assert "--flagfile" in done.stdout or "--helpfull" in done.stdout


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("ENOENT", "path that exists"),
        ("ENOTDIR", "parts are folders: one of them is a file"),
        ("EISDIR", "expected a file"),
        ("EACCES", "change its permissions"),
        ("EROFS", "another disk"),
        ("ENOSPC", "free space"),
        ("EDQUOT", "quota"),
        ("ENAMETOOLONG", "a shorter path"),
        ("ELOOP", "symbolic links"),
        ("EMFILE", "ulimit -n"),
    ],
)
def test_each_error_of_a_disk_has_its_own_advice(error, expected, monkeypatch, capsys):
    import errno

    from configs import run_script

    number = getattr(errno, error)

    def main():
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr(sys, "argv", ["main.py"])
    with pytest.raises(SystemExit) as end:
        run_script(main)
    problem, advice = end.value.code.split("; expected ")
    assert problem == f"error: some/file: {os.strerror(number)}"
    assert expected in f"expected {advice}"
    assert ("free space" in advice) == (error == "ENOSPC")


SCRIPTS = ("main.py", "tune.py", "explain.py", "serve.py")


@pytest.mark.parametrize(
    ("script", "how"), [*((script, "-P") for script in SCRIPTS), ("main.py", "-I")]
)
def test_scripts_run_where_python_does_not_add_their_folder_to_its_path(script, how, tmp_path):
    command = [sys.executable, how, PROJECT / script, "--nonsense"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.startswith("error: --nonsense is not a flag; expected")


@pytest.mark.parametrize("script", ["main.py", "tune.py", "explain.py"])
def test_another_backend_than_tensorflow_is_refused_at_once(script, tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    command = [sys.executable, "-X", "importtime", PROJECT / script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: KERAS_BACKEND=jax")
    assert "expected KERAS_BACKEND=tensorflow" in last
    assert "keras" not in done.stderr.replace(last, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_settings_of_keras_for_other_programs_change_nothing(tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = '{"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"}'
    (tmp_path / ".keras/keras.json").write_text(settings)
    body = "import keras.src.backend.config as c; print(c.backend(), c.floatx(), c.max_epochs())"
    done = run(body, HOME=str(tmp_path), KERAS_MAX_EPOCHS="1")
    assert done.stdout.split() == ["tensorflow", "float32", "None"]
