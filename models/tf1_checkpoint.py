"""Import of the weights of a TensorFlow 1 graph."""

import difflib
import glob
import math
import pathlib
import re
from typing import NamedTuple

import numpy as np

# Patterns of names in other versions and cells -> the name in TensorFlow 1.2 and later.
_NAMES = (
    (r"/\.ATTRIBUTES/VARIABLE_VALUE$", ""),  # tf.train.Checkpoint and Keras's save_weights.
    (r"\b(Linear/Matrix|weights|W|W_0)$", "kernel"),
    (r"\b(Linear/Bias|biases|B|b)$", "bias"),
    (r"\bW_([IFO])_diag$", r"w_\1_diag"),
    (r"\bwc([ifo])$", r"w_\1_diag"),
    (r"\bGates/(kernel|bias)$", r"gates/\1"),
    (r"\bCandidate/(kernel|bias)$", r"candidate/\1"),
    (r"\bw_ru$", "gates/kernel"),
    (r"\bb_ru$", "gates/bias"),
    (r"\bw_c$", "candidate/kernel"),
    (r"\bb_c$", "candidate/bias"),
)


class _Layout(NamedTuple):
    """One way to store the weights of a cell.

    Attributes:
        gates: The order of the packed gates. In an LSTM: i, f, c (candidate), o. In a GRU: z
            (update), r, h (candidate).
        kernels: Names of the kernels, which are concatenated along the last axis.
        recurrent: Name of the recurrent kernel; `None` if its rows are the last of the kernels.
        biases: Names of the biases, concatenated.
        bias_terms: The number of concatenated biases whose sum is the bias.
        peepholes: Names of the peepholes of i, f and o.
        forget_bias: What the graph adds to f when it runs; `None` if the bias includes it.
    """

    gates: str
    kernels: tuple = ("kernel",)
    recurrent: str | None = None
    biases: tuple = ("bias",)
    bias_terms: int = 1
    peepholes: tuple = ()
    forget_bias: float | None = None


_RECURRENT = "recurrent_kernel"
_GRU_NAMES = {
    "kernels": ("gates/kernel", "candidate/kernel"),
    "biases": ("gates/bias", "candidate/bias"),
}
# The layouts of each kind of cell. Keras's come first, since they have one more name to match.
_LAYOUTS = {
    "rnn": (_Layout("h", recurrent=_RECURRENT), _Layout("h")),
    "lstm": (
        _Layout("ifco", recurrent=_RECURRENT),
        _Layout("ifco", recurrent=_RECURRENT, bias_terms=2),  # Keras's CuDNNLSTM.
        _Layout("icfo", forget_bias=1.0),
    ),
    "peephole_lstm": (
        _Layout("icfo", peepholes=("w_i_diag", "w_f_diag", "w_o_diag"), forget_bias=1.0),
    ),
    "gru": (_Layout("zrh", recurrent=_RECURRENT), _Layout("rzh", **_GRU_NAMES)),
}
# The order of the gates in the cells of `models`, and the kind of cell of each model.
_GATE_ORDER = {"rnn": "h", "lstm": "ifco", "peephole_lstm": "ifco", "gru": "zrh"}
_KINDS = {
    "basic_rnn": "rnn",
    "irnn": "rnn",
    "lstm": "lstm",
    "custom_lstm": "lstm",
    "peephole_lstm": "peephole_lstm",
    "gru": "gru",
}

_RESET_AFTER = "a GRU with reset_after=True resets what comes out of the recurrent kernel, not h"
# Patterns of names that only unsupported cells have, and the reason why each is unsupported.
_UNSUPPORTED = (
    (r"/(input|transform|forget|output|state)/(gamma|beta)$", "LayerNormBasicLSTMCell normalizes"),
    (r"cell(_\d+)?/(projection/kernel|w_p(_0)?)$", "an LSTM cell with num_proj projects h"),
    (r"/candidate/(input|hidden)_projection/", _RESET_AFTER),
    (
        r"/opaque_kernel$",
        "CudnnLSTM packs it as its GPU needs it; TensorFlow 1's Saver writes it as "
        "cudnn_compatible_lstm_cell/kernel too",
    ),
)
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_AVERAGE = "/ExponentialMovingAverage"
_OPTIMIZERS = (
    "Adam|AdamW|Adamax|Nadam|LazyAdam|AMSGrad|Momentum|RMSProp|RMSprop|SGD|Adagrad|AdagradDA|"
    r"ProximalAdagrad|Adadelta|Ftrl|optimizer|\.OPTIMIZER_SLOT"
)


