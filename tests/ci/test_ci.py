"""The pieces of `.ci/run`: what it installs, what it runs, and its list of skipped tests."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

# What the scripts themselves need.
TOOLS = ("bash", "cat", "cut", "dirname", "env", "grep", "mktemp", "rm", "sort", "tee", "true")
NEEDED = ("chromium", "curl", "ip", "unshare", "nsenter")


def write_program(path, text):
    path.unlink(missing_ok=True)  # It may be a link to a program of this machine.
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path):
    """A folder that is all of the `PATH`: a machine without the programs that tests need."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    (folder / "python3").symlink_to(sys.executable)
    write_program(folder / "id", "echo 0")
    return folder


@pytest.fixture
def apt_get(machine, tmp_path):
    """An apt-get that notes its calls, and installs all but what `lacks` names."""

    def install(lacks=()):
        write_program(
            machine / "apt-get",
            f'echo "$@" >> {tmp_path}/calls\n'
            'for last; do :; done; case "$last" in\n'
            f"{'|'.join(lacks) or 'none'}) exit 100;;\n"
            'iproute2) programs=ip;; util-linux) programs="unshare nsenter";;\n'
            "-qq) programs=;; *) programs=$last;; esac\n"
            f'for program in $programs; do {shutil.which("ln")} -s "$0" {machine}/$program; done',
        )

    return install


def call(script, machine, **environment):
    return subprocess.run(
        [script],
        env={"PATH": str(machine)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def install(machine):
    return call(PROJECT / ".ci/install-programs", machine)


def test_missing_programs_are_installed(machine, apt_get, tmp_path):
    apt_get()
    done = install(machine)
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith("update")
    installed = [line.split()[-1] for line in calls[1:]]
    assert installed == ["chromium", "curl", "iproute2", "util-linux"]
    assert "missing" not in done.stdout
    # Nothing is left to do.
    assert install(machine).stdout == ""
    assert (tmp_path / "calls").read_text().splitlines() == calls


def test_only_what_is_missing_is_installed(machine, apt_get, tmp_path):
    apt_get()
    for program in set(NEEDED) - {"chromium"}:
        write_program(machine / program, "")
    install(machine)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [line.split()[-1] for line in calls] == ["-qq", "chromium"]


def test_a_package_that_is_not_there_is_told_and_the_others_are_installed(machine, apt_get):
    apt_get(lacks=["chromium"])
    done = install(machine)
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if "missing" in line]
    assert "chromium is missing and could not be installed" in line
    assert (machine / "ip").exists()


@pytest.mark.parametrize("why", ["no apt-get", "no root", "no password"])
def test_where_nothing_may_be_installed_each_program_is_told(machine, apt_get, tmp_path, why):
    if why != "no apt-get":
        apt_get()
        write_program(machine / "id", "echo 1000")
    if why == "no password":
        write_program(machine / "sudo", "exit 1")
    done = install(machine)
    assert done.returncode == 0
    assert not (tmp_path / "calls").exists()
    lines = [line for line in done.stdout.splitlines() if "missing" in line]
    assert [line.split()[1] for line in lines] == [*NEEDED]


def test_sudo_is_used_where_it_asks_for_no_password(machine, apt_get, tmp_path):
    apt_get()
    write_program(machine / "id", "echo 1000")
    write_program(machine / "sudo", 'shift; exec "$@"')
    done = install(machine)
    assert "missing" not in done.stdout
    assert len((tmp_path / "calls").read_text().splitlines()) == 5


SOME_TESTS = """
import os, pytest

@pytest.mark.parametrize("n", [1, 2])
def test_needs_more(n):
    if "MORE" not in os.environ:
        pytest.skip("there is no more")

@pytest.mark.skipif("LESS" not in os.environ, reason="there is no less")
def test_needs_less():
    assert os.environ["LESS"] == "1"

def test_needs_nothing():
    pass
"""
A_MODULE = """
import pytest
pytest.skip("there is no browser", allow_module_level=True)
"""


@pytest.fixture
def checkout(tmp_path, machine):
    """A copy of `.ci` whose `make` runs tests: with less, then with more; notes its calls."""
    shutil.copytree(PROJECT / ".ci", tmp_path / "checkout/.ci")
    (tmp_path / "checkout/test_some.py").write_text(SOME_TESTS)
    (tmp_path / "checkout/test_page.py").write_text(A_MODULE)
    pytest_ = f"exec {sys.executable} -m pytest -p no:cacheprovider"
    write_program(
        machine / "make",
        f'echo "$1" >> {tmp_path}/made\ncase "$1" in\n'
        f"test) {pytest_};;\naudit) echo make audit: skipped: no list;;\n"
        f"test-slow) MORE=1 {pytest_} -n2 ${{BAD:+--no-such-flag}};;\nesac",
    )
    return tmp_path / "checkout"


@pytest.mark.slow
def test_the_last_output_lists_the_tests_that_no_run_has_run(checkout, machine, tmp_path):
    done = call(checkout / ".ci/run", machine)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "made").read_text().split() == ["test", "audit", "test-slow", "test-bench"]
    assert done.stdout.splitlines()[-4:] == [
        "make audit: skipped: no list",
        "skipped tests: 2",
        "test_page.py: 1 skipped: there is no browser",
        "test_some.py: 1 skipped: there is no less",
    ]
    assert "1 passed, 4 skipped" in done.stdout
    assert "3 passed, 2 skipped" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "status"), [({"LESS": "2"}, 1), ({"BAD": "1"}, 4)])
def test_the_status_is_that_of_the_tests_and_the_list_comes_all_the_same(
    checkout, machine, environment, status
):
    done = call(checkout / ".ci/run", machine, **environment)
    assert done.returncode == status
    lines = done.stdout.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("skipped tests: "))
    assert "test_page.py: 1 skipped: there is no browser" in lines[start + 1 :]
    assert all(" skipped: there is no " in line for line in lines[start + 1 :])
