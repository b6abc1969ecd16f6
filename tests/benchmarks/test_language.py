import math

import numpy as np
import scipy.special

from benchmarks.ngram import cross_entropy
from datasets import load
from training.run import Run

LETTERS = "abcdefg \n"


def test_each_seed_is_measured_in_one_piece_in_windows_and_beside_an_ngram_model(
    run_benchmark, tmp_path
):
    text = "".join(np.random.default_rng(0).choice(list(LETTERS), 900, p=[0.5] + [0.0625] * 8))
    (tmp_path / "text.txt").write_text(text)
    flags = ["--dataset=text", f"--text_file={tmp_path}/text.txt", "--model=gru", "--units=4"]
    flags += ["--batch_size=4", "--steps_per_batch=10", "--epochs=2", "--learning_rate=0.05"]
    (tmp_path / "small.flags").write_text("\n".join(flags))
    options = [f"--flag_files={tmp_path}/small.flags", "--seeds=2", "--window=16", "--ngram=2"]
    output = run_benchmark("language", *options, f"--results_dir={tmp_path}/results", dataset=())
    *_, names, _, line = output.splitlines()
    cells = dict(zip(names.split(" | "), line.split(" | "), strict=True))

    runs = [Run(path.parent) for path in sorted((tmp_path / "results").glob("*/metrics.json"))]
    assert len(runs) == 2
    data = load(runs[0].config())
    perplexities = [run.metrics()["test"]["perplexity"] for run in runs]
    assert cells["each seed"] == ", ".join(f"{perplexity:.3f}" for perplexity in perplexities)
    assert float(cells["median"]) == round(np.median(perplexities), 3)
    expected = cross_entropy(data.train.symbols, data.test.symbols, 2, data.spec.size)
    assert float(cells["test perplexity: 2-gram"]) == round(math.exp(expected), 2)

    symbols = data.test.symbols
    means = []
    for run in runs:
        model, nats = run.load_model(), []
        for first in range(0, len(symbols) - 16, 16):
            window = symbols[None, first : first + 17]
            logs = scipy.special.log_softmax(model(window[:, :-1])[0], axis=-1)
            nats += [-logs[n, symbol] for n, symbol in enumerate(window[0, 1:])]
        means.append(np.mean(nats))
    assert float(cells["nats, windows of 16"]) == round(np.median(means), 4)
