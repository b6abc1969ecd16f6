"""Scopes: the datasets or the models to which a field of `Config` applies."""

import collections
import dataclasses
from collections.abc import Callable

from configs.cells import FORGET_GATES

# The content of an example, the kind of its answer, whether a program generates it, whether it is
# one long stream that is read in parts, and the smallest `--length`.
Kind = collections.namedtuple(
    "Kind", "reads answers generated stream min_length", defaults=[False, 10]
)

EVERY_STEP = ("step_bits", "next_symbols", "next_token")  # The kinds of answers at every step.

_KINDS = {
    **{
        name: Kind("vectors", "number", generated=True, min_length=2)
        for name in ("adding", "multiplication")
    },
    **{
        name: Kind("vectors", "class", generated=True)
        for name in ("temporal_order", "temporal_order_3")
    },
    **{
        name: Kind("vectors", "class", generated=True, min_length=4)
        for name in ("noisy_recall", "noise_free_recall", "two_sequences")
    },
    "reber": Kind("vectors", "next_symbols", generated=True, min_length=8),
    **{
        name: Kind("vectors", "step_bits", generated=True, stream=True, min_length=1)
        for name in ("delayed_xor", "blocks", "random_blocks")
    },
    "first_row": Kind("vectors", "bits", generated=True, min_length=1),
    "copy": Kind("vectors", "step_bits", generated=True, min_length=1),
    "repeat_copy": Kind("vectors", "step_bits", generated=True, min_length=1),
    "associative_recall": Kind("vectors", "step_bits", generated=True, min_length=2),
    "ngram": Kind("vectors", "step_bits", generated=True, min_length=5),
    "priority_sort": Kind("vectors", "step_bits", generated=True, min_length=2),
    **{
        name: Kind("tokens", "next_token", generated=False, stream=True)
        for name in ("time_machine", "tiny_shakespeare", "python_manual", "text")
    },
}


def kind_of(dataset):
    """Return the `Kind` of a dataset, given its name.

    Names that are not in the table above, which include all of TFDS's, are sets of images.
    """
    return _KINDS.get(dataset, Kind("images", "class", generated=False))


@dataclasses.dataclass(frozen=True)
class Scope:
    """A condition on one flag, `--dataset` or `--model`, under which a field of `Config` applies.

    Attributes:
        flag: The name of that flag.
        contains: A function of the flag's value: whether the field applies.
        words: A noun phrase for the values in the scope.
        otherwise: A verb phrase for any other value.
        example: A value in the scope.
    """

    flag: str
    contains: Callable
    words: str
    otherwise: str
    example: str


SCOPES = {
    "images": Scope(
        "dataset",
        lambda name: kind_of(name).reads == "images",
        "a dataset of images",
        "does not read images",
        "mnist",
    ),
    "tokens": Scope(
        "dataset",
        lambda name: kind_of(name).reads == "tokens",
        "a dataset of text",
        "does not read text",
        "time_machine",
    ),
    "streams": Scope(
        "dataset",
        lambda name: kind_of(name).stream,
        "a dataset that is one long stream",
        "is a set of examples",
        "time_machine",
    ),
    "stored": Scope(
        "dataset",
        lambda name: not kind_of(name).generated,
        "a dataset that is not generated",
        "is generated",
        "mnist",
    ),
    "generated": Scope(
        "dataset",
        lambda name: kind_of(name).generated,
        "a generated dataset",
        "is not generated",
        "adding",
    ),
    "sequences": Scope(
        "dataset",
        lambda name: kind_of(name).generated and not kind_of(name).stream,
        "a generated dataset of many sequences",
        "is not a set of generated sequences",
        "adding",
    ),
    "lengths": Scope(
        "dataset",
        lambda name: name in ("copy", "repeat_copy", "associative_recall"),
        "a dataset of sequences of several lengths",
        "has sequences of one length",
        "copy",
    ),
    "repeat_copy": Scope(
        "dataset",
        lambda name: name == "repeat_copy",
        "the dataset repeat_copy",
        "does not repeat its answers",
        "repeat_copy",
    ),
    "class": Scope(
        "dataset",
        lambda name: kind_of(name).answers == "class",
        "a dataset whose answer is a class",
        "does not answer with a class",
        "mnist",
    ),
    "bidirectional": Scope(
        "model",
        lambda name: name.startswith("bidirectional_"),
        "a bidirectional model",
        "has one direction",
        "bidirectional_lstm",
    ),
    "forget_gate": Scope(
        "model",
        lambda name: name.removeprefix("bidirectional_") in FORGET_GATES,
        "a model with a forget gate",
        "has no forget gate with a bias",
        "lstm",
    ),
    "fully_recurrent": Scope(
        "model",
        lambda name: name == "fully_recurrent",
        "a fully recurrent network",
        "is not a fully recurrent network",
        "fully_recurrent",
    ),
    "ntm": Scope(
        "model",
        lambda name: name == "ntm",
        "a Neural Turing machine",
        "has no memory of slots",
        "ntm",
    ),
    "lstm_1997": Scope(
        "model",
        lambda name: name.endswith("lstm_1997"),
        "a model of lstm_1997 cells",
        "has no blocks",
        "lstm_1997",
    ),
}


def applies(field, config):
    """Return whether a field of `Config` applies to the dataset and the model of a `Config`."""
    scope = _scope_of(field)
    return scope is None or scope.contains(getattr(config, scope.flag))


def scope_problem(field, config):
    """Describe why the value of a field in a `Config` does not apply, or return `None`.

    The default is accepted everywhere: it stands for "not given".
    """
    if applies(field, config) or getattr(config, field.name) == field.default:
        return None
    scope = _scope_of(field)
    return (
        f"--{scope.flag}={getattr(config, scope.flag)} {scope.otherwise}; expected {scope.words}, "
        f"such as --{scope.flag}={scope.example}, or no --{field.name}"
    )


def scope_help(field):
    """Return the last sentence of a field's help, `Only for ...`; an empty text without a scope."""
    scope = _scope_of(field)
    return f"Only for {scope.words}." if scope else ""


def _scope_of(field):
    name = field.metadata["scope"]
    return SCOPES[name] if name else None
