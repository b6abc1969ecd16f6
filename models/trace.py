"""What a network holds, and would answer, after each step of its reading."""

import keras
from keras import ops

from models.cell import identity
from models.fast_rnn import FastRNN


def trace(model, images):
    """Follow a network step by step, which is row by row unless its scan is another.

    Args:
        model: A model made by `create_model`.
        images: Pixel values 0 to 255, `(batch, 28, 28)`.

    Returns:
        A dict of tensors. `probabilities (batch, steps, classes)` is what the network would answer
        if the image ended after each step; a backward direction then begins at that step. The
        others are those of `run_with_activations`, without its `logits`.
    """
    sequences, recurrent, head = _split_layers(model, images)
    seen, x = _read_all(recurrent, sequences)
    if any(direction.go_backwards for layer in recurrent for direction in directions(layer)):
        x = [_read_each_beginning(recurrent, sequences)]
    return {"probabilities": ops.softmax(head(x[0])), **seen}


def run_with_activations(model, images, intercept=identity, perturbations=None):
    """Read images as a network does, and see, or change, what goes on in it at each step.

    Args:
        model: A model made by `create_model`.
        images: Pixel values 0 to 255, `(batch, 28, 28)`.
        intercept: A function: `intercept(name, value)` is shown each gate and the candidate,
            `(batch, units)`, by its name in the result, and returns what takes its place.
        perturbations: A dict of tensors `(batch, steps, width)`, each added at each step to the
            hidden state of that name in the result, or, named `inputs`, to what the first
            recurrent layer reads. The gradients with respect to perturbations of zeros are those
            with respect to the states.

    Returns:
        A dict of tensors. `logits (batch, classes)` is the network's answer. The others, each
        `(batch, steps, units)`, are what it holds as it reads the image, in the order of the
        image's rows in both directions: `hidden`; in an LSTM `cell`; and the gates and the
        candidate of the cell by name, such as `forget_gate`. With several layers or directions the
        name of each begins with its place, as in `forward_1_hidden` and `backward_2_cell`.
    """
    x, recurrent, head = _split_layers(model, images)
    if perturbations and "inputs" in perturbations:
        x = ops.add(x, perturbations["inputs"])
    seen, hidden = _read_all(recurrent, x, intercept, perturbations)
    last = recurrent[-1]
    ends = [0 if d.go_backwards and not last.return_sequences else -1 for d in directions(last)]
    final = [states[:, end] for states, end in zip(hidden, ends, strict=True)]
    return {"logits": head(ops.concatenate(final, axis=-1)), **seen}


def _split_layers(model, images):
    """What the recurrent layers read, `(batch, steps, features)`, those layers, the head."""
    layers = model.layers[1:]
    recurrent = [layer for layer in layers if directions(layer)]
    x = images
    for layer in layers[: layers.index(recurrent[0])]:
        x = layer(x)
    return x, recurrent, layers[-1]


def _read_all(recurrent, x, intercept=identity, perturbations=None):
    """What there was at each step by name, and the hidden states of the last layer's directions."""
    seen, perturbations = {}, perturbations or {}
    for layer in recurrent:
        hidden = []
        for direction in directions(layer):
            prefix = _prefix(recurrent, layer, direction)
            here = _read(direction, x, prefix, intercept, perturbations.get(f"{prefix}hidden"))
            hidden.append(here[f"{prefix}hidden"])
            seen |= here
        x = ops.concatenate(hidden, axis=-1)
    return seen, hidden


def _prefix(recurrent, layer, direction):
    """What the names of all that goes on in one direction of a layer begin with."""
    if sum(len(directions(layer)) for layer in recurrent) == 1:
        return ""
    return f"{'backward' if direction.go_backwards else 'forward'}_{recurrent.index(layer) + 1}_"


def directions(layer):
    """The one or two `FastRNN` a recurrent layer consists of; none of another layer."""
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer] if isinstance(layer, FastRNN) else []


def _read(direction, sequences, prefix, intercept, perturbation):
    """Read `(batch, steps, features)`: by name what there was at each step, in their order."""
    cell = _InterceptedCell(direction, lambda name, value: intercept(prefix + name, value))
    cell.is_perturbed = perturbation is not None
    if cell.is_perturbed:
        sequences = ops.concatenate([sequences, perturbation], axis=-1)
    packed = _rnn(direction, cell, return_sequences=True)(sequences)
    if direction.go_backwards:
        packed = ops.flip(packed, axis=1)
    activations = ops.split(packed, len(cell.names), axis=-1)
    return {prefix + name: values for name, values in zip(cell.names, activations, strict=True)}


def _read_each_beginning(recurrent, sequences):
    """What the head would see if the sequence ended at each step: `(batch, steps, features)`.

    Each sequence becomes as many as it has steps, the first read for a step, the last as a whole.
    """
    steps = sequences.shape[1]
    x = ops.repeat(sequences, steps, axis=0)  # (batch * steps, steps, features)
    is_read = ops.tile(ops.tri(steps, dtype="bool"), (ops.shape(sequences)[0], 1))
    for layer in recurrent:
        outputs = []
        for direction in directions(layer):
            rnn = _rnn(
                direction, _InterceptedCell(direction, names=["hidden"]), layer.return_sequences
            )
            output = rnn(x, mask=is_read)
            backwards = direction.go_backwards and layer.return_sequences
            outputs.append(ops.flip(output, axis=1) if backwards else output)
        x = ops.concatenate(outputs, axis=-1)
    if recurrent[-1].return_sequences:  # Of which the head sees the last.
        x = ops.reshape(x, (-1, steps, steps, x.shape[-1]))
        return ops.transpose(ops.diagonal(x, axis1=1, axis2=2), (0, 2, 1))
    return ops.reshape(x, (-1, steps, x.shape[-1]))


def _rnn(direction, cell, return_sequences):
    backwards, policy = direction.go_backwards, direction.dtype_policy
    return keras.layers.RNN(cell, return_sequences, go_backwards=backwards, dtype=policy)


class _InterceptedCell(keras.layers.Layer):
    """The cell of a `FastRNN`, whose output is all that could be seen in a step, side by side.

    Args:
        direction: The `FastRNN`.
        intercept: As in `Cell.step`.
        names: What is wanted of it; `None` for all there is. The attribute `names`, after a call,
            says what there was.

    Attributes:
        is_perturbed: Whether what is to be added to the hidden state comes behind the inputs.
    """

    is_perturbed = False

    def __init__(self, direction, intercept=identity, names=None):
        super().__init__(dtype=direction.dtype_policy)
        self.cell = direction.equations
        self.given = direction.equation_weights()
        self.state_size = self.cell.state_size
        self.intercept = intercept
        self.wanted = names

    def build(self, inputs_shape):
        """Nothing: the weights are those of the `FastRNN`."""

    def call(self, inputs, states):
        gate_weights, other_weights = keras.tree.map_structure(
            lambda weight: ops.cast(weight, self.compute_dtype), self.given
        )
        seen = {}

        def intercept(name, value):
            seen[name] = self.intercept(name, value)
            return seen[name]

        if self.is_perturbed:
            inputs, perturbation = ops.split(inputs, [inputs.shape[-1] - self.cell.units], axis=-1)
        preactivations = self.cell.preactivations_of(inputs, gate_weights)
        after = self.cell.step(preactivations, list(states), intercept, **other_weights)
        if self.is_perturbed:
            after = [after[0] + perturbation, *after[1:]]
        seen = dict(zip(("hidden", "cell"), after, strict=False)) | seen
        self.names = self.wanted or list(seen)
        return ops.concatenate([seen[name] for name in self.names], axis=-1), after
