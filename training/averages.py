"""Moving averages of the weights, as stored by the optimizer (`--ema`)."""

import contextlib

import keras


@contextlib.contextmanager
def averaged(model):
    """Use the averages as the weights of a compiled model, and restore the exact weights after.

    Without `--ema` this does nothing. Source: B. Polyak and A. Juditsky, Acceleration of
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
    """Use the averages as the weights of the model while `fit` validates it.

    Keras's `SwapEMAWeights` swaps both by additions and subtractions, which cause rounding errors.
    """

    def on_test_begin(self, logs=None):
        self.averages = contextlib.ExitStack()
        self.averages.enter_context(averaged(self.model))

    def on_test_end(self, logs=None):
        self.averages.close()
