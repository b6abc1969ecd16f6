import re


def test_memory_and_time_are_measured_for_both_ways(run_benchmark, tmp_path):
    flags = [
        "--steps=10,30",
        "--units=2,3",
        "--timed_steps=5",
        f"--picture={tmp_path}/real-time.png",
    ]
    printed = run_benchmark("real_time", *flags, dataset=())
    for name in ("backpropagation through time", "real-time recurrent learning"):
        rows = re.findall(rf"^\| {name} \| ([\d,]+) \| ([\d,]+) \|$", printed, re.MULTILINE)
        assert len(rows) == 2  # Megabytes and microseconds.
        assert all(int(cell.replace(",", "")) > 100 for cell in rows[0])
    assert (tmp_path / "real-time.png").is_file()


def test_the_compressor_is_compared_with_its_automatizer_alone(run_benchmark, tmp_path):
    flags = ["--seeds=2", "--other_seeds=1", "--stages=5", "--train_size=100", "--jobs=2"]
    flags += [f"--picture={tmp_path}/compressor.png", f"--results_dir={tmp_path}/runs"]
    printed = run_benchmark("compressor", *flags, dataset=())
    number = r"\d+\.\d"
    two = rf"{number}, {number}"
    assert re.search(rf"\| history compressor \| \d of 2 \| {two} \| \d of 2: {two} \|", printed)
    assert re.search(rf"\| basic RNN \| \d of 1 \| {number} \| – \|", printed)
    assert re.search(r"\| history compressor, random symbols \| \d of 1 \|", printed)
    assert (tmp_path / "compressor.png").is_file()
