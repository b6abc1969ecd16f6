import re


def test_memory_and_time_are_measured_for_both_ways(run_benchmark, tmp_path):
    flags = [
        "--steps=10",
        "--steps=30",
        "--units=2",
        "--units=3",
        "--timed_steps=5",
        f"--picture={tmp_path}/real-time.png",
    ]
    printed = run_benchmark("real_time", *flags, dataset=())
    for name in ("backpropagation through time", "real-time recurrent learning"):
        rows = re.findall(rf"^\| {name} \| ([\d,]+) \| ([\d,]+) \|$", printed, re.MULTILINE)
        assert len(rows) == 2  # Megabytes and microseconds.
        assert all(int(cell.replace(",", "")) > 100 for cell in rows[0])
    assert (tmp_path / "real-time.png").is_file()
