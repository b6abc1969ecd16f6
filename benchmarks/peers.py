"""What a user would take instead: the networks of `create_model` from other hands."""


def of_keras(config, classes):
    """The same network of Keras's own layers; of a cell it lacks, `keras.layers.RNN` of ours."""
    import keras

    from models import CELLS

    dtype = {} if config.compute_dtype == "float32" else {"dtype": f"mixed_{config.compute_dtype}"}
    layer = {
        "lstm": lambda: keras.layers.LSTM(config.units, **dtype),
        "bidirectional_lstm": lambda: keras.layers.Bidirectional(
            keras.layers.LSTM(config.units, **dtype)
        ),
        "basic_rnn": lambda: keras.layers.SimpleRNN(config.units, **dtype),
        "gru": lambda: keras.layers.GRU(config.units, reset_after=False, **dtype),
    }.get(config.model, lambda: keras.layers.RNN(CELLS[config.model](config.units), **dtype))()
    rows = keras.Input((28, 28))
    x = keras.layers.Rescaling(1 / 255)(rows)
    if config.scan == "pixels":
        x = keras.layers.Reshape((784, 1))(x)
    return keras.Model(rows, keras.layers.Dense(classes, dtype="float32")(layer(x)))


def torch_network(config, classes):
    """The network of PyTorch's own layer: pixel values 0 to 255 `(batch, 28, 28)` to logits."""
    import torch

    shape = (784, 1) if config.scan == "pixels" else (28, 28)
    directions = 2 if config.model.startswith("bidirectional") else 1
    layer = torch.nn.RNN if config.model == "basic_rnn" else torch.nn.LSTM

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            two = directions == 2
            self.rnn = layer(shape[1], config.units, batch_first=True, bidirectional=two)
            self.head = torch.nn.Linear(directions * config.units, classes)

        def forward(self, images):
            _, last = self.rnn(images.reshape(-1, *shape).float() / 255)
            h = last[0] if isinstance(last, tuple) else last  # (directions, batch, units)
            return self.head(h.transpose(0, 1).flatten(1))

    return Network()