def load_tf1_checkpoint(model, path, forget_bias=None, names=(), averages=False):
    """Load the weights of a TensorFlow 1 graph into a model that computes the same.

    Such a graph has one or more layers of `BasicRNNCell`, `BasicLSTMCell`, `LSTMCell` or `GRUCell`,
    of one of their fused forms, or of Keras's layers, in one or two directions, followed by one
    matrix and one bias. A linear layer may stand before the first cell: it is folded into the
    cell's input kernel and bias, which is exact.

    Cells are recognised by the names and shapes of their weights, in any scope; `_LAYOUTS` and
    `_NAMES` list them. The numbers in the scopes give the order of the layers; `fw` and `bw`, or
    `forward` and `backward`, give the directions. The head and a layer before the cell are
    recognised by their shapes. The variables of optimizers are ignored.

    A checkpoint does not contain the activations and the `cell_clip` of the cells, the states that
    the head of a bidirectional graph reads (`Config.head`), or the inputs of the graph: they must
    have been pixels from 0 to 1 in the model's scan order.

    Args:
        model: A model made by `create_model`: basic_rnn, irnn, lstm, custom_lstm, peephole_lstm,
            gru, or one of them with `bidirectional_` before it. All of its weights are replaced, or
            none.
        path: The checkpoint: the common prefix of its files, one of its files, or a folder.
        forget_bias: The argument `forget_bias` of the graph's LSTM cells. `None` stands for their
            default: 1, or 0 for `CudnnCompatibleLSTMCell`.
        names: Texts `old:new` that rename variables first.
        averages: Whether to load moving averages in place of the weights.

    Returns:
        What was loaded from where, a list of one-line texts.

    Raises:
        ValueError: If the model does not have a counterpart, or the checkpoint cannot be read, has
            values that are not finite, or does not fit; the message then lists the names and shapes
            found and expected.
    """
    kind = _KINDS.get(model.name.removeprefix("bidirectional_"))
    if not kind:
        raise ValueError(
            f"{model.name} has no counterpart in TensorFlow 1; expected one of "
            f"{', '.join(_KINDS)}, or bidirectional_ before one of them"
        )
    if forget_bias is not None and not math.isfinite(forget_bias):
        raise ValueError(f"--tf1_forget_bias={forget_bias}: expected a finite number")
    if forget_bias is not None and "lstm" not in kind:
        raise ValueError(
            f"--tf1_forget_bias={forget_bias}: {model.name} does not have a forget gate; expected "
            "an LSTM, or no --tf1_forget_bias"
        )
    found = _rename(_read(path), names, path)
    found, notes = _choose_averages(_without_copies(found), averages, path)
    _check_other_cells(found, path)
    for name, value in found.items():
        if not np.all(np.isfinite(value)):
            raise ValueError(
                f"{path}: {name} has values that are not finite; expected finite numbers"
            )

    fit = _Fit(model, kind, found)
    if fit.missing or fit.left:
        raise ValueError(
            f"{path} does not fit {model.name}{_suggestion(found)}: found {_listed(found)}; "
            f"expected {'; '.join(fit.expected)}; missing: {'; '.join(fit.missing) or 'nothing'}; "
            f"not used: {_listed(fit.left)}; choose other flags, or rename variables with "
            "--tf1_names=old:new"
        )
    weights = []
    for layer, cell in fit.cells:
        kernel, recurrent_kernel, bias, *peepholes = cell.weights(kind, forget_bias)
        if fit.input_layer and cell.is_first:
            W, b = (np.asarray(value, "float64") for value in fit.input_layer)
            bias = bias + b @ kernel
            kernel = W @ kernel
        weights.append((layer, [kernel, recurrent_kernel, bias, *peepholes]))
        notes.append(f"{cell.described(forget_bias)} -> {layer.name}")
    for layer, values in [*weights, (model.get_layer("logits"), fit.head)]:
        layer.set_weights(values)
    return notes + fit.notes


