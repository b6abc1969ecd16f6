"""The networks of `create_model`, and their training, in Keras, PyTorch and JAX."""

import dataclasses
import functools
import itertools
import os

from benchmarks import contest


def of_keras(config, spec):
    """Create the model of a `Config` with Keras's own layers in place of ours.

    The layers are `LSTM`, `SimpleRNN` and `GRU(reset_after=False)`, and `keras.layers.RNN` with our
    cell if Keras lacks the cell.
    """
    import keras

    from models import BasicRNNCell, FastLSTM, FastRNN, GRUCell, create_model

    def keras_layer(layer):
        if isinstance(layer, keras.layers.Bidirectional):
            return keras.layers.Bidirectional(keras_layer(layer.forward_layer), name=layer.name)
        if isinstance(layer, FastLSTM):
            return keras.layers.LSTM.from_config(layer.get_config())
        if not isinstance(layer, FastRNN):
            return layer.__class__.from_config(layer.get_config())
        names = ("return_sequences", "return_state", "go_backwards", "dtype", "name")
        options = {name: layer.get_config()[name] for name in names}
        cell = layer.cell
        drops = cell.recurrent_dropout  # Keras's layers draw a mask for each gate.
        if type(cell) is BasicRNNCell and cell.variant is None and not drops:
            return keras.layers.SimpleRNN(cell.units, **options)
        if type(cell) is GRUCell and cell.variant is None and not drops:
            return keras.layers.GRU(cell.units, reset_after=False, **options)
        return keras.layers.RNN(type(cell).from_config(cell.get_config()), **options)

    return keras.models.clone_model(create_model(config, spec), clone_function=keras_layer)


def torch_has(config):
    """Whether PyTorch has the layer of a `Config`; does not import PyTorch.

    PyTorch lacks peepholes and all variants, and its GRU resets after the product. Dropout is not
    compared either.
    """
    return (
        config.model.removeprefix("bidirectional_") in ("lstm", "basic_rnn")
        and not config.dropout
        and not config.recurrent_dropout
        and config.scan != "columns"
        and config.permute_seed is None
        and config.head == "both"
        and not config.tie_embeddings
    )


def torch_network(config, spec):
    """Create the same network with PyTorch's own layers, for a config that `torch_has` accepts.

    Returns:
        A `torch.nn.Module` from inputs and initial states, or `None`, to logits and final states.
        The inputs are pixel values `(batch, 28, 28)`, with logits `(batch, classes)`; or ids
        `(batch, steps)`, with logits `(batch, steps, symbols)`.
    """
    return (_torch_reader if spec.answers == "next_token" else _torch_viewer)(config, spec)


def _torch_reader(config, spec):
    import torch

    size = config.embedding_size or spec.size
    kind = torch.nn.RNN if config.model == "basic_rnn" else torch.nn.LSTM

    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(spec.size, size) if config.embedding_size else None
            self.rnn = kind(size, config.units, config.layers, batch_first=True)
            self.head = torch.nn.Linear(config.units, spec.size)

        def forward(self, ids, states=None):
            one_hot = torch.nn.functional.one_hot
            x = self.embedding(ids) if self.embedding else one_hot(ids, spec.size).float()
            outputs, states = self.rnn(x, states)
            return self.head(outputs), states

    return Reader()


def _torch_viewer(config, spec):
    import torch

    shape = (784, 1) if config.scan == "pixels" else (28, 28)
    directions = 2 if config.model.startswith("bidirectional_") else 1
    kind = torch.nn.RNN if config.model.endswith("basic_rnn") else torch.nn.LSTM

    class Viewer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(
                shape[1],
                config.units,
                config.layers,
                batch_first=True,
                bidirectional=directions == 2,
            )
            self.head = torch.nn.Linear(directions * config.units, spec.size)

        def forward(self, images, states=None):
            _, last = self.rnn(images.reshape(-1, *shape).float() / 255)
            h = last[0] if isinstance(last, tuple) else last  # (layers * directions, batch, units)
            return self.head(h[-directions:].transpose(0, 1).flatten(1)), last

    return Viewer()


