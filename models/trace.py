"""The states, gates and predictions of a network after each step."""

import keras
from keras import ops

from models.cell import identity, split
from models.fast_rnn import FastRNN


def trace(model, images):
    """Run a network step by step. With the default scan a step is a row.

    Args:
        model: A model made by `create_model`.
        images: Pixel values 0 to 255, `(batch, 28, 28)`.

    Returns:
        A dict of tensors. `outputs (batch, steps, size)` are the outputs of the network if the
        example ended after each step; a backward direction then begins at that step. The others
        are those of `run_with_activations`, except its `outputs`.
    """
    sequences, recurrent, head = _split_layers(model, images)
    activations, x = _run_layers(recurrent, sequences)
    if any(direction.go_backwards for layer in recurrent for direction in directions(layer)):
        x = [_run_on_each_prefix(recurrent, sequences)]
    return {"outputs": head(x[0]), **activations}


def run_with_activations(model, images, intercept=identity, perturbations=None):
    """Run a network and return its states and gates at each step, or change them.

    Args:
        model: A model made by `create_model`.
        images: Pixel values 0 to 255, `(batch, 28, 28)`.
        intercept: A function `intercept(name, value)`. It is called with each gate and the
            candidate, `(batch, units)`, by its name in the result. The network goes on with what
            it returns.
        perturbations: A dict of tensors `(batch, steps, width)`, each added at each step to the
            hidden state of that name in the result, or, named `inputs`, to what the first
            recurrent layer reads. The gradients with respect to perturbations of zeros are those
            with respect to the states.

    Returns:
        A dict of tensors. `outputs (batch, size)` are those of the network. The others are
        `(batch, steps, units)`, for both directions in the order of the image's rows: `hidden`, in
        an LSTM `cell`, and the gates and the candidate of the cell by name, such as `forget_gate`.
        With several layers or directions each name starts with the direction and the number of
        its layer, as in `forward_1_hidden` and `backward_2_cell`. A Neural Turing machine also has
        `memory (batch, steps, slots * width)` and `weightings (batch, steps, heads * slots)`, and
        its `hidden` contains what it read.
    """
    x, recurrent, head = _split_layers(model, images)
    if perturbations and "inputs" in perturbations:
        x = ops.add(x, perturbations["inputs"])
    activations, hidden = _run_layers(recurrent, x, intercept, perturbations)
    last = recurrent[-1]
    ends = [0 if d.go_backwards and not last.return_sequences else -1 for d in directions(last)]
    final = [states[:, end] for states, end in zip(hidden, ends, strict=True)]
    return {"outputs": head(ops.concatenate(final, axis=-1)), **activations}


def _split_layers(model, images):
    """The input of the recurrent layers, `(batch, steps, features)`, these layers, and the head."""
    layers = model.layers[1:]
    recurrent = [layer for layer in layers if directions(layer)]
    x = images
    for layer in layers[: layers.index(recurrent[0])]:
        x = layer(x)
    return x, recurrent, layers[-1]


def _run_layers(recurrent, x, intercept=identity, perturbations=None):
    """Activations at each step by name, and the hidden states of the last layer's directions."""
    activations, perturbations = {}, perturbations or {}
    for layer in recurrent:
        hidden = []
        for direction in directions(layer):
            prefix = _prefix(recurrent, layer, direction)
            here = _run_direction(
                direction, x, prefix, intercept, perturbations.get(f"{prefix}hidden")
            )
            hidden.append(here[f"{prefix}hidden"])
            activations |= here
        x = ops.concatenate(hidden, axis=-1)
    return activations, hidden


def _prefix(recurrent, layer, direction):
    """The prefix of the names of one direction of a layer, such as `forward_1_`."""
    if sum(len(directions(layer)) for layer in recurrent) == 1:
        return ""
    return f"{'backward' if direction.go_backwards else 'forward'}_{recurrent.index(layer) + 1}_"


def directions(layer):
    """The one or two `FastRNN` layers in a recurrent layer; an empty list for other layers."""
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer] if isinstance(layer, FastRNN) else []


