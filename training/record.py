"""The record of a run: its test score, and the origin of its model and its data."""

import dataclasses
import importlib.metadata
import pathlib
import platform
import subprocess
import time

_VERSIONS_OF = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")


def record(session, model, requested, start, **origin):
    """Evaluate a model on all test examples; write the run's pictures and `metrics.json`.

    Args:
        session: The `Session` that the model was trained or imported in.
        model: The model.
        requested: The `--dataset` that the run began with: `auto`, or the name of the dataset.
        start: `time.perf_counter()` at the start of the work.
        **origin: How the model got its weights, one JSON-ready value by name.
    """
    run, data, task = session.run, session.data, session.task
    evaluation = task.evaluate(model, data.test)
    for name, figure in task.figures(evaluation, data.test).items():
        run.save_figure(name, figure)
    pictures = ", ".join(sorted(path.name for path in run.folder.glob("*.png")))
    print(f"pictures: {run.folder}/{pictures}", flush=True)
    run.save_metrics(
        {
            "model": model.name,
            "parameters": model.count_params(),
            "summary": evaluation.summary(),
            "score": task.show(evaluation.score),
            "test": evaluation.metrics(),
            **origin,
            "dataset": {
                "requested": requested,
                "name": data.name,
                "source": data.source,
                "spec": dataclasses.asdict(data.spec) | {"vocabulary": len(data.spec.vocabulary)},
                "train": len(data.train),
                "validation": len(data.validation),
                "test": len(data.test),
                "sha256": data.checksum(),
            },
            "wall_seconds": time.perf_counter() - start,
            "versions": {name: importlib.metadata.version(name) for name in _VERSIONS_OF}
            | {"python": platform.python_version()},
            "git_commit": _git_commit(),
        }
    )


def _git_commit():
    """The commit of this project, with `-dirty` if files differ from it; `None` outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        return subprocess.run(
            command, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
