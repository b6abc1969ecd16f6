"""Every cell compared with all oracles that compute the same. This command prints the table:

    python -m tests.models.oracles

Weights are random and states are not zero; batch, steps, features and units all differ. A deviation
is the largest absolute difference in all states after all steps; for gradients it is relative.
"""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from datasets.dataset import images_spec
from models import CELLS, LSTM1997Cell
from tests.models import equations

BATCH, STEPS, FEATURES, UNITS = 2, 3, 5, 8
CASES = CELLS | {"lstm_1997 (blocks of 2)": functools.partial(LSTM1997Cell, block_size=2)}


class Case:
    """A cell with random weights, and random inputs and states."""

    def __init__(self, name, dtype="float64", **options):
        random = np.random.default_rng(0)
        self.cell = CASES[name](UNITS, dtype=dtype, **options)
        self.cell.build((BATCH, FEATURES))
        trainable = self.cell.trainable_weights
        self.weights = [random.normal(scale=0.7, size=w.shape).astype(dtype) for w in trainable]
        for weight, value in zip(trainable, self.weights, strict=True):
            weight.assign(value)
        self.w = {w.name: v for w, v in zip(trainable, self.weights, strict=True)}
        self.xs = random.normal(size=(STEPS, BATCH, FEATURES)).astype(dtype)
        sizes = self.cell.state_size
        sizes = [sizes] if isinstance(sizes, int) else sizes
        self.states = [random.normal(size=(BATCH, size)).astype(dtype) for size in sizes]

    def history(self, training=False):
        """The states of the cell after each step."""
        states, history = self.states, []
        for x in self.xs:
            _, states = self.cell(x, states, training=training)
            history.append([keras.ops.convert_to_numpy(state) for state in states])
        return history