def trainers(config, steps, peers=("Keras", "PyTorch", "JAX")):
    """Contenders that train the network of a `Config`: ours and its peers.

    Returns:
        Functions by name, for `contest.contest`. A peer is skipped if it is not installed or lacks
        the network.
    """
    known = {"ours": train_ours, "Keras": train_keras}
    if "PyTorch" in peers and contest.installed("torch") and torch_has(config):
        from datasets import load

        # Load data here: it imports TensorFlow, beside which Triton, a part of PyTorch, crashes.
        known["PyTorch"] = functools.partial(train_torch, load(config))
    if "JAX" in peers and contest.installed("jax"):
        known["JAX"] = train_jax
    return {name: functools.partial(train, config, steps) for name, train in known.items()}


def usual_allocator():
    """Use TensorFlow's default allocator. Call before the import of TensorFlow."""
    os.environ.pop("TF_CPU_ALLOCATOR_USE_BFC", None)


def train_ours(config, steps):
    """Create work of `steps` training steps as in `main.py`, with a constant learning rate."""
    from datasets import load
    from models import carry_states, create_model
    from tasks import task_of
    from training.train import compile_model

    data = load(config)
    model = create_model(config, data.spec)
    if data.train.carries_states:
        model = carry_states(model, config.batch_size)
    constant = dataclasses.replace(config, schedule="constant")
    compile_model(model, task_of(data.spec, constant), steps, steps)
    return _fit(model, data, config, steps)


def train_keras(config, steps):
    """As `train_ours`, with Keras's own layers and defaults, on our batches."""
    usual_allocator()
    import keras

    from datasets import load
    from models import carry_states

    data = load(config)
    model = of_keras(config, data.spec)
    if data.train.carries_states:
        model = carry_states(model, config.batch_size)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(config.learning_rate), loss, metrics=["accuracy"])
    return _fit(model, data, config, steps)


def train_jax(config, steps):
    """As `train_keras`, on Keras's JAX backend. Call before the import of Keras."""
    os.environ["KERAS_BACKEND"] = "jax"
    return train_keras(config, steps)


def _fit(model, data, config, steps):
    steps = min(steps, max(1, len(data.train) // config.batch_size))  # Only full batches.
    batches = data.train.batches(config.batch_size, config.seed)

    def work():
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
        return steps * _answers(data.train, config)

    return work


def _answers(split, config):
    """The number of answers in a batch: of images, or of symbols."""
    return config.batch_size * (split.steps if split.carries_states else 1)


def train_torch(data, config, steps):
    """As `train_ours`, in a standard PyTorch loop, with autocast for bfloat16.

    Args:
        data: The `Dataset` of the config. Loading it here would import TensorFlow.
        config: The `Config`.
        steps: Training steps in a turn.
    """
    import torch

    batches = _torch_batches(data.train, config)
    network = torch_network(config, data.spec)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    half = config.compute_dtype == "bfloat16"
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=half)
    if half and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        torch.backends.mkldnn.enabled = False  # oneDNN's LSTM fails on this processor.

    carried = None

    def work():
        nonlocal carried
        for inputs, targets in itertools.islice(batches, steps):
            with autocast:
                logits, states = network(inputs, carried)
            if data.train.carries_states:
                is_lstm = isinstance(states, tuple)
                carried = tuple(s.detach() for s in states) if is_lstm else states.detach()
            logits = logits.float().flatten(0, -2)
            loss = torch.nn.functional.cross_entropy(logits, targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return steps * _answers(data.train, config)

    return work


def _torch_batches(split, config):
    """Batches `(inputs, targets)` without end: random images, or the parallel tracks of a text."""
    import torch

    if split.carries_states:
        symbols = torch.tensor(split.symbols).long()
        tracks = symbols[: len(symbols) // config.batch_size * config.batch_size]
        tracks = tracks.reshape(config.batch_size, -1)
        while True:
            for first in range(0, tracks.shape[1] - split.steps, split.steps):
                part = tracks[:, first : first + split.steps + 1]
                yield part[:, :-1], part[:, 1:]
    images, labels = torch.tensor(split.inputs), torch.tensor(split.targets)
    while True:
        batch = torch.randint(len(labels), (config.batch_size,))
        yield images[batch], labels[batch]
