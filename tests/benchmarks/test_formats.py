import json

from tests.export.test_formats import needs


@needs("onnx", "litert")
def test_every_format_of_a_run_is_measured(run_benchmark, call_main, tmp_path):
    small = ["--model=basic_rnn", "--units=40", "--steps=20", "--name=first"]
    assert call_main("--dataset=digits", *small).status == 0
    flags = ["--turns=2", "--turn_seconds=0", "--images=3", f"--json={tmp_path}/figures.json"]
    output = run_benchmark("formats", f"--run={tmp_path}/runs/first", *flags)
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert [*results] == ["SavedModel", "model.onnx", "model.tflite", "model.int8.tflite"]
    recorded = json.loads((tmp_path / "runs/first/metrics.json").read_text())["test"]["accuracy"]
    for name, result in results.items():
        assert f"| {name} | " in output
        assert result["images"] == 360
        assert len(result["ms, 3"]) == 2
        exact = name != "model.int8.tflite"
        assert result["accuracy"] == recorded or not exact
        assert result["same classes"] == 360 or not exact
        assert (result["largest difference"] < 1e-5) == exact
    sizes = [result["bytes"] for result in results.values()]
    assert sizes[0] > sizes[2] > sizes[3] > 1000
