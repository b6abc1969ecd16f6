"""The names of all cells and models. It does not import TensorFlow, so `--help` stays fast."""

_LSTM_VARIANTS = ("cifg", "nig", "nfg", "nog", "niaf", "noaf", "fgr")
_GRU_VARIANTS = ("gru1", "gru2", "gru3")

# The name of a cell -> its class in `models` and the arguments that make the class this cell.
CELLS = {
    "basic_rnn": ("BasicRNNCell", {}),
    "irnn": ("BasicRNNCell", {"variant": "irnn"}),
    "lstm_1997": ("LSTM1997Cell", {}),
    "custom_lstm": ("LSTMCell", {}),
    **{f"{v}_lstm": ("LSTMCell", {"variant": v}) for v in _LSTM_VARIANTS},
    "peephole_lstm": ("LSTMCell", {"use_peephole": True}),
    **{
        f"peephole_{v}_lstm": ("LSTMCell", {"use_peephole": True, "variant": v})
        for v in _LSTM_VARIANTS
    },
    "gru": ("GRUCell", {}),
    **{v: ("GRUCell", {"variant": v}) for v in _GRU_VARIANTS},
    "fully_recurrent": ("FullyRecurrentCell", {}),
}
# The models, in one direction, whose cells have a forget gate with a bias. That of a GRU is its
# update gate, which multiplies h(t-1).
FORGET_GATES = (
    "lstm",
    *(
        name
        for name, (class_name, arguments) in CELLS.items()
        if class_name in ("LSTMCell", "GRUCell") and arguments.get("variant") not in ("nfg", "gru2")
    ),
)
# `lstm` is the layer `FastLSTM`, with Keras's weights. `custom_lstm` computes the same.
_IN_ONE_DIRECTION = (*CELLS, "lstm", "history_compressor", "ntm")
# The outputs of a fully recurrent network are units, which two directions cannot share. A history
# compressor predicts the next input, which a backward direction would read. A Neural Turing machine
# has one memory.
_NOT_BIDIRECTIONAL = ("fully_recurrent", "history_compressor", "ntm")
MODELS = (
    *_IN_ONE_DIRECTION,
    *(f"bidirectional_{name}" for name in _IN_ONE_DIRECTION if name not in _NOT_BIDIRECTIONAL),
)
