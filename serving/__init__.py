"""Serve SavedModels over REST and gRPC as TensorFlow Serving does, with a page to draw on.

This package loads only SavedModels. It needs neither the code of the models nor Keras.
"""
