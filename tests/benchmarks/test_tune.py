import re

import pytest


def test_the_time_of_a_search_in_sequence_and_in_parallel_is_measured(run_benchmark, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    flags = ["--turns=1", "--trials=2", "--epochs=1", "--model=basic_rnn", "--units=3"]
    output = run_benchmark("tune", *flags, f"--json={tmp_path}/figures.json")
    rows = re.findall(r"\| (.*) \| ([\d.]+) \(.*\) \| ([\d.]+) \(.*\) \|", output)
    names, seconds, ratios = zip(*rows, strict=True)
    assert names == (
        "one trial after another, one thread",
        "one trial after another, all threads",
        "side by side, one thread each",
    )
    one, *_, side_by_side = map(float, seconds)
    assert float(ratios[0]) == 1
    assert float(ratios[-1]) == pytest.approx(one / side_by_side, abs=0.02)
