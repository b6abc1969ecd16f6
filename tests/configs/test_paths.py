import os

import pytest
from absl import flags

from configs import (
    Config,
    UserError,
    define_flags,
    define_name,
    define_path,
    define_paths,
    names_of,
)
from configs.flag_files import expand_flag_files


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")


@pytest.fixture
def parse():
    """Parse arguments by flags of every kind; the flags."""

    def parse(*arguments):
        values = flags.FlagValues()
        define_flags(values)
        define_path("runs_dir", "~/default", "Help.", values)
        define_paths("runs", None, "Help.", values)
        define_name("name", "Help.", "tune-", values)
        values(["", *expand_flag_files(arguments)])
        return values

    return parse


def test_a_tilde_is_the_home_folder_in_every_flag_of_a_path(parse):
    values = parse("--data_dir=~/x", "--mnist_dir", "~", "--runs=~/a,b,~/c")
    assert values["data_dir"].value == "/home/me/x"
    assert values["mnist_dir"].value == "/home/me"
    assert values["runs"].value == ["/home/me/a", "b", "/home/me/c"]
    assert values["runs_dir"].value == "/home/me/default"
    assert values["runs"].serialize() == "--runs=/home/me/a,b,/home/me/c"


def test_a_tilde_is_the_home_folder_in_and_of_a_flag_file(parse, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my.flags").write_text("--data_dir=~/x\n--flagfile=~/other.flags\n")
    (tmp_path / "other.flags").write_text("--runs_dir=~/y\n")
    for arguments in (["--flagfile=~/my.flags"], ["--flagfile", "~/my.flags"]):
        values = parse(*arguments)
        assert values["data_dir"].value == f"{tmp_path}/x"
        assert values["runs_dir"].value == f"{tmp_path}/y"


def test_the_locations_of_the_config_are_its_paths():
    ends = ("_dir", "_file")
    paths = tuple(name for name in Config.__dataclass_fields__ if name.endswith(ends))
    assert names_of(location=True) == paths == ("data_dir", "mnist_dir", "text_file")


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        (
            "--runs_dir=~no-such-user/x",
            "the user no-such-user does not exist; expected a path: write ./~no",
        ),
        ("--runs_dir=", "the path is empty; expected"),
        ("--runs=a,,b", "the path is empty; expected"),
        ("--data_dir=a\0b", "control character"),
        ("--data_dir=a\nb", "control character"),
        (f"--mnist_dir={os.fsdecode(bytes([0xE9]))}", "not UTF-8"),
    ],
)
def test_a_path_that_cannot_be_one_is_refused(argument, problem, parse):
    with pytest.raises(flags.IllegalFlagValueError, match=problem):
        parse(argument)


def test_an_empty_folder_of_data_is_none(parse):
    assert parse("--mnist_dir=")["mnist_dir"].value is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/x",
            "/",
            "~",
            "~/x",
            ".hidden",
            "a\0",
            "a\nb",
            " a",
            "a ",
        ),
        *("x" * 251, "é" * 126, os.fsdecode(b"\xff")),
    ],
)
def test_a_name_that_cannot_be_the_name_of_a_folder_is_refused(name, parse):
    message = "expected the name of a folder, not a path"
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        parse(f"--name={name}")


@pytest.mark.parametrize("name", ["first", "x" * 250, "my run", "é" * 125, "a,b", "-x", "a.b~"])
def test_any_other_name_is_accepted(name, parse):
    assert parse(f"--name={name}")["name"].value == name


def write(path, content):
    path.write_bytes(content)
    return [f"--flagfile={path}"]


@pytest.mark.parametrize(
    "content",
    [
        b"--units=5\n# a comment\n\n// another\n  --model=gru  \n",
        b"--units=5\r\n--model=gru\r\n",
        b"\xef\xbb\xbf--units=5\n--model=gru",
        b"--units=5\r--model=gru",
    ],
)
def test_a_flag_file_may_have_any_line_ends_and_a_mark_of_utf8(content, tmp_path):
    arguments = ["--epochs=1", *write(tmp_path / "f", content), "--seed=3"]
    assert expand_flag_files(arguments) == ["--epochs=1", "--units=5", "--model=gru", "--seed=3"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("--units=5\n".encode("utf-16"), "UTF-16; expected .* UTF-8.* iconv -f UTF-16 "),
        ("--units=5\n".encode("utf-32"), "UTF-32; expected .* UTF-8.* iconv -f UTF-32 "),
        ("\n--units=5\n".encode("utf-16-le"), "every other byte is NUL, .* iconv -f UTF-16LE "),
        ("# é\n--name=é\n".encode("latin-1"), "0xe9 in line 1 is not UTF-8; .* -f LATIN1 "),
        (b"--units=5\n--layers=\0", "line 2 holds a NUL byte; expected"),
        (b"--units=5\nlayers=2", "line 2, 'layers=2', is not a flag; expected --NAME=VALUE"),
        (b"#" * 1_000_001, "more than 1,000,000 bytes; expected"),
    ],
)
def test_a_file_that_is_not_a_flag_file_is_refused_by_its_name(content, expected, tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}/f: .*{expected}"):
        expand_flag_files(write(tmp_path / "f", content))


def test_a_flag_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}/f: .* does not exist; expected"):
        expand_flag_files([f"--flagfile={tmp_path}/f"])
    with pytest.raises(UserError, match=f"^{tmp_path}: this is a folder; expected a flag file"):
        expand_flag_files([f"--flagfile={tmp_path}"])
    with pytest.raises(UserError, match="--flagfile: received no path; expected"):
        expand_flag_files(["--flagfile"])


def test_flag_files_that_include_each_other_are_refused(tmp_path):
    write(tmp_path / "a", f"--flagfile={tmp_path}/b".encode())
    write(tmp_path / "b", f"--flagfile={tmp_path}/x/../a".encode())
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match=r"a: the flag file includes itself .*b incl.* expected"):
        expand_flag_files([f"--flagfile={tmp_path}/a"])


def test_a_flag_file_may_be_included_twice_side_by_side(tmp_path):
    once = write(tmp_path / "a", b"--units=5")
    assert expand_flag_files([*once, *once]) == 2 * ["--units=5"]


def test_what_follows_two_dashes_is_not_a_flag(tmp_path):
    assert expand_flag_files(["--", "--flagfile=nowhere"]) == ["--", "--flagfile=nowhere"]
