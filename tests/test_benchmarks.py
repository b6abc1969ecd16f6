"""The benchmarks run, and print what they promise. How fast is not a test's business."""

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import PROJECT


def run_benchmark(name, *arguments):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--dataset=digits", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def test_the_accuracy_table_has_mean_and_spread_and_repeats_no_finished_run(tmp_path):
    (tmp_path / "tiny.flags").write_text("--model=basic_rnn\n--units=3\n--epochs=1\n")
    flags = [f"--flag_files={tmp_path}/tiny.flags", "--seeds=2", f"--results_dir={tmp_path}/runs"]
    table = run_benchmark("accuracy", *flags)
    paths = sorted((tmp_path / "runs").glob("*/metrics.json"))
    first, second = (100 * json.loads(p.read_text())["test"]["accuracy"] for p in paths)
    assert f"| {(first + second) / 2:.2f} ± {abs(first - second) / 2**0.5:.2f} % " in table
    assert f"| {first:.2f}, {second:.2f} |" in table
    times = [path.stat().st_mtime_ns for path in paths]
    assert run_benchmark("accuracy", *flags) == table
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert run_benchmark("accuracy", *flags, "--dataset=auto", "--data_dir=moved") == table
    for flag, message in [
        ("--units=4", "had other flags"),
        ("--dataset=kmnist", "had other flags"),
        ("--seed=5", "expected --seeds"),
    ]:
        with pytest.raises(subprocess.CalledProcessError) as error:
            run_benchmark("accuracy", *flags, flag)
        assert message in error.value.stderr


def test_the_pipeline_is_compared_with_training():
    output = run_benchmark("pipeline", "--model=basic_rnn", "--units=3", "--batch_size=16")
    pipeline, training, ratio = (
        float(re.search(rf"{name} +([\d,]+)", output)[1].replace(",", ""))
        for name in ("pipeline alone", "basic_rnn", "ratio")
    )
    assert min(pipeline, training, ratio) > 0


def test_the_cells_tables_are_written_into_their_page(tmp_path):
    recipe = "--units=4\n--epochs=1\n"
    (tmp_path / "cells/pixels").mkdir(parents=True)
    (tmp_path / "cells/recipe.flags").write_text(recipe)
    (tmp_path / "cells/irnn.flags").write_text(f"--model=irnn\n{recipe}")
    pixels = "--model=gru3\n--scan=pixels\n--units=3\n--steps=2\n--jit_compile\n"
    (tmp_path / "cells/pixels/gru3.flags").write_text(pixels)
    page = tmp_path / "page.md"
    tables = [
        f"<!-- table: {t} -->\nold\n<!-- end of table -->" for t in ("rows", "pixels", "oracles")
    ]
    page.write_text("Before.\n" + "\nBetween.\n".join(tables) + "\nAfter.\n")
    flags = [f"--folder={tmp_path}/cells", f"--page={page}", f"--results_dir={tmp_path}/runs"]
    run_benchmark("cells", *flags, "--seeds=1", "--jobs=2")
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
    assert "expected <!-- table: pixels --> and" in error.value.stderr