def _run_direction(direction, sequences, prefix, intercept, perturbation):
    """Run one direction over `(batch, steps, features)`; returns activations by name."""
    if hasattr(direction, "activations"):  # It has no equations to intercept.
        return {prefix + name: each for name, each in direction.activations(sequences).items()}
    cell = _InterceptedCell(direction, lambda name, value: intercept(prefix + name, value))
    cell.is_perturbed = perturbation is not None
    if cell.is_perturbed:
        sequences = ops.concatenate([sequences, perturbation], axis=-1)
    packed = _rnn(direction, cell, return_sequences=True)(sequences)
    if direction.go_backwards:
        packed = ops.flip(packed, axis=1)
    activations = split(packed, cell.sizes)
    return {prefix + name: values for name, values in zip(cell.names, activations, strict=True)}


def _run_on_each_prefix(recurrent, sequences):
    """The input of the head if the sequence ended at each step: `(batch, steps, features)`.

    Each sequence becomes `steps` sequences, masked after 1, 2, ..., `steps` steps.
    """
    batch, steps = ops.shape(sequences)[:2]  # A tensor if the number of steps is unknown.
    x = ops.repeat(sequences, steps, axis=0)  # (batch * steps, steps, features)
    step = ops.arange(steps)
    is_in_prefix = ops.tile(step[:, None] >= step[None, :], (batch, 1))
    for layer in recurrent:
        outputs = []
        for direction in directions(layer):
            rnn = _rnn(
                direction, _InterceptedCell(direction, names=["hidden"]), layer.return_sequences
            )
            output = rnn(x, mask=is_in_prefix)
            backwards = direction.go_backwards and layer.return_sequences
            outputs.append(ops.flip(output, axis=1) if backwards else output)
        x = ops.concatenate(outputs, axis=-1)
    if recurrent[-1].return_sequences:  # The head reads only the last step of each prefix.
        x = ops.reshape(x, (-1, steps * steps, x.shape[-1]))
        return ops.take(x, step * (steps + 1), axis=1)  # A slice would lose the static shape.
    return ops.reshape(x, (-1, steps, x.shape[-1]))


def _rnn(direction, cell, return_sequences):
    backwards, policy = direction.go_backwards, direction.dtype_policy
    return keras.layers.RNN(cell, return_sequences, go_backwards=backwards, dtype=policy)


class _InterceptedCell(keras.layers.Layer):
    """The cell of a `FastRNN`, with all activations of a step, concatenated, as its output.

    Args:
        direction: The `FastRNN`.
        intercept: As in `Cell.step`.
        names: Names of the activations to output; `None` for all.

    Attributes:
        is_perturbed: Whether perturbations of the hidden state are concatenated to the inputs.
        names, sizes: After a call, the names and sizes of the activations in the output, in order.
    """

    is_perturbed = False

    def __init__(self, direction, intercept=identity, names=None):
        super().__init__(dtype=direction.dtype_policy)
        self.cell = direction.equations
        self.weights_of_equations = direction.equation_weights()
        self.state_size = self.cell.state_size
        self.intercept = intercept
        self.requested = names

    def build(self, inputs_shape):
        """Create no weights: the weights are those of the `FastRNN`."""

    def get_initial_state(self, batch_size=None):
        """Those of the cell; not all cells begin with zeros."""
        states = self.cell.get_initial_state(batch_size)
        return [ops.cast(state, self.compute_dtype) for state in states]

    def call(self, inputs, states):
        gate_weights, other_weights = keras.tree.map_structure(
            lambda weight: ops.cast(weight, self.compute_dtype), self.weights_of_equations
        )
        activations = {}

        def intercept(name, value):
            activations[name] = self.intercept(name, value)
            return activations[name]

        if self.is_perturbed:
            width = states[0].shape[-1]
            inputs, perturbation = ops.split(inputs, [inputs.shape[-1] - width], axis=-1)
        preactivations = self.cell.preactivations_of(inputs, gate_weights)
        after = self.cell.step(preactivations, list(states), intercept, **other_weights)
        if self.is_perturbed:
            after = [after[0] + perturbation, *after[1:]]
        activations = dict(zip(self.cell.state_names, after, strict=False)) | activations
        self.names = self.requested or list(activations)
        self.sizes = [activations[name].shape[-1] for name in self.names]
        return ops.concatenate([activations[name] for name in self.names], axis=-1), after
