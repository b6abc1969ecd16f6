"""Every text that the program can print. `python -m tests.test_messages` lists them."""

import ast
import collections
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# These are told in one line that begins with `error:`, or answered in place of a result.
ERRORS = {
    *("UserError", "OutOfMemory", "PeerLost", "RequestError", "NotFound", "TooLarge", "TooLate"),
    *("UnsupportedEncoding", "Busy", "ValidationError"),
}
HELP = {"option", "define_path", "define_paths", "define_name", "DEFINE_multi_string"} | {
    f"DEFINE_{kind}" for kind in ("bool", "enum", "float", "integer", "list", "string")
}
CURE = r"(?<!-)\b(expected|try again|use|name)\b"
# The other message that a message quotes, if not as a reason in parentheses: `{path}: {problem}`.
OTHER_MESSAGE = (
    r"(?<!\()\{(expected|problem|wrong|mistake|error|\w*FORMS|\w*(_problem|_why)\w*\(.*\))\}"
)
NOT_PLAIN = {
    r"(?<!there )\b(is|are|was|were) no (?!longer|more)": "say `is not a`, or `there is no`",
    r"\b(is|are) none\b": "say what there is not",
    r"\b(of which|lest|what became|to be had)\b": "say it in plain words",
    r"(^|[.;] )(Who|What|Which|Whose)(ever)? |; (who|what|whose)(ever)? ": "begin with the subject",
    r" [,;:]( |$)": "leave no space before a mark",
    r"[,;] ?[,;]": "leave one mark",
}

Text = collections.namedtuple("Text", "place kind words")


def texts(source, path=""):
    """Each text of two words or more in a module, but its docstrings, with what it is given to."""

    def visit(node, kind):
        words = _words(node)
        if words is not None:
            if re.search(r"[A-Za-z}][,;:.]? +[A-Za-z{]", words):
                yield Text(f"{path}:{node.lineno}", kind, words)
            parts = [part.value for part in ast.walk(node) if isinstance(part, ast.FormattedValue)]
        else:
            parts = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # A docstring.
        if isinstance(node, ast.Call):
            kind = ast.unparse(node.func).split(".")[-1]
        for part in parts:
            yield from visit(part, kind)

    return list(dict.fromkeys(visit(ast.parse(source), "")))


def _words(node):
    """The text that an expression is, with `{name}` for what is not known; `None` if it is none."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(_words, values))
        case ast.FormattedValue(value=value):
            return "{" + ast.unparse(value) + "}"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = _words(left), _words(right)
            if sides != (None, None):
                return "".join(
                    "{" + ast.unparse(side) + "}" if words is None else words
                    for side, words in zip((left, right), sides, strict=True)
                )
    return None


def problems(text):
    """What is wrong with a text, as far as a program can tell."""
    words = re.sub(r"\{[^{}]*\}", "{}", text.words)
    found = [advice for pattern, advice in NOT_PLAIN.items() if re.search(pattern, words)]
    if text.kind in ERRORS | HELP and "\n" in words:
        found.append("write one line")
    if text.kind in ERRORS | HELP and "  " in words:
        found.append("leave one space")
    if text.kind in HELP and not words.endswith("."):
        found.append("end with a period")
    if text.kind in ERRORS and words.endswith("."):
        found.append("end without a period: `; see ...` may follow")
    if text.kind in ERRORS and not (re.search(CURE, words) or re.search(OTHER_MESSAGE, text.words)):
        found.append("say what was expected, or what to do")
    return found


def program():
    """The texts of all modules that are not tests."""
    names = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    for name in names.stdout.split():
        if not name.startswith("tests/"):
            yield from texts((ROOT / name).read_text("utf-8"), name)


def test_each_text_of_the_program_is_plain_and_each_error_says_how_to_mend_it():
    found = list(program())
    assert len(found) > 1000
    told = {text.kind for text in found}
    assert told >= {"UserError", "RequestError", "print", "option", "exit", "DEFINE_integer"}
    wrong = [f"{t.place}: {t.words}: {', '.join(problems(t))}" for t in found if problems(t)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('raise UserError(f"{path} is no run; expected a run")', "is not a"),
        ('raise UserError(f"--model={name}: onx " "is none; expected onnx")', "there is not"),
        ('raise UserError(f"{path}: No such file or directory")', "what was expected"),
        ('raise NotFound(f"received {count} of {model.name}")', "what was expected"),
        ('raise UserError(f"{path}: two\\nlines; expected one")', "one line"),
        ('raise UserError(f"{path} is bad; expected a good one.")', "without a period"),
        ('option(1, "Which rows to read.")', "begin with the subject"),
        ('flags.DEFINE_integer("rows", 1, "Number of rows")', "end with a period"),
        ('print(f"the run,  of which {name} is one")', "plain words"),
        ('raise Busy("two  spaces; try again later")', "one space"),
        ('ways = ["expected a mark ; or none"]', "before a mark"),
    ],
)
def test_a_text_that_is_not_plain_is_found(source, problem):
    [text] = texts(source)
    assert problem in " ".join(problems(text))


def test_a_text_is_collected_whole_but_no_docstring():
    source = """
def load(path):
    'A docstring of several words.'
    raise UserError(f"{path}: it is " + "damaged; " f"expected {len(names)} whole files")
"""
    assert texts(source, "a.py") == [
        ("a.py:4", "UserError", "{path}: it is damaged; expected {len(names)} whole files")
    ]


if __name__ == "__main__":
    for text in program():
        print(f"{text.place}: {text.kind or 'text'}: {text.words!r}")
