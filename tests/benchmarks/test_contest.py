import json

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
    assert {"ours", "Keras"} <= set(contenders) <= {"ours", "Keras", "JAX"}
    for contender in contenders.values():
        assert len(contender["rates"]) == 2
        assert min(*contender["rates"], contender["memory"]) > 0
    assert figures["versions"]["tensorflow"]


def test_serving_is_compared_turn_by_turn(run_benchmark, json_path):
    output = run_benchmark(
        *("infer", "--turns=1", "--turn_seconds=0", "--models=basic_rnn", "--images=2"),
        *("--units=3", f"--json={json_path}"),
    )
    assert "| basic_rnn | 2 | " in output
    contenders = json.loads(json_path.read_text())["results"]["requests/s"]["basic_rnn, 2"]
    assert {"ours", "Keras", "predict"} <= set(contenders)
