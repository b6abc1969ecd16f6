import json


def test_the_server_is_measured_also_under_faults(run_benchmark, tmp_path):
    flags = ["--turns=1", "--seconds=0.2", "--minutes=0", "--units=3", "--model=basic_rnn"]
    output = run_benchmark("serving", *flags, f"--json={tmp_path}/figures.json")
    assert "| 64 at once, images/s | " in output
    assert "wrong answers" not in output
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    for figures in results["turns"].values():
        assert len(figures) == 1
        assert figures[0]["images/s"] > 0
        assert figures[0]["wrong"] == 0
    assert len(results["turns"]) == 9
    outcomes = {name: fault["outcome"] for name, fault in results["faults"].items()}
    assert outcomes == {
        "none": "–",
        "new version": "served",
        "version removed": "older one served",
        "broken version": "refused",
        "slow clients": "200 of 200 let go",
        "200 MB bodies": "5 × 413",
        "deep JSON": "100 × 400",
        "clients that go": "300 gone",
        "clients that go, again": "300 gone",
        "SIGTERM": "ended with 0",
    }
    for name, fault in results["faults"].items():
        assert fault["requests"] > 0
        assert fault["wrong"] == 0
        assert fault["lives"] == (name != "SIGTERM")
