"""Hyper-parameter search: drawn values become a `Config`, and `training.train` trains it.

Import each module by its own name: `tuning.space` and `tuning.search` do not import TensorFlow,
which takes seconds.
"""
