"""Initial biases of gates, where a `Config` asks for others than those of the cells."""

import itertools

import keras
import numpy as np

from configs.biases import parse_bias_range, parse_forget_bias
from models.trace import directions


def set_biases(model, config):
    """Set the biases of the gates of a new model.

    It assigns them when the model exists, so that all other weights are drawn as without it. The
    cells do not know of it: a layer that is rebuilt from its `get_config` has the biases of the
    cell, until its weights are loaded.

    Args:
        model: A model of `create_model`.
        config: A `Config`; its `forget_bias` and `input_gate_bias` are used.
    """
    if config.forget_bias is None and config.input_gate_bias is None:
        return
    for layer in model.layers:
        for direction in directions(layer):
            bias, gates = direction.cell.bias, _slices(direction.equations)
            values = keras.ops.convert_to_numpy(bias).copy()
            if config.forget_bias is not None:
                for gate, initial in _forget_biases(config, gates, direction.cell.units).items():
                    values[gates[gate]] = initial
            if config.input_gate_bias is not None:
                blocks = len(values[gates["i"]])
                values[gates["i"]] = np.linspace(*parse_bias_range(config.input_gate_bias), blocks)
            bias.assign(values)


def _slices(cell):
    """The part of a cell's bias that belongs to each gate: slices by letter."""
    ends = [0, *itertools.accumulate(itertools.chain(*cell.gate_sizes()))]
    return dict(zip(cell.gates, itertools.starmap(slice, itertools.pairwise(ends)), strict=True))


def _forget_biases(config, gates, units):
    """The biases that `--forget_bias` sets, by the letter of the gate.

    A forget gate f with the bias b keeps a value for 1 / (1 - f) = 1 + exp(b) steps. Chrono
    initialization draws these times uniformly, up to the number of steps T:

        b_f = log U(1, T - 1)
        b_i = -b_f

    If the gates are coupled, f = 1 - i, then b_i = -b_f is also the bias of f. In a GRU the update
    gate z keeps h(t-1), as f does, and 1 - z takes the place of i.

    Source: C. Tallec and Y. Ollivier, Can Recurrent Neural Networks Warp Time?, 2018,
    https://arxiv.org/abs/1804.11188.
    """
    bias = parse_forget_bias(config.forget_bias)
    is_chrono = bias == "chrono"
    if is_chrono:
        times = keras.random.uniform((units,), 1, config.timesteps - 1)
        bias = np.log(keras.ops.convert_to_numpy(times))
    is_coupled = not {"f", "z"} & gates.keys()
    biases = {gate: bias for gate in "fz" if gate in gates}
    if "i" in gates and (is_chrono or is_coupled):
        biases["i"] = -bias
    return biases
