import dataclasses

import pytest

from configs import Config, UserError
from configs.option import value_type
from tuning.space import Choice, Range, parse_space, to_unit_interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate:1e-4..1e-2:log", Range("learning_rate", 1e-4, 1e-2, log=True)),
        ("dropout:0..0.5", Range("dropout", 0.0, 0.5)),
        ("units:8..64", Range("units", 8, 64)),
        ("units:32..128:32", Choice("units", (32, 64, 96, 128))),
        ("units:32..100:32", Choice("units", (32, 64, 96))),
        ("dropout:0..0.5:0.1", Choice("dropout", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5))),
        ("model:lstm|gru", Choice("model", ("lstm", "gru"))),
        ("clip_norm:0.1|1", Choice("clip_norm", (0.1, 1.0))),
    ],
)
def test_a_space_has_the_types_of_config_and_can_be_written_and_parsed_again(text, expected):
    (parameter,) = parse_space(text)
    assert parameter == expected
    assert parse_space(str(parameter)) == (expected,)
    if isinstance(expected, Range):
        assert type(parameter.low) is type(parameter.high) is type(expected.low)


def test_several_parameters_keep_their_order():
    space = parse_space("units:8|16, model:lstm|gru,dropout:0..0.5")
    assert [parameter.name for parameter in space] == ["units", "model", "dropout"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "NAME:A|B|C"),
        ("", "NAME:A|B|C"),
        ("units", "received 'units'"),
        ("units:", "NAME:LOW..HIGH"),
        (":8..64", "NAME:LOW..HIGH"),
        ("units:8..64,", "received ''"),
        ("unit:8..64", "did you mean units?"),
        ("learing_rate:1e-4..1e-2", "did you mean learning_rate?"),
        ("zzz:8..64", "python main.py --help"),
        ("units:64..8", "the range is empty"),
        ("units:8..8", "the range is empty"),
        ("units:8..", "received ''"),
        ("units:8..64..128", "NAME:LOW..HIGH"),
        ("units:8..64:log:4", "NAME:LOW..HIGH:log"),
        ("units:8.5..64", "received '8.5'; expected an integer"),
        ("units:8..64:2.5", "received '2.5'; expected an integer"),
        ("units:0..64", "'0' is not a value of units; expected an integer, at least 1"),
        ("units:8..64:100", "the step 100 makes 1 values"),
        ("units:8..64:0", "the step 0 makes 0 values"),
        ("units:8..64:-8", "the step -8 makes 0 values"),
        ("dropout:0..0.5:1e-6", "expected a step"),
        ("dropout:0..1", "'1' is not a value of dropout; expected a number, at least 0, below 1"),
        ("dropout:0..0.5:log", "not defined; expected a lower bound above 0"),
        ("learning_rate:nan..1", "received 'nan'; expected a number"),
        ("learning_rate:1e-4..inf", "received 'inf'"),
        ("learning_rate:1e-4..1e-2:lug", "received 'lug'"),
        ("model:lstm", "at least two choices"),
        ("model:lstm|lstm", "each choice once"),
        (
            "model:lstm|transformer",
            "'transformer' is not a value of model; expected one of basic_rnn",
        ),
        ("model:lstm..gru", "model is not a number; expected model:A|B|C"),
        ("model:lstm|gru:log", "NAME:A|B|C"),
        ("model:lsmt|gru", "did you mean lstm?"),
        ("units:8|16,units:32|64", "units comes twice"),
        ("dataset:mnist|digits", "dataset is the same for all trials; expected"),
        ("seed:0..9", "--executions_per_trial"),
        ("epochs:1..9", "epochs is the same for all trials"),
    ],
)
def test_an_error_in_a_space_says_what_is_expected(text, expected):
    with pytest.raises(UserError) as error:
        parse_space(text)
    assert expected in str(error.value)
    assert "expected" in str(error.value)
    assert "\n" not in str(error.value)


def test_booleans_cannot_be_searched_since_keras_tuner_would_draw_1_and_0():
    names = [field.name for field in dataclasses.fields(Config) if value_type(field) is bool]
    assert "deterministic" in names
    for name in names:
        with pytest.raises(UserError, match=f"{name} is the same for all trials; expected"):
            parse_space(f"{name}:true|false")


def test_values_map_to_the_unit_interval_on_the_scale_of_their_parameter():
    assert to_unit_interval(Range("learning_rate", 1e-4, 1e-2, log=True), 1e-3) == pytest.approx(
        0.5
    )
    assert to_unit_interval(Range("dropout", 0.1, 0.5), 0.2) == pytest.approx(0.25)
    assert to_unit_interval(Choice("model", ("a", "b", "c")), "b") == 0.5


def test_a_number_is_clipped_to_a_value_of_the_range():
    units = Range("units", 8, 64, log=True)
    assert [units.clip(n) for n in (65, 7.0, 9)] == [64, 8, 9]
    assert type(units.clip(9.0)) is int
