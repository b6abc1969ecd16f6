import re


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
