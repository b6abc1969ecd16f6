import json
import shutil
import subprocess

import pytest


def copy_with_seed_1(folder):
    """Copy a finished run as that of seed 1, with an accuracy ten points higher."""
    copy = shutil.copytree(folder, folder.with_name(folder.name.replace("seed0", "seed1")))
    flags = (copy / "flags.txt").read_text()
    (copy / "flags.txt").write_text(flags.replace("--seed=0", "--seed=1"))
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["test"]["accuracy"] += 0.1
    (copy / "metrics.json").write_text(json.dumps(metrics))


def test_the_accuracy_table_has_mean_and_deviation_and_reuses_finished_runs(
    run_benchmark, tmp_path
):
    (tmp_path / "tiny.flags").write_text("--model=basic_rnn\n--units=3\n--steps=2\n")
    flags = [f"--flag_files={tmp_path}/tiny.flags", "--seeds=2", f"--results_dir={tmp_path}/runs"]
    run_benchmark("accuracy", *flags, "--seeds=1")
    (folder,) = (tmp_path / "runs").glob("*seed0")
    copy_with_seed_1(folder)
    table = run_benchmark("accuracy", *flags)
    paths = sorted((tmp_path / "runs").glob("*/metrics.json"))
    first, second = (100 * json.loads(p.read_text())["test"]["accuracy"] for p in paths)
    assert second == pytest.approx(first + 10)
    assert f"| {(first + second) / 2:.2f} ± {abs(first - second) / 2**0.5:.2f} % " in table
    assert f"| {first:.2f}, {second:.2f} |" in table
    times = [path.stat().st_mtime_ns for path in paths]
    assert run_benchmark("accuracy", *flags) == table
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert run_benchmark("accuracy", *flags, "--dataset=auto", "--data_dir=moved") == table
    for flag, message in [
        ("--units=4", "made with other flags"),
        ("--dataset=kmnist", "made with other flags"),
        ("--seed=5", "expected --seeds"),
    ]:
        with pytest.raises(subprocess.CalledProcessError) as error:
            run_benchmark("accuracy", *flags, flag)
        assert message in error.value.stderr
