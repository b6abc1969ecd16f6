import json


def test_the_time_to_an_accuracy_is_measured_for_whole_programs(run_benchmark, tmp_path):
    flags = ["--turns=1", "--target=1", "--target=100", "--max_epochs=1", "--units=3", "--steps=2"]
    output = run_benchmark("time_to_accuracy", *flags, f"--json={tmp_path}/figures.json")
    assert "| 1.0 % | " in output
    assert "(given up in 1)" in output
    assert "(ours missed it)" in output
    (turn,) = json.loads((tmp_path / "figures.json").read_text())["results"]["turns"]
    assert {*turn} == {"1.0", "100.0"}
    for one in turn.values():
        assert min(one["ours"]["seconds"], one["Keras"]["seconds"]) > 1
        assert one["Keras"]["epochs"] == 1
    assert turn["1.0"]["Keras"]["accuracy"] >= 1
