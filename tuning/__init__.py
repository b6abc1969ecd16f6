"""Search the hyper-parameters: what is drawn becomes a `Config`, and `training.train` trains it.

Each module is imported by its own name: `tuning.space` and `tuning.search` need no TensorFlow,
which takes seconds.
"""
