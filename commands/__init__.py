"""The commands of `main.py`: `COMMANDS` has a function for each `--mode`, which takes the flags."""

from commands.check import check_mode
from commands.compare import compare, list_runs
from commands.evaluate import evaluate
from commands.export import export
from commands.generate import generate
from commands.train import train

__all__ = ["COMMANDS", "check_mode"]

COMMANDS = {
    "train": train,
    "import": train,
    "evaluate": evaluate,
    "export": export,
    "list": list_runs,
    "compare": compare,
    "generate": generate,
}
