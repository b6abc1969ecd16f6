"""Serve SavedModels as TensorFlow Serving does, over REST and gRPC, and a page that draws on them.

Loads SavedModels alone: neither the models' code nor Keras is needed here.
"""