def deviation(ours, theirs):
    """The largest absolute difference between two histories of states."""
    return max(
        float(np.max(np.abs(np.asarray(a, "float64") - np.asarray(b, "float64"))))
        for one, other in zip(ours, theirs, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def numpy_equations(name):
    """The papers' equations in float64."""
    case = Case(name)
    expected = equations.run(case.cell, case.weights, case.xs, case.states)
    return deviation(case.history(), expected)


def finite_differences(name):
    """Gradients of inputs, states and weights, compared with finite differences, in float64."""
    case = Case(name)
    random = np.random.default_rng(1)
    arrays = [case.xs, *case.states, *case.weights]
    directions = [random.normal(size=array.shape) for array in arrays]
    projection = random.normal(size=(BATCH, UNITS))
    count = len(case.states)

    def loss(xs, *rest):
        (*_, states) = equations.run(case.cell, rest[count:], xs, rest[:count])
        return np.sum(states[0] * projection) + np.sum(states[-1] ** 2)

    def our_loss(arrays):
        xs, states, weights = arrays[0], arrays[1 : 1 + count], arrays[1 + count :]
        rest = case.cell.non_trainable_variables
        for step in range(STEPS):
            (_, states), _ = case.cell.stateless_call(weights, rest, xs[step], states)
        squares = keras.ops.sum(keras.ops.square(states[-1]))
        return keras.ops.sum(states[0] * keras.ops.convert_to_tensor(projection)) + squares

    epsilon, worst = 1e-6, 0
    gradients = _gradients(our_loss, arrays)
    for index, (gradient, direction) in enumerate(zip(gradients, directions, strict=True)):
        above, below = list(arrays), list(arrays)
        above[index] = arrays[index] + epsilon * direction
        below[index] = arrays[index] - epsilon * direction
        slope = (loss(*above) - loss(*below)) / (2 * epsilon)
        worst = max(worst, abs(np.sum(gradient * direction) - slope) / abs(slope))
    return float(worst)


def _gradients(loss, arrays):
    arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
    if keras.backend.backend() == "jax":
        import jax

        return [np.asarray(gradient) for gradient in jax.grad(loss)(arrays)]
    if keras.backend.backend() == "torch":
        import torch

        with torch.enable_grad():
            arrays = [array.requires_grad_() for array in arrays]
            return [gradient.numpy() for gradient in torch.autograd.grad(loss(arrays), arrays)]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(arrays)
        value = loss(arrays)
    return [gradient.numpy() for gradient in tape.gradient(value, arrays)]


def keras_layer(name):
    """Keras's own cell with the same weights, and zeros for those that a variant lacks, float64."""
    twins = {
        "basic_rnn": keras.layers.SimpleRNNCell(UNITS, dtype="float64"),
        "irnn": keras.layers.SimpleRNNCell(UNITS, activation="relu", dtype="float64"),
        "custom_lstm": keras.layers.LSTMCell(UNITS, dtype="float64"),
        **{
            gru: keras.layers.GRUCell(UNITS, reset_after=False, dtype="float64")
            for gru in ("gru", "gru1", "gru2", "gru3")
        },
    }
    if name not in twins:
        return None
    case, twin = Case(name), twins[name]
    twin.build((BATCH, FEATURES))
    values = [
        _with_zero_gates(value, w)
        for value, w in zip(case.weights, twin.trainable_weights, strict=True)
    ]
    for weight, value in zip(twin.trainable_weights, values, strict=True):
        weight.assign(value)
    states, history = case.states, []
    for x in case.xs:
        _, states = twin(x, states)
        history.append([keras.ops.convert_to_numpy(state) for state in states])
    return deviation(case.history(), history)


def _with_zero_gates(value, twin_weight):
    """The candidate's weight of a GRU variant after zeros for its gates, as wide as Keras's."""
    missing = twin_weight.shape[-1] - value.shape[-1]
    return np.concatenate([np.zeros_like(value, shape=(*value.shape[:-1], missing)), value], -1)


def tensorflow_kernel(name):
    """`tf.raw_ops.BlockLSTM` and `GRUBlockCell` with weights that make them the cell, float32.

    A bias of 99 holds a gate open, as if the cell lacked it. 1 - sigmoid(a) is sigmoid(-a). The
    gates of a block are repeated for its cells. Full gate recurrence is compared with R = 0.
    """
    if any(part in name for part in ("niaf", "noaf", "rnn", "fully_recurrent")):
        return None
    case = Case(name, "float32")
    if case.cell.variant == "fgr":
        case.cell.gate_recurrent_kernel.assign(np.zeros((3 * UNITS, 3 * UNITS)))
    ours = [states[:2] for states in case.history()]
    return deviation(ours, _gru_block_cell(case) if "gru" in name else _block_lstm(case))


def _gru_block_cell(case):
    import tensorflow as tf

    wide = {"kernel": (FEATURES, 3 * UNITS), "recurrent_kernel": (UNITS, 3 * UNITS)}
    W, U, b = (
        _with_zero_gates(case.w[key], np.empty(wide.get(key, (3 * UNITS,))))
        for key in ("kernel", "recurrent_kernel", "bias")
    )
    z, r, g = (
        np.concatenate(part)
        for part in zip(np.split(W, 3, axis=-1), np.split(U, 3, axis=-1), strict=True)
    )
    b_z, b_r, b_g = np.split(b, 3)
    (h,), history = case.states, []
    for x in case.xs:
        *_, h = tf.raw_ops.GRUBlockCell(
            x=x, h_prev=h, w_ru=np.concatenate([r, z], axis=-1), w_c=g,
            b_ru=np.concatenate([b_r, b_z]), b_c=b_g,
        )  # fmt: skip
        history.append([h.numpy()])
    return history


def _block_lstm(case):
    import tensorflow as tf

    stacked = np.concatenate([case.w["kernel"], case.w["recurrent_kernel"]])
    w, b = _gates(case.cell, stacked), _gates(case.cell, case.w["bias"])
    p = {gate: case.w.get(f"peephole_{gate}", np.zeros(UNITS, "float32")) for gate in "ifo"}
    for gate in "ifo":
        if gate not in w:  # Held open.
            w[gate], b[gate] = np.zeros_like(w["c"]), np.full(UNITS, 99, "float32")
    if case.cell.variant == "cifg":
        w["f"], b["f"], p["f"] = -w["i"], -b["i"], -p["i"]
    h, c = case.states[:2]
    _, cs, _, _, _, _, hs = tf.raw_ops.BlockLSTM(
        seq_len_max=STEPS, x=case.xs, cs_prev=c, h_prev=h, wci=p["i"], wcf=p["f"], wco=p["o"],
        # The kernel packs its gates in the order i, c, f, o.
        w=np.concatenate([w[gate] for gate in "icfo"], axis=-1),
        b=np.concatenate([b[gate] for gate in "icfo"]),
        forget_bias=0.0, cell_clip=-1.0, use_peephole=True,
    )  # fmt: skip
    return list(zip(hs.numpy(), cs.numpy(), strict=True))


def _gates(cell, packed):
    """The weights of each gate, `(..., units)`, by name."""
    size = getattr(cell, "block_size", 1)
    blocks = UNITS // size
    if isinstance(cell, LSTM1997Cell):
        i, c, o = np.split(packed, [blocks, blocks + UNITS], axis=-1)
        return {"i": np.repeat(i, size, axis=-1), "c": c, "o": np.repeat(o, size, axis=-1)}
    order = {"nig": "fco", "nfg": "ico", "nog": "ifc", "cifg": "ico"}.get(cell.variant, "ifco")
    return dict(zip(order, np.split(packed, len(order), axis=-1), strict=True))


TF1_GRAPHS = {
    "basic_rnn": "basic_rnn",
    "custom_lstm": "basic_lstm",
    "peephole_lstm": "peephole_lstm",
    "gru": "gru",
}


def tensorflow_1(name):
    """A graph of TensorFlow 1's own cells over 28 rows, imported from its checkpoint, float32."""
    from configs import Config
    from models import create_model, load_tf1_checkpoint

    if name not in TF1_GRAPHS:
        return None
    folder = tf1_graphs() / TF1_GRAPHS[name]
    answers = np.load(folder / "answers.npz")
    model = create_model(Config(model=name, units=6), images_spec(classes=10))
    load_tf1_checkpoint(model, folder / "model.ckpt-781")
    return deviation([[model(answers["images"])]], [[answers["logits"]]])


@functools.cache
def tf1_graphs():
    """Write checkpoints with TensorFlow 1's cells in another process; returns their folder."""
    folder = pathlib.Path(_temporary.name)
    command = [sys.executable, pathlib.Path(__file__).with_name("tf1_graph.py"), folder]
    done = subprocess.run(
        command,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(
            f"TensorFlow 1's cells, from tf-keras, do not run: {done.stderr[-2000:]}"
        )
    return folder


_temporary = tempfile.TemporaryDirectory()

# The largest deviation allowed. On PyTorch `keras.ops.matmul` rounds float64 to float32. On JAX the
# tanh in Keras's own cells does so. With weights of 0.7 the rounding error of float32, 6e-8, grows
# over the steps. The states of the IRNN grow to 12.
_ON_TORCH = keras.backend.backend() == "torch"
ORACLES = {
    numpy_equations: 5e-6 if _ON_TORCH else 1e-12,
    finite_differences: 1e-4 if _ON_TORCH else 1e-6,
    keras_layer: {"tensorflow": 1e-14, "jax": 1e-6, "torch": 5e-6}[keras.backend.backend()],
    tensorflow_kernel: 2e-6,
    tensorflow_1: 1e-6,
}


def table():
    """Cell × oracle × largest deviation, as Markdown."""
    oracles = list(ORACLES)
    lines = [
        "| cell | " + " | ".join(o.__name__.replace("_", " ") for o in oracles) + " |",
        "| --- |" + " ---: |" * len(oracles),
    ]
    for name in CASES:
        found = [oracle(name) for oracle in oracles]
        cells = ["–" if value is None else f"{value:.0e}" for value in found]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table())
