import dataclasses
import math

import pytest
from absl import flags

from configs import (
    Config,
    UserError,
    config_from_flags,
    define_flags,
    format_flags,
    override,
    read_flags,
)
from configs.flags import flag_problem
from configs.option import value_type
from configs.scopes import applies


def a_value_unlike_the_default(field):
    choices = field.metadata["choices"]
    if choices:
        return next(choice for choice in choices if choice != field.default)
    if value_type(field) is bool:
        return not field.default
    return {
        "units": 10,
        "block_size": 5,
        "forget_bias": "chrono",
        "input_gate_bias": "-3:-6",
        "layers": 3,
        "dropout": 0.25,
        "recurrent_dropout": 0.5,
        "dataset": "emnist/letters",
        "length": 200,
        "curriculum": "50,200",
        "train_size": 19,
        "data_dir": "somewhere",
        "mnist_dir": "elsewhere",
        "text_file": "some/text.txt",
        "vocabulary_size": 50,
        "steps_per_batch": 35,
        "embedding_size": 10,
        "max_train_tokens": 99,
        "validation_size": 17,
        "permute_seed": 11,
        "rotation": 10.0,
        "shift": 2.0,
        "zoom": 0.1,
        "shear": 0.2,
        "elastic": 0.7,
        "pixel_dropout": 0.3,
        "row_dropout": 0.4,
        "epochs": 2,
        "steps": 781,
        "batch_size": 64,
        "learning_rate": 1e-5,
        "warmup": 0.05,
        "weight_decay": 0.01,
        "clip_norm": 0.5,
        "label_smoothing": 0.02,
        "ema": 0.999,
        "checkpoint_every": 100,
        "early_stopping_patience": 4,
        "seed": 4294967295,
        "log_every": 20,
    }[field.name]


@pytest.mark.parametrize(
    "dataset", ["emnist/letters", "adding", "temporal_order", "first_row", "text"]
)
@pytest.mark.parametrize("either", [{"warmup": 0.0}, {"schedule": "cosine"}])
def test_a_saved_config_read_back_is_the_same_in_every_field(either, dataset, tmp_path):
    needed = {"model": "bidirectional_lstm_1997", "dataset": dataset}
    if dataset == "text":  # A text is read in one direction.
        needed["model"] = "lstm_1997"
    fields = [f for f in dataclasses.fields(Config) if applies(f, Config(**needed))]
    values = {field.name: a_value_unlike_the_default(field) for field in fields}
    config = Config(**values | needed | either)
    (tmp_path / "flags.txt").write_text("# a comment\n" + format_flags(config))
    assert read_flags(tmp_path / "flags.txt") == config
    assert config != Config()


def test_defaults_are_read_back_too_and_none_is_not_written(tmp_path):
    (tmp_path / "flags.txt").write_text(format_flags(Config()))
    assert read_flags(tmp_path / "flags.txt") == Config()
    assert "clip_norm" not in format_flags(Config())


@pytest.fixture
def flag_values():
    """Flags as if `--units=128 --dataset=kmnist` had been given."""
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    flag_values(["", "--units=128", "--dataset=kmnist"])
    return flag_values


def test_flags_become_a_config(flag_values):
    assert config_from_flags(flag_values) == Config(units=128, dataset="kmnist")


def test_only_flags_given_explicitly_override(flag_values):
    config = override(Config(units=64, layers=2), ("dataset", "units"), flag_values)
    assert config == Config(units=128, layers=2, dataset="kmnist")


def test_a_flag_that_may_not_be_overridden_is_refused(flag_values):
    with pytest.raises(
        UserError, match=r"--units=128: the run was begun with --units=64, .* --units=64 or no"
    ):
        override(Config(units=64), ("dataset",), flag_values)


def test_a_flag_with_the_value_of_the_run_is_accepted(flag_values):
    kmnist = Config(units=128, dataset="kmnist")
    assert override(kmnist, (), flag_values) == kmnist
    flag_values(["", "--dataset=auto"])  # The run has the name of the dataset that auto chose.
    assert override(kmnist, (), flag_values) == kmnist


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "transformer"),
        ("units", 0),
        ("units", -3),
        ("units", 2.5),
        ("units", True),
        ("layers", 0),
        ("layers", 101),  # Keras takes minutes to build so many, and then fails.
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", math.nan),
        ("recurrent_dropout", 1.0),
        ("block_size", 0),
        ("scan", "diagonal"),
        ("permute_seed", -1),
        ("validation_size", -1),
        ("vocabulary_size", 1),
        ("steps_per_batch", 0),
        ("tokens", "bytes"),
        ("clean", "all"),
        ("epochs", 0),
        ("steps", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.inf),
        ("learning_rate", math.nan),
        ("clip_norm", 0.0),
        ("optimizer", "adm"),
        ("seed", 2**32),
        ("early_stopping_patience", 0),
        ("log_every", 0),
        ("units", None),
        ("rotation", 181),
        ("zoom", 1.0),
        ("ema", 1.0),
        ("warmup", 1.0),
        ("label_smoothing", -0.1),
        ("checkpoint_every", 0),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_was_given_and_expected(name, value):
    with pytest.raises(UserError, match="expected") as error:
        Config(**{name: value})
    assert f"--{name}={value}" in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"early_stopping_patience": 3, "validation_size": 0},
        {"block_size": 3, "model": "lstm_1997", "units": 8},
        {"warmup": 0.1, "schedule": "constant"},
    ],
)
def test_values_that_contradict_each_other_are_refused(values):
    with pytest.raises(UserError, match="expected"):
        Config(**values)


@pytest.mark.parametrize(
    "content",
    [b"--unknown=1", b"--units=many", b"--units=-1", b"", b"--model=lstm"],
)
def test_a_damaged_flag_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "flags.txt").write_bytes(content)
    with pytest.raises(UserError, match=f"^{tmp_path}/flags.txt: .*expected"):
        read_flags(tmp_path / "flags.txt", required=("model", "dataset"))


def test_old_names_are_read_from_a_flag_file_and_refused_on_the_command_line(tmp_path, flag_values):
    path = tmp_path / "flags.txt"
    path.write_text(
        "--model=bidirectional_gru\n--read_out=backward\n--read_out_init=tutorial\n--dataset=mnist\n"
    )
    config = read_flags(path)
    assert (config.head, config.head_init) == ("backward", "tutorial")
    with pytest.raises(flags.UnrecognizedFlagError) as error:
        flag_values(["", "--read_out=last"])
    assert flag_problem(error.value) == "--read_out has a new name; expected --head"
