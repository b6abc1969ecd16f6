import numpy as np

from training.run import Run


def test_the_ablation_removes_one_part_at_a_time(run_benchmark, tmp_path):
    (tmp_path / "shared.flags").write_text("--clip_norm=1\n--zoom=0.1\n")
    (tmp_path / "r.flags").write_text(
        f"--flagfile={tmp_path}/shared.flags\n--model=bidirectional_basic_rnn\n--units=3\n"
        "--steps=2\n--elastic=1\n--shift=1\n--schedule=cosine\n"
    )
    table = run_benchmark(
        *("ablation", f"--flag_file={tmp_path}/r.flags", "--seeds=1"),
        f"--results_dir={tmp_path}/runs",
    )
    rows = [line.split("|")[1].strip() for line in table.splitlines()[4:]]
    removed = ["affine jitter", "elastic deformation", "its schedule", "clipping"]
    assert rows == [
        "the whole recipe",
        *(f"without {part}" for part in removed),
        "without backward direction",
    ]
    without = {
        path.stem.removeprefix("r-without-"): path.read_text()
        for path in (tmp_path / "runs").glob("*.flags")
    }
    assert "--elastic=0.0" in without["elastic-deformation"]
    assert "--zoom=0.1" in without["elastic-deformation"]
    assert "--zoom=0.0\n--shear=0.0" in without["affine-jitter"]
    assert "clip_norm" not in without["clipping"]
    assert "--model=basic_rnn" in without["backward-direction"]


def test_the_ablation_adds_parts_that_the_recipe_lacks(run_benchmark, tmp_path):
    (tmp_path / "r.flags").write_text(
        "--model=basic_rnn\n--units=3\n--steps=2\n--schedule=constant\n--dropout=0.2\n"
        "--pixel_dropout=0.1\n--ema=0.9\n--optimizer=adamw\n--learning_rate=0.002\n"
    )
    table = run_benchmark(
        *("ablation", f"--flag_file={tmp_path}/r.flags", "--seeds=1", "--additions"),
        f"--results_dir={tmp_path}/runs",
    )
    rows = [line.split("|")[1].strip() for line in table.splitlines()[4:]]
    assert rows == [
        *("the whole recipe", "without pixel dropout", "without dropout"),
        *("without its optimizer and rate", "without weight decay", "without averaged weights"),
        *("with row dropout", "with variational dropout", "with label smoothing"),
    ]


def test_the_ablation_of_a_recipe_for_a_text_compares_perplexities(run_benchmark, tmp_path):
    (tmp_path / "text.txt").write_text("abc def\n" * 100)
    (tmp_path / "r.flags").write_text(
        f"--dataset=text\n--text_file={tmp_path}/text.txt\n--model=gru\n--units=3\n--steps=2\n"
        "--embedding_size=3\n--tie_embeddings\n--recurrent_dropout=0.1\n--batch_size=4\n"
        "--steps_per_batch=10\n--schedule=constant\n"
    )
    table = run_benchmark(
        *("ablation", f"--flag_file={tmp_path}/r.flags", "--seeds=1"),
        f"--results_dir={tmp_path}/runs",
        dataset=(),
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[4:]]
    names = ["the whole recipe", "without variational dropout", "without tied embeddings"]
    assert [row[0] for row in rows] == names
    for name, row in zip(["r", "r-without-variational-dropout"], rows, strict=False):
        (folder,) = (tmp_path / "runs").glob(f"*{name}-seed0")
        run = Run(folder)
        assert row[3] == f"{run.metrics()['test']['perplexity']:.2f}"
        assert row[1] == f"{np.exp(run.history()[-1]['val_loss']):.2f}"
