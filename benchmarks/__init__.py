"""Measurements: these programs print every number in the README and the figures of the docs."""

import os
import pathlib
import platform

MAIN = pathlib.Path(__file__).parent.parent / "main.py"


def machine():
    """Number and name of the processors; the architecture if the name is unknown."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {name}"
