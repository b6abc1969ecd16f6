"""Fit a model, judge it on all test images, and keep everything about it in a run folder.

Each module is imported by its own name: `training.run` needs no TensorFlow, which takes seconds.
"""
