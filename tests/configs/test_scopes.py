import dataclasses

import pytest
from absl import flags

from configs import Config, UserError, define_flags, format_flags, names_of, read_flags
from configs.scopes import SCOPES, kind_of

OF_IMAGES = (
    *("scan", "permute_seed", "rotation", "shift", "zoom", "shear", "elastic"),
    *("pixel_dropout", "row_dropout"),
)
OF_TEXTS = (
    *("tie_embeddings", "embedding_size", "text_file", "clean", "tokens", "vocabulary_size"),
    "max_train_tokens",
)
GENERATED = (
    *("adding", "multiplication", "temporal_order", "temporal_order_3", "noisy_recall"),
    *("noise_free_recall", "two_sequences", "reber", "delayed_xor", "blocks", "random_blocks"),
    *("first_row", "copy", "repeat_copy", "associative_recall", "ngram", "priority_sort"),
)


def test_each_field_has_its_scope():
    assert names_of(scope="images") == OF_IMAGES
    assert names_of(scope="tokens") == OF_TEXTS
    assert names_of(scope="streams") == ("steps_per_batch",)
    assert names_of(scope="generated") == ("length", "train_size")
    assert names_of(scope="sequences") == ("curriculum",)
    assert names_of(scope="lengths") == ("min_length",)
    assert names_of(scope="ntm") == (
        *("memory_slots", "memory_width", "read_heads", "write_heads", "controller"),
    )
    assert names_of(scope="repeat_copy") == ("repeats",)
    assert names_of(scope="fully_recurrent") == ("gradient", "teacher_forcing")
    assert names_of(scope="stored") == ("validation_size",)
    assert names_of(scope="class") == ("label_smoothing",)
    assert names_of(scope="bidirectional") == ("head",)
    assert names_of(scope="forget_gate") == ("forget_bias",)
    assert names_of(scope="lstm_1997") == (
        *("block_size", "truncated_gradient", "input_gate_bias"),
    )
    assert {field.metadata["scope"] for field in dataclasses.fields(Config)} <= {None, *SCOPES}


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("auto", ("images", "class", False, False)),
        ("digits", ("images", "class", False, False)),
        ("emnist/letters", ("images", "class", False, False)),
        ("adding", ("vectors", "number", True, False)),
        ("multiplication", ("vectors", "number", True, False)),
        ("temporal_order", ("vectors", "class", True, False)),
        ("temporal_order_3", ("vectors", "class", True, False)),
        ("noisy_recall", ("vectors", "class", True, False)),
        ("noise_free_recall", ("vectors", "class", True, False)),
        ("two_sequences", ("vectors", "class", True, False)),
        ("reber", ("vectors", "next_symbols", True, False)),
        ("delayed_xor", ("vectors", "step_bits", True, True)),
        ("blocks", ("vectors", "step_bits", True, True)),
        ("random_blocks", ("vectors", "step_bits", True, True)),
        ("first_row", ("vectors", "bits", True, False)),
        ("copy", ("vectors", "step_bits", True, False)),
        ("repeat_copy", ("vectors", "step_bits", True, False)),
        ("associative_recall", ("vectors", "step_bits", True, False)),
        ("ngram", ("vectors", "step_bits", True, False)),
        ("priority_sort", ("vectors", "step_bits", True, False)),
        ("time_machine", ("tokens", "next_token", False, True)),
        ("tiny_shakespeare", ("tokens", "next_token", False, True)),
        ("python_manual", ("tokens", "next_token", False, True)),
        ("text", ("tokens", "next_token", False, True)),
    ],
)
def test_the_kind_of_a_dataset_is_known_by_its_name(dataset, kind):
    assert kind_of(dataset)[:4] == kind


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"rotation": 10.0, "dataset": "adding"},
            "--rotation=10.0: --dataset=adding does not read images; expected a dataset of images, "
            "such as --dataset=mnist, or no --rotation",
        ),
        (
            {"tokens": "words", "dataset": "mnist"},
            "--tokens=words: --dataset=mnist does not read text; expected a dataset of text, such "
            "as --dataset=time_machine, or no --tokens",
        ),
        (
            {"validation_size": 0, "dataset": "first_row"},
            "--validation_size=0: --dataset=first_row is generated; expected a dataset that is not "
            "generated, such as --dataset=mnist, or no --validation_size",
        ),
        (
            {"label_smoothing": 0.1, "dataset": "adding"},
            "--label_smoothing=0.1: --dataset=adding does not answer with a class; expected a "
            "dataset whose answer is a class, such as --dataset=mnist, or no --label_smoothing",
        ),
        (
            {"head": "last", "model": "lstm_1997"},
            "--head=last: --model=lstm_1997 has one direction; expected a bidirectional model, "
            "such as --model=bidirectional_lstm, or no --head",
        ),
        (
            {"block_size": 2, "model": "bidirectional_lstm"},
            "--block_size=2: --model=bidirectional_lstm has no blocks; expected a model of "
            "lstm_1997 cells, such as --model=lstm_1997, or no --block_size",
        ),
    ],
)
def test_a_value_outside_its_scope_is_refused(values, message):
    with pytest.raises(UserError) as error:
        Config(**values)
    assert str(error.value) == message


