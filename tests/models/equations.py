"""The equations in the cells' docstrings in NumPy, gate by gate, from the papers they cite."""

import numpy as np

from models import BasicRNNCell, FullyRecurrentCell, GRUCell, LSTM1997Cell, LSTMCell


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def basic_rnn_step(cell, w, x, states, x_mask, h_mask):
    (h,) = states
    a = (x * x_mask) @ w["kernel"] + (h * h_mask) @ w["recurrent_kernel"] + w["bias"]
    h = np.maximum(a, 0) if cell.variant == "irnn" else np.tanh(a)
    return [h]


def fully_recurrent_step(cell, w, x, states, x_mask, h_mask):
    (h,) = states
    every_unit = np.empty_like(h)
    for unit in range(cell.units):
        sums = (x * x_mask) @ w["kernel"][:, unit] + (h * h_mask) @ w["recurrent_kernel"][:, unit]
        every_unit[:, unit] = sigmoid(sums + w["bias"][unit])
    return [every_unit]


def lstm_step(cell, w, x, states, x_mask, h_mask):
    h, c, *last_gates = states
    x, h = x * x_mask, h * h_mask
    absent = {"cifg": "f", "nig": "i", "nfg": "f", "nog": "o"}.get(cell.variant, "")
    gates = [gate for gate in "ifco" if gate != absent]
    W, U, b = (
        dict(zip(gates, np.split(w[name], len(gates), axis=-1), strict=True))
        for name in ("kernel", "recurrent_kernel", "bias")
    )
    p = {gate: w.get(f"peephole_{gate}", 0) for gate in "ifo"}
    R = {"i": 0, "f": 0, "o": 0}
    if cell.variant == "fgr":
        R["i"], R["f"], R["o"] = np.split(last_gates[0] @ w["gate_recurrent_kernel"], 3, axis=-1)

    def gate(k, c):
        return sigmoid(x @ W[k] + h @ U[k] + p[k] * c + b[k] + R[k]) if k in W else 1

    i = gate("i", c)
    f = 1 - i if cell.variant == "cifg" else gate("f", c)
    g = x @ W["c"] + h @ U["c"] + b["c"]
    c = f * c + i * (g if cell.variant == "niaf" else np.tanh(g))
    o = gate("o", c)
    h = o * (c if cell.variant == "noaf" else np.tanh(c))
    return [h, c, np.concatenate([i, f, o], axis=-1)] if cell.variant == "fgr" else [h, c]


def lstm_1997_step(cell, w, x, states, x_mask, h_mask):
    h, c = states
    blocks = cell.units // cell.block_size
    a = (x * x_mask) @ w["kernel"] + (h * h_mask) @ w["recurrent_kernel"] + w["bias"]
    h, c = np.empty_like(h), c.copy()
    for unit in range(cell.units):
        block = unit // cell.block_size
        i, o = sigmoid(a[:, block]), sigmoid(a[:, blocks + cell.units + block])
        c[:, unit] += i * np.tanh(a[:, blocks + unit])
        h[:, unit] = o * np.tanh(c[:, unit])
    return [h, c]


def gru_step(cell, w, x, states, x_mask, h_mask):
    (h,) = states
    x, masked = x * x_mask, h * h_mask
    gate_terms = {None: "xhb", "gru1": "hb", "gru2": "h", "gru3": "b"}[cell.variant]

    def thirds(name, letter):
        if letter in gate_terms:
            return np.split(w[name], 3, axis=-1)
        assert w[name].shape[-1] == cell.units
        nothing = np.zeros_like(w[name])
        return nothing, nothing, w[name]

    W_z, W_r, W_h = thirds("kernel", "x")
    U_z, U_r, U_h = thirds("recurrent_kernel", "h")
    b_z, b_r, b_h = thirds("bias", "b")
    z = sigmoid(x @ W_z + masked @ U_z + b_z)
    r = sigmoid(x @ W_r + masked @ U_r + b_r)
    g = np.tanh(x @ W_h + (r * masked) @ U_h + b_h)
    return [z * h + (1 - z) * g]


STEPS = {
    BasicRNNCell: basic_rnn_step,
    FullyRecurrentCell: fully_recurrent_step,
    LSTMCell: lstm_step,
    LSTM1997Cell: lstm_1997_step,
    GRUCell: gru_step,
}


def run(cell, weights, xs, states, x_mask=1, h_mask=1):
    """The states after each timestep, a list of lists; `weights` are in the cell's order."""
    named = {w.name: value for w, value in zip(cell.trainable_weights, weights, strict=True)}
    history = []
    for x in xs:
        states = STEPS[type(cell)](cell, named, x, states, x_mask, h_mask)
        history.append(states)
    return history
