import json


def test_every_stage_of_a_step_is_measured(run_benchmark, tmp_path):
    flags = ["--turns=2", "--turn_steps=2", "--model=gru", "--units=3", f"--json={tmp_path}/f.json"]
    output = run_benchmark("step", *flags)
    for stage in ("batches", "forward", "gradient", "single", "fit"):
        assert f"| {stage} | " in output
    assert "| products alone | " in output
    figures = json.loads((tmp_path / "f.json").read_text())["results"]["steps/s"]
    assert {len(rates) for rates in figures.values()} == {2}
