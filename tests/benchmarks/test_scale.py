import json
import re

import numpy as np
import pytest

from benchmarks.scale import Point, cost, fit
from configs import UserError


def test_fit_recovers_the_factors_of_a_cost():
    random = np.random.default_rng(0)
    points = [Point(*random.integers(1, 9, 4).tolist()) for _ in range(40)]
    terms = [point.seconds_terms() for point in points]
    factors = dict(zip(terms[0], [1e-3, 0, 1e-8, 1e-10, 3e-9, 1e-2, 1e-7], strict=True))
    fitted = fit(terms, [cost(factors, each) for each in terms])
    for name, factor in factors.items():
        assert fitted[name] == pytest.approx(factor, rel=1e-3, abs=1e-13)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,a", "0,2,3,4"])
def test_an_invalid_point_is_refused(text):
    with pytest.raises(UserError, match="PROCESSES,BATCH,UNITS,STEPS"):
        Point.parse(text)


def test_the_largest_share_of_a_batch_counts():
    assert Point(3, 10, 4, 5).share == 4


def test_training_is_measured_fitted_and_drawn(run_benchmark, alone, tmp_path):
    points = ["--fitted=1,4,3,5", "--fitted=2,5,3,6", "--tested=1,6,3,7"]
    files = [f"--picture={tmp_path}/scale.png", f"--json={tmp_path}/scale.json"]
    output = run_benchmark("scale", "--turns=1", *points, *files, dataset=(), prefix=alone)
    rows = re.findall(r"\| (\d) \| (\d) \| (\d) \| (\d) \| ([\d.,]+) \| ", output)
    assert [row[:4] for row in rows] == [tuple("1435"), tuple("2536"), tuple("1637")]
    assert "tested: off by " in output
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "scale.json").read_text())["results"]
    for point, row in zip(results["points"], rows, strict=True):
        assert 1e3 * point["measured"][0] == pytest.approx(float(row[4]), abs=0.1)
        assert point["measured"][1] > 1e8
