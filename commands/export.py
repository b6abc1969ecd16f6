"""The command that exports a run."""

from configs import UserError, override
from export.formats import check_formats
from tasks import task_of
from training.run import Run

# The flags that say where to export to, and in which formats.
EXPORT_FLAGS = ("saved_models_dir", "export_formats")


def export(flags):
    """Export a run, as the next version."""
    check_formats(flags.export_formats)
    run = Run.open(flags.run, flags.runs_dir)
    override(run.config(), ())
    print(f"done: SavedModel: {export_run(run, flags)}")


def export_run(run, flags):
    """Export the model of a `Run`; with `--resume` the version that it has already, if any.

    Returns:
        The path of the version.

    Raises:
        UserError: If the folder cannot be written to.
    """
    from export.saved_model import export, find  # TensorFlow takes its seconds.

    folder = f"{flags.saved_models_dir}/{run.config().model}"
    try:
        model = run.load_model()
        task = task_of(run.spec(model), run.config())
        version = task, folder, run.card(), flags.export_formats
        path = (flags.resume and find(*version)) or export(model, *version)
        run.unexported_path.unlink(missing_ok=True)
        return path
    except OSError as error:
        again = f"{run.command('--mode=export')} --saved_models_dir=FOLDER"
        raise UserError(
            f"{error.filename or folder}: {error.strerror or error}; the run is kept; expected a "
            f"folder that can be written to: export it to another with {again}"
        ) from error
