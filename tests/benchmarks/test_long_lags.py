"""How often networks learn long lags."""

import re

import numpy as np

from benchmarks import long_lags
from configs import read_flags
from tests.conftest import PROJECT


def test_each_network_is_counted_and_drawn_beside_the_same_one_with_defaults(
    run_benchmark, tmp_path
):
    files = ["configs/lags/noisy_recall_lstm_1997.flags", "configs/lags/reber_lstm.flags"]
    flags = [f"--flag_files={','.join(files)}", "--seeds=1", "--other_seeds=1", "--lengths=10"]
    flags += ["--train_size=70", "--epochs=1", "--jobs=2"]
    flags += [f"--picture={tmp_path}/lags.png", f"--results_dir={tmp_path}/runs"]
    printed = run_benchmark("long_lags", *flags, dataset=())
    for path, sequences in zip(files, ("128", "72"), strict=True):
        counts = r"\d of 1 \| [\d,]+"
        assert re.search(rf"\| {path} \| {counts} \| {sequences} \| [\d.]+ \| {counts} \|", printed)
    assert (tmp_path / "lags.png").is_file()


def test_the_network_beside_differs_in_what_makes_long_lags_possible():
    for path in long_lags.FLAG_FILES:
        config = read_flags(PROJECT / path)
        changed = {"forget_bias", "input_gate_bias", "truncated_gradient", "weights_init"}
        different = [name for name in changed if getattr(config, name) != long_lags.DEFAULTS[name]]
        assert different or config.dataset == "reber"


def test_a_panel_shows_the_shares_of_wrong_sequences_of_each_network():
    random = np.random.default_rng(0)
    curves = {
        (task, cell, own, lag): int(random.integers(0, 2560))
        for task in ("adding", "noisy_recall")
        for cell in ("lstm", "lstm_1997")
        for own in (True, False)
        for lag in (100, 1000)
    }
    curves["reber", "lstm", True, 30] = 0  # One lag is not a line.
    figure = long_lags.draw(curves)
    figure.draw_without_rendering()
    adding, noisy = figure.axes
    assert (adding.get_title(), noisy.get_title()) == ("adding", "noisy recall")
    lines = {line.get_label(): line for line in noisy.lines}
    expected = [curves["noisy_recall", "lstm_1997", False, lag] / 2560 for lag in (100, 1000)]
    np.testing.assert_allclose(lines["lstm_1997, defaults"].get_ydata(), expected)
    assert len({line.get_xdata()[0] for line in noisy.lines}) == 4  # None hides another one.
    (legend,) = figure.legends
    left, _, right, _ = legend.get_window_extent().extents
    assert 0 <= left < right <= figure.bbox.width
