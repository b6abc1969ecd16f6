import re


def test_the_pipeline_is_compared_with_training(run_benchmark):
    output = run_benchmark(
        "pipeline",
        "--model=basic_rnn",
        "--units=3",
        "--batch_size=16",
        "--turns=2",
        "--turn_steps=3",
    )
    pipeline, training, ratio = (
        float(re.search(rf"{name} +([\d,]+)", output)[1].replace(",", ""))
        for name in ("pipeline alone", "basic_rnn", "ratio")
    )
    assert min(pipeline, training, ratio) > 0
