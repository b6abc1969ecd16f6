"""What a network holds, and would answer, after each step of its reading."""

import keras
from keras import ops

from models.fast_rnn import FastRNN


def trace(model, images):
    """Follow a network step by step, which is row by row unless its scan is another.

    Args:
        model: A model made by `create_model`.
        images: Pixel values 0 to 255, `(batch, 28, 28)`.

    Returns:
        A dict of tensors. `probabilities (batch, steps, classes)` is what the network would answer
        if the image ended after each step; a backward direction then begins at that step. The
        others, each `(batch, steps, units)`, are what it holds as it reads the whole image, in the
        order of the image's rows in both directions: `hidden`; in an LSTM `cell`; and the gates and
        the candidate of the cell by name, such as `forget_gate`. With several layers or directions
        the name of each begins with its place, as in `forward_1_hidden` and `backward_2_cell`.
    """
    layers = model.layers[1:]
    recurrent = [layer for layer in layers if _directions(layer)]
    sequences = images
    for layer in layers[: layers.index(recurrent[0])]:
        sequences = layer(sequences)  # (batch, steps, features)

    x, readings = sequences, {}
    for number, layer in enumerate(recurrent, start=1):
        here = {}
        for direction in _directions(layer):
            place = f"{'backward' if direction.go_backwards else 'forward'}_{number}"
            here[place] = _read(direction, x)
        x = ops.concatenate([reading["hidden"] for reading in here.values()], axis=-1)
        readings |= here
    if any(place.startswith("backward") for place in readings):
        x = _read_each_beginning(recurrent, sequences)

    read_out = layers[-1]
    named = {
        name if len(readings) == 1 else f"{place}_{name}": values
        for place, reading in readings.items()
        for name, values in reading.items()
    }
    return {"probabilities": ops.softmax(read_out(x)), **named}


def _directions(layer):
    """The one or two `FastRNN` a recurrent layer consists of; none of another layer."""
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer] if isinstance(layer, FastRNN) else []


def _read(direction, sequences):
    """Read `(batch, steps, features)`: by name what there was at each step, in their order."""
    cell = _Watched(direction)
    kept = _rnn(direction, cell, return_sequences=True)(sequences)
    if direction.go_backwards:
        kept = ops.flip(kept, axis=1)
    return dict(zip(cell.names, ops.split(kept, len(cell.names), axis=-1), strict=True))


def _read_each_beginning(recurrent, sequences):
    """What the read-out would see if the sequence ended at each step: `(batch, steps, features)`.

    Each sequence becomes as many as it has steps, the first read for a step, the last as a whole.
    """
    steps = sequences.shape[1]
    x = ops.repeat(sequences, steps, axis=0)  # (batch * steps, steps, features)
    is_read = ops.tile(ops.tri(steps, dtype="bool"), (ops.shape(sequences)[0], 1))
    for layer in recurrent:
        outputs = []
        for direction in _directions(layer):
            rnn = _rnn(direction, _Watched(direction, ["hidden"]), layer.return_sequences)
            output = rnn(x, mask=is_read)
            backwards = direction.go_backwards and layer.return_sequences
            outputs.append(ops.flip(output, axis=1) if backwards else output)
        x = ops.concatenate(outputs, axis=-1)
    if recurrent[-1].return_sequences:  # Of which the read-out sees the last.
        x = ops.reshape(x, (-1, steps, steps, x.shape[-1]))
        return ops.transpose(ops.diagonal(x, axis1=1, axis2=2), (0, 2, 1))
    return ops.reshape(x, (-1, steps, x.shape[-1]))


def _rnn(direction, cell, return_sequences):
    backwards, policy = direction.go_backwards, direction.dtype_policy
    return keras.layers.RNN(cell, return_sequences, go_backwards=backwards, dtype=policy)


class _Watched(keras.layers.Layer):
    """The cell of a `FastRNN`, whose output is all that could be seen in a step, side by side.

    Args:
        direction: The `FastRNN`.
        names: What is wanted of it; `None` for all there is. The attribute `names`, after a call,
            says what there was.
    """

    def __init__(self, direction, names=None):
        super().__init__(dtype=direction.dtype_policy)
        self.cell = direction.equations
        self.given = direction.equation_weights()
        self.state_size = self.cell.state_size
        self.wanted = names

    def build(self, inputs_shape):
        """Nothing: the weights are those of the `FastRNN`."""

    def call(self, inputs, states):
        parts, extras = keras.tree.map_structure(
            lambda weight: ops.cast(weight, self.compute_dtype), self.given
        )
        seen = {}

        def watch(name, value):
            seen[name] = value
            return value

        after = self.cell.step(self.cell.sums_of(inputs, parts), list(states), watch, **extras)
        seen = dict(zip(("hidden", "cell"), after, strict=False)) | seen
        self.names = self.wanted or list(seen)
        return ops.concatenate([seen[name] for name in self.names], axis=-1), after
