"""States that go from one part of a long sequence to the next."""

import keras

from models.learning import LearningCell


def with_states(model, steps=None):
    """The same layers as a model that takes initial states and returns final ones.

    Args:
        model: A model of `create_model` that answers at every step.
        steps: The number of steps of its input, if it is always the same.

    Returns:
        A `keras.Model` of the same weights. Its inputs are the model's input and the states of all
        recurrent layers, each `(batch, units)`; its outputs are the model's output and the states
        after the last step, in the same order.
    """
    shape = (steps, *model.input_shape[2:])
    inputs = keras.Input(shape, dtype=model.input.dtype, name=model.input.name)
    x, initial, final = inputs, [], []
    for layer in model.layers[1:]:
        if isinstance(layer, keras.layers.RNN):
            states = [keras.Input((size,)) for size in _state_sizes(layer)]
            x, *after = layer(x, initial_state=states)
            initial += states
            final += after
        else:
            x = layer(x)
    return keras.Model([inputs, *initial], [x, *final], name=model.name)


def _state_sizes(layer):
    size = layer.state_size
    return [size] if isinstance(size, int) else list(size)


class CarryStates(keras.layers.Layer):
    """A model in which each call begins with the states that the call before ended with.

    Gradients do not flow back into earlier calls: this is truncated backpropagation through time.
    The states are variables, so that a checkpoint holds them.

    Args:
        model: A model of `create_model` that answers at every step; its weights are shared.
        batch_size: The largest number of parallel tracks.
    """

    def __init__(self, model, batch_size):
        super().__init__(name="carry_states")
        self.stateless = model
        self._step = with_states(model)
        self._states = [
            self.add_weight((batch_size, state.shape[-1]), "zeros", trainable=False, name="state")
            for state in self._step.inputs[1:]
        ]

    def call(self, inputs, training=None):
        # The last batch of a validation may have fewer tracks.
        tracks = keras.ops.shape(inputs)[0]
        before = [variable[:tracks] for variable in self._states]
        outputs, *after = self._step([inputs, *before], training=training)
        for variable, state in zip(self._states, after, strict=True):
            variable.assign(keras.ops.concatenate([state, variable[tracks:]]))
        return outputs

    def compute_output_shape(self, input_shape):
        # Without it, JAX would trace `call` with a batch size that it does not know.
        return (*input_shape, self.stateless.output_shape[-1])

    def reset_state(self):
        """Begin new tracks: all states become 0."""
        for variable in self._states:
            variable.assign(keras.ops.zeros_like(variable))


def carry_states(model, batch_size):
    """A model of the same weights that carries its states from call to call: `CarryStates`."""
    inputs = keras.Input(model.input_shape[1:], dtype=model.input.dtype)
    return keras.Model(inputs, CarryStates(model, batch_size)(inputs), name=model.name)


def stateless(model):
    """The model that `carry_states` or `for_learning` was given; any other model as it is."""
    for layer in model.layers:
        if isinstance(layer, CarryStates):
            return stateless(layer.stateless)
        if isinstance(getattr(layer, "cell", None), LearningCell):
            return layer.cell.original()
    return model


def reset_states(model):
    """Begin new tracks with a model of `carry_states`; do nothing to any other model."""
    for layer in _carriers(model):
        layer.reset_state()


def _carriers(model):
    return [layer for layer in model.layers if isinstance(layer, CarryStates)]
