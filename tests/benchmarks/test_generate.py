import json
import statistics


def test_a_long_text_is_written_as_fast_as_a_short_one(run_benchmark, tmp_path):
    flags = ["--turns=3", "--symbols=200", "--symbols=2000", "--model=gru", "--units=8"]
    text = ["--dataset=python_manual"]
    output = run_benchmark("generate", *flags, f"--json={tmp_path}/f.json", dataset=text)
    assert "| 2,000 | " in output
    rates = json.loads((tmp_path / "f.json").read_text())["results"]["symbols/s"]
    # If a symbol cost as much as all before it, the ratio would be 0.1.
    assert statistics.median(rates["2000"]) > 0.5 * statistics.median(rates["200"])
