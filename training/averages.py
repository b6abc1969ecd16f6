"""The moving averages of the weights, where the optimizer keeps them."""

import contextlib

import keras


@contextlib.contextmanager
def averaged(model):
    """Have a compiled model hold the averages of its weights; its weights come back bit by bit.

    Without `--ema` the model is left as it is. Source: B. Polyak and A. Juditsky, Acceleration of
    Stochastic Approximation by Averaging, 1992, https://doi.org/10.1137/0330046.
    """
    if not model.optimizer.use_ema:
        yield
        return
    weights = [variable.numpy() for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)


class ValidateAverages(keras.callbacks.Callback):
    """Have the model hold the averages of its weights while `fit` validates it.

    Keras's `SwapEMAWeights` exchanges the two by adding and subtracting, which changes both a bit.
    """

    def on_test_begin(self, logs=None):
        self.averages = contextlib.ExitStack()
        self.averages.enter_context(averaged(self.model))

    def on_test_end(self, logs=None):
        self.averages.close()
