import re
import subprocess

import pytest


def test_the_tables_of_the_cells_are_written_into_their_page(run_benchmark, tmp_path):
    recipe = "--units=4\n--steps=2\n"
    (tmp_path / "cells/pixels").mkdir(parents=True)
    (tmp_path / "cells/recipe.flags").write_text(recipe)
    (tmp_path / "cells/irnn.flags").write_text(f"--model=irnn\n{recipe}")
    (tmp_path / "cells/pixels/gru3.flags").write_text(f"--model=gru3\n{recipe}")
    page = tmp_path / "page.md"
    tables = [
        f"<!-- table: {t} -->\nold\n<!-- end of table -->" for t in ("rows", "pixels", "oracles")
    ]
    page.write_text("Before.\n" + "\nBetween.\n".join(tables) + "\nAfter.\n")
    flags = [f"--folder={tmp_path}/cells", f"--page={page}", f"--results_dir={tmp_path}/runs"]
    run_benchmark("cells", *flags, "--seeds=1", "--jobs=2", "--turns=2", "--turn_steps=3")
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("Before.\n<!-- table: rows -->\n")
    assert text.endswith("<!-- end of table -->\nAfter.\n")
    rows, pixels, oracles = text.split("Between.")
    assert re.findall(r"^\| (\[.*?\])", rows, re.MULTILINE) == ["[`irnn`]"]
    assert "| [`gru3`]" in pixels
    assert "| peephole_fgr_lstm | " in oracles
    page.write_text(text.replace("table: pixels", "table: lost"))
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_benchmark("cells", *flags)
    assert "expected <!-- table: pixels --> before it and" in error.value.stderr
