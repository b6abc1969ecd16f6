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
    removed = ["affine jitter", "elastic deformation", "cosine schedule", "clipping"]
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