@pytest.mark.parametrize("name", SCOPES)
def test_the_example_of_a_scope_is_in_it_and_a_valid_value(name):
    scope = SCOPES[name]
    assert scope.contains(scope.example)
    assert not all(scope.contains(other) for other in (*GENERATED, "mnist"))
    Config(**{scope.flag: scope.example})


def test_values_within_their_scopes_are_accepted():
    Config(dataset="temporal_order", label_smoothing=0.1)
    Config(dataset="text", tokens="words", clean="d2l", validation_size=0, steps_per_batch=35)
    Config(dataset="auto", rotation=10, validation_size=0, label_smoothing=0.1)
    Config(model="bidirectional_lstm_1997", block_size=4, head="backward")


@pytest.mark.parametrize("dataset", GENERATED)
def test_a_location_from_the_environment_is_never_refused(dataset, tmp_path):
    config = Config(dataset=dataset, mnist_dir="elsewhere", data_dir="somewhere")
    (tmp_path / "flags.txt").write_text(format_flags(config))
    assert read_flags(tmp_path / "flags.txt") == config


def test_a_flag_file_has_only_the_fields_that_apply():
    def written(**values):
        return {line[2:].partition("=")[0] for line in format_flags(Config(**values)).splitlines()}

    assert not written(dataset="adding") & {*OF_IMAGES, "label_smoothing", "head", "block_size"}
    assert written(dataset="mnist") >= {"scan", "rotation", "label_smoothing"}
    both = written(model="bidirectional_lstm_1997", dataset="temporal_order")
    assert both >= {"head", "block_size", "label_smoothing"}


def test_a_flag_file_that_has_the_defaults_of_fields_that_do_not_apply_is_read(tmp_path):
    config = Config(model="gru", dataset="adding", units=7)
    lines = [f"--{name}={v}\n" for name, v in dataclasses.asdict(config).items() if v is not None]
    (tmp_path / "flags.txt").write_text("".join(lines))
    assert "--rotation=0.0\n" in lines
    assert "--block_size=1\n" in lines
    assert read_flags(tmp_path / "flags.txt") == config


def test_the_help_of_a_flag_ends_with_its_scope():
    values = flags.FlagValues()
    define_flags(values)
    assert values["rotation"].help.endswith(". Only for a dataset of images.")
    assert values["head"].help.endswith(". Only for a bidirectional model.")
    assert values["mnist_dir"].help.endswith("Expects a path.")
    assert values["units"].help.endswith("at least 1.")


def test_names_are_listed_by_the_options_of_their_fields():
    assert names_of() == tuple(field.name for field in dataclasses.fields(Config))
    assert names_of(location=True) == ("data_dir", "mnist_dir", "text_file")
    assert names_of(searchable=False) == (
        *(
            "truncated_gradient",
            "gradient",
            "teacher_forcing",
            "tie_embeddings",
            "input_gate_bias",
            "dataset",
            "length",
            "min_length",
            "repeats",
            "curriculum",
            "train_size",
            "data_dir",
            "mnist_dir",
            "text_file",
            "clean",
        ),
        *("tokens", "vocabulary_size", "max_train_tokens", "validation_size"),
        *("epochs", "steps", "deterministic", "checkpoint_every", "detect_anomaly", "seed"),
        *("log_every", "tensorboard"),
    )
