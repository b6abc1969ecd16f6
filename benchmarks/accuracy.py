"""Test accuracy of flag files over several seeds, as a table.

    python -m benchmarks.accuracy --flag_files=configs/lstm.flags,configs/basic_rnn.flags --jobs=2

Each run is the program itself, `python main.py --flagfile=... --seed=...`. Flags of `main.py` given
here are passed on to every run. Finished runs are not repeated.
"""

import statistics

from absl import flags

from benchmarks import machine
from benchmarks.runs import accuracy_of, finished_runs, metrics_of
from configs import define_flags, run_script

FLAGS = flags.FLAGS
flags.DEFINE_list("flag_files", None, "The flag files, separated by commas.", required=True)
define_flags()


def main():
    """Make the missing runs, then print the table."""
    runs = finished_runs(FLAGS.flag_files, FLAGS.seeds)
    print(f"{machine()}, {FLAGS.jobs} runs in parallel\n")
    print("| flag file | parameters | test images | accuracy, mean ± sd | each seed | minutes |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for flag_file, folders in runs.items():
        metrics = metrics_of(folders)
        accuracy, each = accuracy_of(metrics)
        minutes = statistics.mean(m["wall_seconds"] for m in metrics) / 60
        print(
            f"| {flag_file} | {metrics[0]['parameters']:,} | {metrics[0]['test']['images']:,} "
            f"| {accuracy} | {each} | {minutes:.1f} |"
        )


if __name__ == "__main__":
    run_script(main)
