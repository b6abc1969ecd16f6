"""Fit a model, judge it on all test images, and keep everything about it in a run folder."""

from training.evaluate import Evaluation, evaluate, evaluate_run
from training.run import Run
from training.tf1 import import_tf1
from training.train import train

__all__ = ["Evaluation", "Run", "evaluate", "evaluate_run", "import_tf1", "train"]
