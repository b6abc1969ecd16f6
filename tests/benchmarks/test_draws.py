import re

import pytest

from benchmarks.draws import extrapolate


def test_draws_are_timed_and_extrapolated(run_benchmark, tmp_path):
    sizes = "--sizes=random=20,hyperband=10,asha=10,bayesian=10"
    flags = [sizes, "--turns=2", f"--json={tmp_path}/draws.json"]
    output = run_benchmark("draws", *flags, dataset=())
    rows = re.findall(r"\| (\w+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.,]*) \|", output)
    assert [row[:2] for row in rows] == [
        *(("random", "10"), ("random", "20"), ("hyperband", "10")),
        *(("asha", "10"), ("bayesian", "10")),
    ]
    for _, _, whole, written, _ in rows:
        assert 0 < float(written) <= float(whole)


def test_a_cost_that_grows_with_every_draw_is_extrapolated():
    # 0.1 s and a millisecond for each draw before: 100,000 s and 500,000,000 s for a million.
    assert extrapolate([10, 1000], [0.11, 1.1], 10**6) == pytest.approx(500_100_000 / 86_400)
