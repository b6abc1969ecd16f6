"""The table of CONTRIBUTING.md says which package imports which, and is true."""

import ast
import collections
import re

import pytest

from tests.conftest import PROJECT

_ROW = re.compile(r"^\| `([a-z]+(?:\.py|/))` \| [^|]+ \|([^|]*)\|$", re.MULTILINE)
TABLE = {
    place.rstrip("/"): set(re.findall(r"`(\w+)`", imports))
    for place, imports in _ROW.findall((PROJECT / "CONTRIBUTING.md").read_text())
}
LIBRARIES = ("tensorflow", "keras", "tensorflow_datasets")


def imported(path):
    """The first names of all modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def importers():
    """By place and imported package the files that import it."""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"}
    for place in [*packages, *(path.name for path in PROJECT.glob("*.py"))]:
        paths = [PROJECT / place] if place.endswith(".py") else (PROJECT / place).rglob("*.py")
        for path in paths:
            for package in {*imported(path)} & {*packages, *LIBRARIES} - {place}:
                found[place][package].add(path.relative_to(PROJECT).as_posix())
        found[place]  # A place that imports nothing is one, too.
    return found


IMPORTERS = importers()


def test_the_table_has_every_package_and_script():
    assert TABLE.keys() == IMPORTERS.keys()


@pytest.mark.parametrize("place", sorted(TABLE))
def test_the_table_says_what_a_place_imports(place):
    assert IMPORTERS[place].keys() - set(LIBRARIES) == TABLE[place]


def test_no_package_imports_itself_through_others():
    order, left = [], {place: set(imports) for place, imports in TABLE.items()}
    while left:
        free = [place for place, imports in left.items() if imports <= set(order)]
        assert free, f"a circle among {', '.join(left)}"
        order += free
        left = {place: imports for place, imports in left.items() if place not in free}


def test_tensorflow_is_imported_where_the_page_says():
    assert not {*LIBRARIES} & {*IMPORTERS["configs"], *IMPORTERS["commands"]}
    assert "keras" not in IMPORTERS["serving"]
    of_datasets = {path for name in LIBRARIES for path in IMPORTERS["datasets"].get(name, ())}
    names = ("batches", "downloads", "text", "tfds_images")
    assert of_datasets == {f"datasets/{name}.py" for name in names}


@pytest.mark.parametrize("script", ["main.py", "tune.py", "explain.py", "serve.py"])
def test_a_script_has_fewer_than_80_lines(script):
    assert len((PROJECT / script).read_text().splitlines()) < 80
