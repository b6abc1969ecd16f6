import json
import subprocess

import pytest


@pytest.fixture
def json_path(tmp_path):
    return tmp_path / "deep" / "figures.json"


def test_training_is_compared_turn_by_turn(run_benchmark, json_path):
    output = run_benchmark(
        *("train", "--turns=2", "--turn_steps=1", "--work=peephole_lstm", "--units=3"),
        f"--json={json_path}",
    )
    assert "| peephole_lstm | " in output
    figures = json.loads(json_path.read_text())
    contenders = figures["results"]["training images/s"]["peephole_lstm"]
    assert set(contenders) == {"ours", "Keras", "JAX"}
    for contender in contenders.values():
        assert len(contender["rates"]) == 2
        assert min(*contender["rates"], contender["memory"]) > 0
    assert figures["versions"]["tensorflow"]


def test_serving_is_compared_turn_by_turn(run_benchmark, json_path):
    output = run_benchmark(
        *("infer", "--turns=1", "--turn_seconds=0", "--models=gru", "--images=2"),
        *("--units=3", f"--json={json_path}"),
    )
    assert "| gru | 2 | " in output
    contenders = json.loads(json_path.read_text())["results"]["requests/s"]["gru, 2"]
    assert set(contenders) == {"ours", "Keras", "predict"}


def test_an_error_of_a_contender_is_reported_in_one_line(run_benchmark):
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_benchmark("train", "--dataset=kmnist/no", "--work=gru", "--turns=1")
    errors = [line for line in error.value.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "--dataset=kmnist/no" in errors[0]
    assert "Traceback" not in error.value.stderr