class _Cell(NamedTuple):
    """The weights of one cell, as a checkpoint stores them.

    Attributes:
        scope: The common scope of the names of its weights.
        layout: Its `_Layout`.
        names: The names of its variables in the checkpoint.
        kernel: `(features, or features + units, gates * units)`.
        recurrent_kernel: `(units, gates * units)`, or `None`.
        bias: `(bias_terms * gates * units,)`.
        peepholes: A list of `(units,)`.
        is_first: Whether it is in the first layer.
    """

    scope: str
    layout: _Layout
    names: list
    kernel: np.ndarray
    recurrent_kernel: np.ndarray | None
    bias: np.ndarray
    peepholes: list
    is_first: bool = True

    @property
    def units(self):
        return self.kernel.shape[1] // len(self.layout.gates)

    @property
    def features(self):
        """The number of values that the cell reads at a step."""
        return self.kernel.shape[0] - (self.units if self.recurrent_kernel is None else 0)

    @property
    def direction(self):
        """`"fw"`, `"bw"` or `None`."""
        found = re.findall(r"(?:^|[/_])(fw|bw|forward|backward)(?=[/_]|$)", self.scope.lower())
        return {"f": "fw", "b": "bw"}[found[-1][0]] if found else None

    @property
    def order(self):
        """A key that sorts the numbers in scopes as numbers: `lstm`, `lstm_2`, `lstm_10`."""
        return [
            [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
            for name in self.scope.split("/")
        ]

    def is_consistent(self):
        """Whether the shapes of the weights agree."""
        units, packed = self.units, self.kernel.shape[1]
        return (
            packed == units * len(self.layout.gates)
            and self.features > 0
            and (self.recurrent_kernel is None or self.recurrent_kernel.shape == (units, packed))
            and self.bias.shape == (self.layout.bias_terms * packed,)
            and all(peephole.shape == (units,) for peephole in self.peepholes)
        )

    def forget_bias(self, told):
        """The forget bias to add to the bias of f; `told` is the user's, or `None`."""
        default = self.layout.forget_bias
        if default is None:
            if told:
                raise ValueError(
                    f"--tf1_forget_bias={told}: {self.scope} is a Keras layer, whose bias "
                    "includes the forget bias; expected no --tf1_forget_bias"
                )
            return 0.0
        if told is not None:
            return told
        return 0.0 if "cudnn" in self.scope.lower() else default

    def described(self, told):
        said = f", forget_bias={self.forget_bias(told)}" if self.layout.forget_bias else ""
        if self.layout.recurrent and len(self.layout.gates) > 1 and self.layout.bias_terms == 1:
            said = " with sigmoid gates (tf.keras of TensorFlow 1 had hard_sigmoid by default)"
        return f"{self.scope or 'the cell'}{said}"

    def weights(self, kind, told):
        """The weights in the layout of `models`: kernel, recurrent kernel, bias, peepholes."""
        kernel, recurrent_kernel = self.kernel, self.recurrent_kernel
        if recurrent_kernel is None:
            kernel, recurrent_kernel = np.split(kernel, [self.features])
        bias = np.asarray(self.bias, "float64").reshape(self.layout.bias_terms, -1).sum(axis=0)

        def ordered(packed):
            by_gate = dict(
                zip(self.layout.gates, np.split(packed, len(self.layout.gates), -1), strict=True)
            )
            return np.concatenate([by_gate[gate] for gate in _GATE_ORDER[kind]], axis=-1)

        bias = ordered(bias)
        if "lstm" in kind:
            bias[self.units : 2 * self.units] += self.forget_bias(told)
        return [ordered(kernel), ordered(recurrent_kernel), bias, *self.peepholes]


class _Fit:
    """The variables of a checkpoint, assigned to the weights of a model.

    Attributes:
        cells: A list of `(layer, _Cell)`.
        input_layer: Kernel and bias of a linear layer before the first cell, or `None`.
        head: Kernel and bias of the head.
        expected: The weights that the model needs, a list of texts.
        missing: Those that the checkpoint lacks, a list of texts.
        left: The variables that are not used, by name.
        notes: Remarks for the user, a list of texts.
    """

    def __init__(self, model, kind, found):
        self.left = dict(found)
        self.expected, self.missing, self.notes = [], [], []
        self.cells, self.input_layer = [], None
        self.features = model.get_layer("scan").output.shape[-1]
        layers = [
            layer
            for layer in model.layers
            if layer.name.startswith(("recurrent_", "bidirectional_"))
        ]
        bidirectional = model.name.startswith("bidirectional_")
        last = getattr(layers[-1], "forward_layer", layers[-1])
        for direction in ("fw", "bw") if bidirectional else (None,):
            self._take_cells(kind, found, layers, direction, last.cell.units)
        head = model.get_layer("logits")
        self.head = self._take_dense(
            "logits", "the head", *(tuple(weight.shape) for weight in head.weights)
        )
        self._take_input_layer()

    def _take_cells(self, kind, found, layers, direction, units):
        """Move the cells of one direction from `left` to `cells`, in the order of the layers."""
        width = 2 * units if direction else units
        for number in range(len(layers)):
            layout = _LAYOUTS[kind][-1]
            rows = (width if number else self.features) + units
            shapes = ", ".join(_shapes(layout, rows, units))
            what = f"{f'{direction} ' if direction else ''}cell of layer {number + 1}"
            self.expected.append(f"a {what} with {shapes}")
        for layout in _LAYOUTS[kind]:
            cells = [cell for cell in _cells(found, layout) if cell.units == units]
            if cells:
                break
        if direction or any(cell.direction == "bw" for cell in cells):
            cells = [cell for cell in cells if cell.direction == direction]
        # All layers except the first read the outputs of the layer below.
        cells.sort(key=lambda cell: (cell.features == width, cell.order))
        deep = {re.sub(r"_?\d+", "", cell.scope) for cell in cells if cell.features == width}
        fits = len(cells) == len(layers) and all(cell.features == width for cell in cells[1:])
        if not fits:
            self.missing += self.expected[-len(layers) :]
            return
        if len(deep) > 1:
            scopes = ", ".join(cell.scope for cell in cells)
            self.missing.append(f"numbers in {scopes}, which would tell the order of the layers")
            return
        for number, (layer, cell) in enumerate(zip(layers, cells, strict=True)):
            for name in cell.names:
                del self.left[name]
            # A model with a head on the backward direction only does not have a forward layer.
            half = {"fw": "forward_layer", "bw": "backward_layer"}.get(direction, "")
            if direction == "fw" and not hasattr(layer, half):
                continue
            self.cells.append((getattr(layer, half, layer), cell._replace(is_first=number == 0)))

    def _take_dense(self, name, what, kernel_shape, bias_shape):
        """Take a dense layer's kernel and bias by their shapes; a missing bias is zeros."""
        kernel = self._take(f"{name}/kernel", f"{what}'s kernel", kernel_shape)
        has_bias = any(value.shape == bias_shape for value in self.left.values())
        if kernel is None or has_bias:
            return kernel, self._take(f"{name}/bias", f"{what}'s bias", bias_shape)
        self.notes.append(f"no {bias_shape} variable -> zeros for {what}'s bias")
        return kernel, np.zeros(bias_shape)

    def _take(self, name, what, shape):
        description = f"{what} {shape}, of any name"
        self.expected.append(description)
        names = [other for other, value in self.left.items() if value.shape == shape]
        if len(names) > 1:
            description = f"{what} {shape}, named {name} since there are several"
            names = [other for other in names if f"/{_canonical(other)}".endswith(f"/{name}")]
        if len(names) == 1:
            return self.left.pop(names[0])
        self.missing.append(description)
        return None

    def _take_input_layer(self):
        """Take the linear layer before the first cells if the checkpoint has or needs one."""
        inner = {cell.features for _, cell in self.cells if cell.is_first}
        if len(inner) != 1:
            return
        (inner,) = inner
        shapes = (self.features, inner), (inner,)
        before = dict(self.left)
        if inner == self.features and not any(v.shape == shapes[0] for v in before.values()):
            return
        self.input_layer = self._take_dense("input", "the layer before the cell", *shapes)
        if self.input_layer[0] is not None:
            taken = _listed({name: before[name] for name in before if name not in self.left})
            self.notes.append(
                f"{taken} -> folded into the input weights of the first layer, as a layer without "
                "an activation, which no checkpoint tells"
            )


def _cells(found, layout):
    """All cells with a layout."""
    originals = {_canonical(name): name for name in found}
    for name in originals:
        if not f"/{name}".endswith(f"/{layout.kernels[0]}"):
            continue
        scope = name[: -len(layout.kernels[0])]
        recurrent = (layout.recurrent,) if layout.recurrent else ()
        wanted = [*layout.kernels, *recurrent, *layout.biases, *layout.peepholes]
        if any(scope + part not in originals for part in wanted):
            continue
        names = [originals[scope + part] for part in wanted]
        kernels = [found[originals[scope + part]] for part in layout.kernels]
        biases = [found[originals[scope + part]] for part in layout.biases]
        if any(k.ndim != 2 or len(k) != len(kernels[0]) for k in kernels):
            continue
        if any(b.ndim != 1 for b in biases):
            continue
        cell = _Cell(
            scope.rstrip("/"),
            layout,
            names,
            np.concatenate(kernels, axis=1),
            found[originals[scope + layout.recurrent]] if layout.recurrent else None,
            np.concatenate(biases),
            [found[originals[scope + part]] for part in layout.peepholes],
        )
        if cell.is_consistent():
            yield cell


def _canonical(name):
    """The name of a variable in TensorFlow 1.2 and later."""
    for old, new in _NAMES:
        name = re.sub(old, lambda match, new=new: match.expand(new).lower(), name)
    return name


def _shapes(layout, rows, units):
    """The names and shapes of a cell's weights, as texts."""
    gates = len(layout.gates)
    sizes = [units * gates] if len(layout.kernels) == 1 else [2 * units, units]
    kernels = zip(layout.kernels, [(rows, size) for size in sizes], strict=True)
    biases = zip(layout.biases, [(size,) for size in sizes], strict=True)
    peepholes = [(name, (units,)) for name in layout.peepholes]
    return [f"{name} {shape}" for name, shape in [*kernels, *biases, *peepholes]]


def _suggestion(found):
    """The flags that fit the cells in the checkpoint, by their names; an empty text if unclear."""
    # The first model of each kind. Peepholes come first, since other layouts match them too.
    for kind, model in {kind: model for model, kind in reversed(_KINDS.items())}.items():
        word = model.rpartition("_")[-1]  # rnn, lstm or gru
        for layout in _LAYOUTS[kind]:
            cells = [c for c in _cells(found, layout) if word in c.scope.lower().split("/")[-1]]
            units = {cell.units for cell in cells}
            if len(units) == 1:
                backward = [cell for cell in cells if cell.direction == "bw"]
                return (
                    f", its cells are --model={'bidirectional_' if backward else ''}{model} "
                    f"--units={units.pop()} --layers={len(cells) - len(backward)} and read "
                    f"{min(cells, key=lambda cell: cell.order).features} values at a step"
                )
    return ""


def _read(path):
    """The float variables of a checkpoint by name, except scalars."""
    import tensorflow as tf

    # TensorFlow also reads some addresses, such as gs://bucket/model.ckpt.
    prefix = path if "://" in str(path) else _find_prefix(pathlib.Path(path))
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
        names = sorted(name for name in shapes if shapes[name] and dtypes[name].is_floating)
        told = _names_of_numbered(reader, shapes)
        return {told.get(name, name): reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: it cannot be read as a checkpoint ({error}); expected whole files, as "
            "TensorFlow's Saver wrote them; copy them again"
        ) from error


def _names_of_numbered(reader, shapes):
    """The names of variables that a checkpoint numbers, as in Keras's SavedModels."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    if _OBJECT_GRAPH not in shapes:
        return {}
    content = reader.get_tensor(_OBJECT_GRAPH)
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(content)
    values = [value for node in graph.nodes for value in node.attributes]
    names = [value.full_name for value in values]
    return {
        value.checkpoint_key: value.full_name
        for value in values
        if re.match(r"(.*/)?variables/\d+/\.ATTRIBUTES/", value.checkpoint_key)
        and value.full_name
        and names.count(value.full_name) == 1
    }


# The suffix of files in other formats -> what they are.
_OTHER_FILES = {
    ".pb": "a frozen graph or a graph without weights",
    ".pbtxt": "a graph without weights",
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "a file of Keras"),
    **dict.fromkeys((".npz", ".npy", ".pkl", ".pickle"), "a file of arrays"),
    **dict.fromkeys((".tflite", ".onnx", ".pt", ".pth"), "a model of another format"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz"), "an archive, to be unpacked first"),
}
_EXPECTED_FILES = (
    "expected the common prefix of a checkpoint's files, such as model.ckpt-1000, where "
    "model.ckpt-1000.index and model.ckpt-1000.data-00000-of-00001 are, or their folder"
)


def _find_prefix(path):
    """The prefix of a checkpoint's files, from any path that a user may give."""
    path = pathlib.Path(re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", str(path)))
    if path.name == "saved_model.pb" or (path.name == "checkpoint" and path.is_file()):
        path = path.parent
    if (path / "variables/variables.index").is_file():  # A SavedModel.
        return path / "variables/variables"
    if path.is_dir():
        return _newest(path)
    if path.with_name(f"{path.name}.index").is_file():
        return path
    if path.is_file() and path.suffix not in _OTHER_FILES:
        return path  # Before 0.12 TensorFlow wrote a checkpoint as one file.
    if path.is_file():
        raise ValueError(f"{path} is {_OTHER_FILES[path.suffix]}; {_EXPECTED_FILES}")
    ends = (".meta", ".data-*")
    name = glob.escape(path.name)
    beside = sorted(other.name for end in ends for other in path.parent.glob(f"{name}{end}"))
    if beside:
        raise ValueError(
            f"{path}.index does not exist, only {', '.join(beside)}; {_EXPECTED_FILES}"
        )
    known = [other.stem for other in path.parent.glob("*.index")]
    near = [name for name in known if name.startswith(path.name)]
    near = near or difflib.get_close_matches(path.name, known)
    did_you_mean = f"; did you mean {path.parent / near[0]}?" if near else ""
    raise ValueError(f"{path} does not exist{did_you_mean}; {_EXPECTED_FILES}")


def _newest(folder):
    """The prefix of the newest checkpoint in a folder, even if the folder was moved."""
    state = folder / "checkpoint"
    text = state.read_text(errors="replace") if state.is_file() else ""
    named = re.search(r'^model_checkpoint_path: "(?:.*[/\\])?([^"]+)"', text, re.MULTILINE)
    if named and any((folder / f"{named[1]}{end}").is_file() for end in ("", ".index")):
        return folder / named[1]
    prefixes = [path.with_suffix("") for path in folder.glob("*.index")]
    if not prefixes:
        raise ValueError(f"{folder} has no file that ends in .index; {_EXPECTED_FILES}")
    if len(prefixes) > 1:
        names = ", ".join(sorted(path.name for path in prefixes))
        raise ValueError(
            f"{folder} has several checkpoints, and not the file named checkpoint that tells the "
            f"newest: {names}; expected the path of one of them"
        )
    return prefixes[0]


def _rename(found, names, path):
    """Rename variables by texts `old:new`.

    `old` is one or several whole parts of a name. If no name has them, it is any text in a name.
    """
    for text in names:
        old, colon, new = re.sub(r":0(?=:|$)", "", text).partition(":")
        if not old or not colon or ":" in new:
            raise ValueError(f"--tf1_names: received {text!r}; expected old:new")
        whole = ("" if old[0] == "/" else r"(?<![^/])") + re.escape(old)
        whole += "" if old[-1] == "/" else r"(?![^/])"
        pattern = whole if any(re.search(whole, name) for name in found) else re.escape(old)
        renamed = {re.sub(pattern, lambda _, new=new: new, name): name for name in found}
        if list(renamed) == list(found):
            raise ValueError(
                f"--tf1_names: received {text!r}; {path} has {_listed(found)}; expected a part of "
                "one of these names before the colon"
            )
        if len(renamed) < len(found):
            raise ValueError(
                f"--tf1_names: received {text!r}, which gives several variables the same name; "
                f"{path} has {_listed(found)}; expected different names"
            )
        found = {new_name: found[name] for new_name, name in renamed.items()}
    return found


def _without_copies(found):
    """Remove the variables of optimizers, such as rnn/basic_lstm_cell/kernel/Adam_1."""

    def is_slot(name):
        variable, _, last = name.rpartition("/")
        return last != _AVERAGE[1:] and any(
            found[other].shape == found[name].shape and f"/{variable}".endswith(f"/{other}")
            for other in found
        )

    copies = rf"(^|/)({_OPTIMIZERS})(_\d+)?(/|$)"
    # CudnnLSTM's weights in the format of its GPU, in addition to those that any program can read.
    copies += (
        r"|(^|/)opaque_kernel$|/bias_cudnn_\d+$" if any("_cell/" in name for name in found) else ""
    )
    return {
        name: value
        for name, value in found.items()
        if not re.search(copies, name) and not is_slot(name)
    }


def _choose_averages(found, averages, path):
    """The weights or their moving averages by the weights' names, and notes on the choice."""
    raw = {name: value for name, value in found.items() if not name.endswith(_AVERAGE)}
    averaged = {}
    for name, value in found.items():
        if name.endswith(_AVERAGE):
            name = name.removesuffix(_AVERAGE)
            # The name has an outer scope if the averages were created in one.
            same = [other for other in raw if f"/{name}".endswith(f"/{other}")]
            averaged[max(same, key=len, default=name)] = value
    both = raw.keys() & averaged.keys()
    if averages and not averaged:
        raise ValueError(
            f"--tf1_averages: {path} has no name that ends in {_AVERAGE[1:]}, only {_listed(raw)}; "
            "expected moving averages: leave the flag out, or rename them with --tf1_names=old:new"
        )
    notes = []
    if both and averages:
        notes = [f"moving averages of {len(both)} variables taken, not their last values"]
    elif both:
        notes = [
            f"last values of {len(both)} variables taken, not their moving averages; "
            "--tf1_averages takes those"
        ]
    elif averaged:
        notes = ["moving averages taken; the last values are not in the checkpoint"]
    return (raw | averaged if averages else averaged | raw), notes


def _check_other_cells(found, path):
    """Refuse the weights of unsupported cells, which are recognised by their names."""
    shapes = {f"/{_canonical(name)}": value.shape for name, value in found.items()}
    for name, shape in shapes.items():
        reason = next(
            (reason for old, reason in _UNSUPPORTED if re.search(old, name.lower())), None
        )
        units = math.prod(shape) // 6
        if shapes.get(f"{name.removesuffix('bias')}{_RECURRENT}") == (units, 3 * units):
            reason = _RESET_AFTER
        if reason:
            raise ValueError(
                f"{path}: {name[1:]} {shape} cannot be imported: {reason}; expected the "
                "weights of BasicRNNCell, BasicLSTMCell, LSTMCell, GRUCell, or of a cell that "
                "computes the same"
            )


def _listed(variables):
    """A text with the names and shapes of arrays."""
    return ", ".join(f"{name} {value.shape}" for name, value in variables.items()) or "nothing"
