"""Commands that show several runs."""

from training import runs


def list_runs(flags):
    """Print a table of all runs."""
    print(runs.table(flags.runs_dir))


def compare(flags):
    """Draw the curves of several runs together."""
    print(f"done: see {runs.compare(flags.runs, flags.runs_dir)}")
