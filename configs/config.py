"""`Config`: the settings of a run, each with its type, bounds, scope and one line of help."""

import dataclasses
import os

from configs.biases import BIAS_RANGE, FORGET_BIAS, parse_bias_range, parse_forget_bias
from configs.cells import MODELS
from configs.curriculum import CURRICULUM, curriculum_problem, parse_curriculum
from configs.errors import UserError
from configs.option import option, problem
from configs.repeats import REPEATS, parse_repeats
from configs.scopes import EVERY_STEP, kind_of, scope_problem


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings that determine what a run computes.

    Each field is a command-line flag of the same name (see `configs.flags`), and a saved `Config`
    is an absl flag file. The constructor checks all values.

    Raises:
        UserError: If a value is outside its bounds or its scope, or two values contradict each
            other.
    """

    model: str = option(
        "lstm",
        "The recurrent network.",
        choices=MODELS,
    )
    units: int = option(128, "Size of the hidden state (of each direction).", minimum=1)
    block_size: int = option(
        1,
        "Number of lstm_1997 cells that share an input gate and an output gate.",
        minimum=1,
        scope="lstm_1997",
    )
    truncated_gradient: bool = option(
        False,
        "Let the gradient of lstm_1997 cells flow back in time through the cell states only, as in "
        "their paper, and not through the hidden state into gates and candidates.",
        scope="lstm_1997",
        searchable=False,
    )
    gradient: str = option(
        "bptt",
        "How a fully recurrent network learns: by backpropagation through time, or by real-time "
        "recurrent learning (rtrl), which does not look back.",
        choices=("bptt", "rtrl"),
        scope="fully_recurrent",
        searchable=False,
    )
    teacher_forcing: bool = option(
        False,
        "Let each step of the training read the targets of the step before in place of the outputs "
        "of a fully recurrent network.",
        scope="fully_recurrent",
        searchable=False,
    )
    memory_slots: int = option(
        128,
        "Number of slots of the memory of a Neural Turing machine. It may be changed when a run is "
        "evaluated: no weight depends on it.",
        minimum=3,
        maximum=100_000,
        scope="ntm",
    )
    memory_width: int = option(
        20, "Numbers in each slot of the memory.", minimum=1, maximum=10_000, scope="ntm"
    )
    read_heads: int = option(
        1, "Number of heads that read the memory.", minimum=1, maximum=100, scope="ntm"
    )
    write_heads: int = option(
        1, "Number of heads that write into the memory.", minimum=1, maximum=100, scope="ntm"
    )
    controller: str = option(
        "lstm",
        "The network that moves the heads: an LSTM, or a layer without a state.",
        choices=("lstm", "feed_forward"),
        scope="ntm",
    )
    layers: int = option(
        1, "Number of recurrent layers on top of each other.", minimum=1, maximum=100
    )
    dropout: float = option(
        0.0,
        "Fraction of embeddings and of each recurrent layer's outputs dropped in training.",
        minimum=0,
        below=1,
    )
    tie_embeddings: bool = option(
        False,
        "Use the embedding's matrix in the head, too. Needs --embedding_size equal to --units.",
        scope="tokens",
        searchable=False,
    )
    embedding_size: int = option(
        0,
        "Size of the learned vector of a symbol; 0 means one-hot vectors.",
        minimum=0,
        scope="tokens",
    )
    recurrent_dropout: float = option(
        0.0,
        "Fraction of the hidden state dropped in training between two steps. The same units are "
        "dropped at all steps of a sequence. All gates share them, except in --model=lstm.",
        minimum=0,
        below=1,
    )
    head: str = option(
        "both",
        "Input of the head: both final states, the backward final state alone, or, as in some "
        "tutorials, both outputs at the last step, when the backward direction has read only that "
        "step.",
        choices=("both", "backward", "last"),
        scope="bidirectional",
    )
    head_init: str = option(
        "glorot",
        "Initial head weights: Glorot uniform with bias 0, or the TensorFlow 1 tutorials' "
        "N(0, 1) with bias 0.1.",
        choices=("glorot", "tutorial"),
    )
    weights_init: str = option(
        "keras",
        "Initial weights: keras, those of Keras's layers; small, as in Dive into Deep Learning: "
        "every matrix N(0, 0.01), every bias 0; or uniform, as in the LSTM paper: every weight and "
        "bias from -0.1 to 0.1.",
        choices=("keras", "small", "uniform"),
    )

    forget_bias: str | None = option(
        None,
        "Initial bias of the forget gate, in a GRU of the update gate, which has the same role. "
        "chrono draws it as log U(1, T - 1), where T is the number of steps, and starts the input "
        "gate at minus the forget gate's (default: that of the cell, 1 in an LSTM).",
        parse=parse_forget_bias,
        words=FORGET_BIAS,
        scope="forget_gate",
    )
    input_gate_bias: str | None = option(
        None,
        "Initial bias of the input gates: a number; or FIRST:LAST, such as -3:-6, from the first "
        "block to the last in equal steps (default: 0, or as --weights_init says).",
        parse=parse_bias_range,
        words=BIAS_RANGE,
        scope="lstm_1997",
        searchable=False,
    )

    dataset: str = option(
        "auto",
        "mnist, digits (embedded), any 28x28 grey TFDS name (fashion_mnist, emnist/letters), or "
        "auto: mnist where it is available, else digits; or a generated task with a long time lag: "
        "adding, multiplication, temporal_order, temporal_order_3, noisy_recall, "
        "noise_free_recall, two_sequences, reber, or first_row, which is made from the images of "
        "auto; or a stream: delayed_xor, blocks, random_blocks; or a task for a memory: copy, "
        "repeat_copy, associative_recall, ngram, priority_sort; or a text: "
        "time_machine, tiny_shakespeare, python_manual (embedded), or text, which is --text_file.",
        searchable=False,
    )
    length: int = option(
        100,
        "Number of steps of a sequence; first_row has 28 more, its digit. In delayed_xor it is the "
        "delay; in blocks and random_blocks, the steps of a block after its first; in copy, "
        "repeat_copy, associative_recall and priority_sort, the largest number of vectors or items "
        "that are given.",
        minimum=1,
        maximum=100_000,
        scope="generated",
        searchable=False,
    )
    min_length: int | None = option(
        None,
        "Smallest number of vectors or items of a sequence; --length is the largest (default: 1, "
        "or 2 items).",
        minimum=1,
        scope="lengths",
        searchable=False,
    )
    repeats: str = option(
        "1:10",
        "How many times repeat_copy asks for the vectors: a number, or the SMALLEST:LARGEST.",
        parse=parse_repeats,
        words=REPEATS,
        scope="repeat_copy",
        searchable=False,
    )
    curriculum: str | None = option(
        None,
        "Growing values of --length, such as 100,300,1000. The training is divided into as many "
        "equal parts, in whole epochs, and each part has one of them. The last one is --length, "
        "and is that of the sequences for validation and test (default: --length in all parts).",
        parse=parse_curriculum,
        words=CURRICULUM,
        scope="sequences",
        searchable=False,
    )
    train_size: int = option(
        10_000,
        "Number of sequences of an epoch; every epoch has new ones.",
        minimum=1,
        scope="generated",
        searchable=False,
    )
    data_dir: str | None = option(
        None, "Folder of the datasets that TFDS has prepared (default: TFDS's own).", location=True
    )
    mnist_dir: str | None = option(
        os.environ.get("MNIST_DIR") or None,
        "Folder with MNIST's four original .gz files. --dataset=mnist and auto then download "
        "nothing (default: the environment variable MNIST_DIR).",
        location=True,
    )
    text_file: str | None = option(
        None,
        "File of --dataset=text, or its folder with train.txt, valid.txt and test.txt; or a file "
        "of time_machine or tiny_shakespeare, which are otherwise downloaded.",
        scope="tokens",
        location=True,
    )
    clean: str = option(
        "none",
        "Changes of a text before it is read: none; or d2l, as in Dive into Deep Learning: lower "
        "case, a blank for characters that are not letters of the English alphabet, and lines "
        "joined without a separator (for words, the lines are kept).",
        choices=("none", "d2l"),
        scope="tokens",
        searchable=False,
    )
    tokens: str = option(
        "characters",
        "The symbols that a text is read in: characters, or words with white space between them "
        "and the word <eos> at the end of each line.",
        choices=("characters", "words"),
        scope="tokens",
        searchable=False,
    )
    vocabulary_size: int | None = option(
        None,
        "Number of symbols, with <unk>, which stands for all other symbols. The most frequent ones "
        "of the training part are taken (default: all of them).",
        minimum=2,
        scope="tokens",
        searchable=False,
    )
    steps_per_batch: int = option(
        100,
        "Number of steps that a batch reads of each of its --batch_size tracks of a stream, such "
        "as a text. The next batch goes on from there with the same state (truncated "
        "backpropagation through time).",
        minimum=1,
        scope="streams",
    )
    max_train_tokens: int | None = option(
        None,
        "Train only on so many symbols, the first ones (default: on all of the training part).",
        minimum=2,
        scope="tokens",
        searchable=False,
    )
    validation_size: int | None = option(
        None,
        "Number of training examples held out for validation; 0 trains on all (default: a twelfth, "
        "which is 5,000 of MNIST's 60,000). For a text, the number of characters or words before "
        "the last tenth, which is the test part (default: a tenth).",
        minimum=0,
        scope="stored",
        searchable=False,
    )
    scan: str = option(
        "rows",
        "Order of reading: 28 rows, 28 columns, row and column of the same number together, or 784 "
        "single pixels.",
        choices=("rows", "columns", "rows_and_columns", "pixels"),
        scope="images",
    )
    permute_seed: int | None = option(
        None,
        "Shuffle the 784 pixels by a fixed permutation with this seed (default: no permutation).",
        minimum=0,
        maximum=2**32 - 1,
        scope="images",
    )

    rotation: float = option(
        0.0,
        "Rotate training images by up to this many degrees.",
        minimum=0,
        maximum=180,
        scope="images",
    )
    shift: float = option(
        0.0,
        "Shift training images by up to this many pixels each way.",
        minimum=0,
        maximum=28,
        scope="images",
    )
    zoom: float = option(
        0.0,
        "Change each side of training images by up to this fraction.",
        minimum=0,
        below=1,
        scope="images",
    )
    shear: float = option(
        0.0,
        "Shear training images by up to this many pixels a row.",
        minimum=0,
        maximum=1,
        scope="images",
    )
    elastic: float = option(
        0.0,
        "Deform training images elastically, by this many pixels (standard deviation).",
        minimum=0,
        maximum=28,
        scope="images",
    )
    pixel_dropout: float = option(
        0.0,
        "Fraction of the pixels of each training image that are dropped.",
        minimum=0,
        below=1,
        scope="images",
    )
    row_dropout: float = option(
        0.0,
        "Fraction of the rows of each training image that are dropped.",
        minimum=0,
        below=1,
        scope="images",
    )

    epochs: int = option(
        10, "Number of passes over the training examples.", minimum=1, searchable=False
    )
    steps: int | None = option(
        None,
        "Stop after this many batches; replaces --epochs (default: no limit).",
        minimum=1,
        searchable=False,
    )
    batch_size: int = option(128, "Number of examples in a training step.", minimum=1)
    optimizer: str = option(
        "adam",
        "The optimizer.",
        choices=("adam", "adamw", "muon", "nadam", "rmsprop", "sgd"),
    )
    learning_rate: float = option(
        0.002,
        "Learning rate of the optimizer, before its schedule lowers it.",
        minimum=1e-12,
        maximum=1e3,
    )
    schedule: str = option(
        "cosine",
        "Learning rate over the run: constant; a half cosine down to 0; or plateau: a quarter of "
        "it after each epoch whose validation loss is not the lowest so far.",
        choices=("constant", "cosine", "plateau"),
    )
    warmup: float = option(
        0.0,
        "Fraction of the run, at its start, in which the learning rate rises from 0; its schedule "
        "follows.",
        minimum=0,
        below=1,
    )
    weight_decay: float | None = option(
        None,
        "Each step subtracts this fraction of each matrix, times the learning rate (default: the "
        "optimizer's own, which applies to biases too).",
        minimum=0,
        maximum=1e3,
    )
    clip_norm: float | None = option(
        None, "Clip gradients to this global norm (default: no clipping).", minimum=1e-12
    )
    label_smoothing: float = option(
        0.0,
        "Fraction of each label that is spread equally over all classes.",
        minimum=0,
        below=1,
        scope="class",
    )
    ema: float | None = option(
        None,
        "Momentum of an exponential moving average of the weights. Evaluations and the saved model "
        "use the average (default: no average).",
        minimum=0,
        below=1,
    )
    compute_dtype: str = option(
        "float32",
        "Precision in which the recurrent layers compute; their weights stay float32. bfloat16 is "
        "faster on processors with instructions for it.",
        choices=("float32", "bfloat16"),
    )
    early_stopping_patience: int | None = option(
        None,
        "Stop after this many epochs without a better validation loss and keep the best weights "
        "(default: train to the end).",
        minimum=1,
    )
    deterministic: bool | None = option(
        None,
        "Use only operations that give the same bits each time (default: true without a GPU, false "
        "with one).",
        searchable=False,
    )
    checkpoint_every: int | None = option(
        None,
        "Number of steps between checkpoints, in addition to one at the end of each epoch "
        "(default: only those).",
        minimum=1,
        searchable=False,
    )
    detect_anomaly: bool = option(
        False,
        "If the loss diverges, find the layer in which this began.",
        searchable=False,
    )
    seed: int = option(
        0,
        "Seed of the weights, the data order and dropout.",
        minimum=0,
        maximum=2**32 - 1,
        searchable=False,
    )
    log_every: int | None = option(
        None,
        "Print the score in training at intervals of this many steps, as the TensorFlow 1 "
        "tutorials did, instead of a progress bar (default: a progress bar).",
        minimum=1,
        searchable=False,
    )
    tensorboard: bool = option(
        False, "Write TensorBoard logs into the run folder.", searchable=False
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            wrong = problem(field, value) or scope_problem(field, self)
            if wrong:
                raise UserError(f"--{field.name}={value}: {wrong}")
        kind = kind_of(self.dataset)
        lengths = parse_curriculum(self.curriculum) if self.curriculum else (self.length,)
        if kind.generated and min(lengths) < kind.min_length:
            given = (
                f"--curriculum={self.curriculum}" if self.curriculum else f"--length={lengths[0]}"
            )
            raise UserError(
                f"{given}: --dataset={self.dataset} has sequences of {kind.min_length} steps or "
                f"more; expected at least {kind.min_length}"
            )
        if self.min_length is not None and not kind.min_length <= self.min_length <= min(lengths):
            raise UserError(
                f"--min_length={self.min_length}: expected at least {kind.min_length} and at most "
                f"--length={min(lengths)}"
            )
        if self.curriculum is not None and (
            wrong := curriculum_problem(self.curriculum, self.length)
        ):
            raise UserError(f"--curriculum={self.curriculum}: {wrong}")
        if self.early_stopping_patience and self.validation_size == 0:
            raise UserError(
                f"--early_stopping_patience={self.early_stopping_patience}: early stopping watches "
                "the validation loss, but --validation_size=0 leaves no validation examples; "
                "expected --validation_size=1 or more, or no --early_stopping_patience"
            )
        if self.schedule == "plateau" and self.validation_size == 0:
            raise UserError(
                "--schedule=plateau follows the validation loss, but --validation_size=0 leaves "
                "no validation examples; expected another --schedule, or no --validation_size"
            )
        if self.warmup and self.schedule != "cosine":
            raise UserError(
                f"--warmup={self.warmup}: --schedule={self.schedule} starts with its full rate; "
                "expected --schedule=cosine, or no --warmup"
            )
        if self.forget_bias == "chrono" and self.timesteps < 3:
            raise UserError(
                f"--forget_bias=chrono: --steps_per_batch={self.steps_per_batch} is too short for "
                "U(1, T - 1); expected --steps_per_batch=3 or more, or a number as --forget_bias"
            )
        if self.tie_embeddings and self.embedding_size != self.units:
            raise UserError(
                f"--tie_embeddings: --embedding_size={self.embedding_size} and "
                f"--units={self.units} differ, but the head multiplies the hidden state by the "
                f"embedding's matrix; expected --embedding_size={self.units}"
            )
        if kind_of(self.dataset).answers in EVERY_STEP and self.model.startswith("bidirectional"):
            raise UserError(
                f"--model={self.model}: a backward direction would read the symbols that "
                f"--dataset={self.dataset} asks for; expected a model of one direction, such as "
                f"--model={self.model.removeprefix('bidirectional_')}"
            )
        if self.model == "fully_recurrent":
            self._require_defaults(
                ("dropout", "tie_embeddings", "head_init"),
                "the outputs of a fully recurrent network are units",
                "another --model",
            )
        if self.teacher_forcing:
            self._require_defaults(
                ("layers",), "--teacher_forcing is for one layer", "no --teacher_forcing"
            )
            if (kind.reads, kind.answers in EVERY_STEP) != ("vectors", True):
                raise UserError(
                    f"--teacher_forcing: --dataset={self.dataset} has no vectors with targets at "
                    "every step; expected --dataset=delayed_xor or reber, or no --teacher_forcing"
                )
        if self.model == "history_compressor":
            self._require_defaults(
                ("layers", "dropout", "recurrent_dropout"),
                "a history compressor is one layer, without dropout",
                "another --model",
            )
            if self.dataset not in ("blocks", "random_blocks"):
                raise UserError(
                    f"--model=history_compressor: --dataset={self.dataset} is not a stream of "
                    "one-hot vectors; expected --dataset=blocks or random_blocks, or another "
                    "--model"
                )
        if self.gradient == "rtrl":
            self._require_defaults(
                ("layers", "embedding_size", "recurrent_dropout"),
                "--gradient=rtrl is for the weights of one layer, without dropout",
                "--gradient=bptt",
            )
        if self.units % self.block_size:
            raise UserError(
                f"--block_size={self.block_size}: --units={self.units} cannot be divided into "
                "blocks of that size; expected --units that are a multiple of --block_size"
            )

    def _require_defaults(self, names, reason, instead):
        """Raise a `UserError` if one of these fields has another value than its default."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in names and value != field.default:
                raise UserError(
                    f"--{field.name}={value}: {reason}; expected no --{field.name}, or {instead}"
                )

    @property
    def timesteps(self):
        """The number of steps in which a model reads an example; of a stream, a batch."""
        if kind_of(self.dataset).reads == "images":
            return 28 * 28 if self.scan == "pixels" else 28
        if kind_of(self.dataset).stream:
            return self.steps_per_batch
        return self.length + (28 if self.dataset == "first_row" else 0)

    def require_distortion(self, views):
        """Raise a `UserError` if training does not distort images: all views would be the same."""
        if not any((self.rotation, self.shift, self.zoom, self.shear, self.elastic)):
            raise UserError(
                f"--views={views}: the {self.model} was trained without distortion, so all "
                "views would be the same; expected --views=1, or a run that was trained with "
                "--rotation, --shift, --zoom, --shear or --elastic"
            )
