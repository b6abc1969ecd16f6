"""List the tests that no run of pytest has run; and the pytest plugin that records all runs.

export PYTHONPATH=.ci PYTEST_ADDOPTS="-p outcomes" OUTCOMES=FILE
pytest ...
python .ci/outcomes.py FILE
"""

import collections
import json
import os
import pathlib
import sys


def pytest_terminal_summary(terminalreporter):
    """Append the tests that ran, and the skipped tests with their reasons, to the file."""
    stats = terminalreporter.stats
    ran = [report.nodeid for key in ("passed", "failed", "error") for report in stats.get(key, [])]
    skipped = {report.nodeid: report.longrepr[2] for report in stats.get("skipped", [])}
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json.dumps({"ran": ran, "skipped": skipped}) + "\n")


def never_run(lines):
    """The tests and modules that were skipped and that no run has run, with their reasons."""
    runs = [json.loads(line) for line in lines]
    ran = {name for run in runs for test in run["ran"] for name in (test, test.split("::")[0])}
    skipped = {test: reason for run in runs for test, reason in run["skipped"].items()}
    return {test: reason for test, reason in skipped.items() if test not in ran}


def main(path):
    """Print the skipped tests by module and reason."""
    counts = collections.Counter(
        (test.split("::")[0], reason.removeprefix("Skipped: "))
        for test, reason in never_run(pathlib.Path(path).read_text().splitlines()).items()
    )
    print(f"skipped tests: {counts.total()}")
    for (module, reason), count in sorted(counts.items()):
        print(f"{module}: {count} skipped: {reason}")


if __name__ == "__main__":
    main(sys.argv[1])
