import re


def test_the_time_to_the_help_and_to_the_first_training_steps_is_measured(run_benchmark, tmp_path):
    flags = ["--turns=1", "--model=basic_rnn", "--units=3", f"--json={tmp_path}/figures.json"]
    output = run_benchmark("start", *flags)
    help_, step = (
        float(re.search(rf"\| {what} \| ([\d.]+)", output)[1])
        for what in ("help", "first training steps")
    )
    assert 0 < help_ < step
