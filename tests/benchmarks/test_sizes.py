import json


def test_the_speeds_by_size_are_drawn(run_benchmark, tmp_path):
    sizes = ["--over_units=3", "--over_batches=40", "--units=3", "--batch_size=40"]
    files = [f"--picture={tmp_path}/sizes.png", f"--json={tmp_path}/figures.json"]
    flags = ["--turns=1", "--turn_steps=1", "--model=gru"]
    output = run_benchmark("sizes", *sizes, *flags, *files)
    assert "units     3  ours " in output
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert [*results["units"]] == ["3"]
    assert [*results["batch_size"]] == ["40"]
