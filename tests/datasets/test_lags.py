"""The long-lag tasks, beside their definitions spelled out."""

import numpy as np
import pytest

from configs import Config, UserError
from configs.scopes import kind_of
from datasets import StreamSplit, lags, load
from tests.conftest import random_split

IMAGES = random_split(9, 3, seed=0).inputs.copy()
IMAGES[:, :4] = 0  # Digits do not begin in the first row.


def generate(task, length):
    images = {"images": IMAGES} if task == "first_row" else {}
    return getattr(lags, task)(length, 200, np.random.default_rng(1), **images)


@pytest.mark.parametrize("lag", [10, 37, 300])
@pytest.mark.parametrize(("task", "combine"), [("adding", np.add), ("multiplication", np.multiply)])
def test_the_two_numbers_that_are_marked_are_combined(task, combine, lag):
    sequences, targets = generate(task, lag)
    assert sequences.shape == (200, lag, 2)
    assert targets.shape == (200, 1)
    for (values, marks), (target,) in zip(sequences.swapaxes(1, 2), targets, strict=True):
        first, second = np.flatnonzero(marks)
        assert first < lag // 2 <= second
        assert target == pytest.approx(combine(values[first], values[second]))
    assert (sequences >= 0).all()
    assert (sequences <= 1).all()
    assert 0.4 < sequences[..., 0].mean() < 0.6


# The steps of a hundred in which a relevant symbol may be.
RELEVANT = {
    "temporal_order": [(10, 20), (50, 60)],
    "temporal_order_3": [(10, 20), (33, 43), (66, 76)],
}


@pytest.mark.parametrize("lag", [10, 37, 100, 300])
@pytest.mark.parametrize("task", RELEVANT)
def test_temporal_order_asks_for_the_symbols_that_mean_something_in_turn(task, lag):
    sequences, targets = generate(task, lag)
    assert sequences.shape == (200, lag, 8)
    assert (sequences.sum(axis=-1) == 1).all()
    for symbols, target in zip(sequences.argmax(axis=-1), targets, strict=True):
        assert (symbols[0], symbols[-1]) == (6, 7)
        assert set(symbols[1:-1]) <= {0, 1, 2, 3, 4, 5}
        steps = [step for step, symbol in enumerate(symbols) if symbol in (4, 5)]
        assert len(steps) == len(RELEVANT[task])
        if lag == 100:
            for step, (first, end) in zip(steps, RELEVANT[task], strict=True):
                assert first <= step < end
        assert f"{target:b}".zfill(len(steps)) == "".join(str(symbols[s] - 4) for s in steps)
    assert set(targets) == set(range(2 ** len(RELEVANT[task])))


@pytest.mark.parametrize("lag", [10, 37, 300])
def test_noisy_recall_asks_for_the_second_symbol(lag):
    sequences, targets = generate("noisy_recall", lag)
    e, b, x, y = 50, 51, 52, 53
    assert sequences.shape == (200, lag, 54)
    assert (sequences.sum(axis=-1) == 1).all()
    symbols = sequences.argmax(axis=-1)
    for sequence, target in zip(symbols, targets, strict=True):
        assert (sequence[0], sequence[-1]) == (b, e)
        assert sequence[1] == (x, y)[target]
        assert max(sequence[2:-1]) < 50
    assert set(symbols[:, 2:-1].flat) == set(range(50))
    assert set(targets) == {0, 1}


@pytest.mark.parametrize("lag", [10, 37, 120])
def test_noise_free_recall_asks_for_the_first_symbol_of_two_sequences(lag):
    sequences, targets = generate("noise_free_recall", lag)
    assert sequences.shape == (200, lag, 52)
    filler = (*range(50), *range(50), *range(50))[: lag - 1]
    for sequence, target in zip(sequences, targets, strict=True):
        assert (sequence.sum(axis=-1) == 1).all()
        assert tuple(sequence.argmax(axis=-1)) == ((50, 51)[target], *filler)
    assert set(targets) == {0, 1}


@pytest.mark.parametrize("lag", [10, 300])
def test_two_sequences_asks_for_the_sign_of_the_first_three_numbers(lag):
    sequences, targets = generate("two_sequences", lag)
    assert sequences.shape == (200, lag, 1)
    for sequence, target in zip(sequences[..., 0], targets, strict=True):
        assert tuple(sequence[:3]) == ((1, 1, 1), (-1, -1, -1))[target]
    noise = sequences[:, 3:]
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.var() == pytest.approx(0.2, rel=0.1)
    assert set(targets) == {0, 1}


def test_first_row_asks_for_the_row_that_came_first():
    sequences, targets = generate("first_row", 30)
    assert sequences.shape == (200, 58, 28)
    assert sequences[:, 0].max(axis=-1).min() > 0.5
    np.testing.assert_array_equal(targets, sequences[:, 0] > 0.5)
    assert not sequences[:, 28:].any()
    shown = {sequence[:20].tobytes() for sequence in sequences}
    assert shown <= {(image[4:24] / 255).astype("float32").tobytes() for image in IMAGES}


def test_delayed_xor_is_the_xor_of_the_bits_some_steps_before():
    for delay in (1, 3):
        sequences, answers = generate("delayed_xor", delay)
        assert sequences.shape == (200, delay + 100, 2)
        for bits, asked in zip(sequences[:20], answers[:20], strict=True):
            for step, (answer,) in enumerate(asked):
                one, other = bits[step - delay] if step >= delay else (None, None)
                assert answer == (-1 if one is None else float(one != other))


def test_the_question_at_the_end_of_a_block_is_its_first_symbol():
    for name, length in [("blocks", 20), ("random_blocks", 7)]:
        sequences, answers = generate(name, length)
        assert sequences.shape == (200, 11 * (length + 1), 52)
        symbols = sequences.argmax(axis=-1)
        for row, asked in zip(symbols, answers[..., 0], strict=True):
            for begin in range(0, len(row), length + 1):
                first, *others = row[begin : begin + length + 1]
                assert first in (50, 51)
                assert max(others) < 50
                if name == "blocks":
                    assert others == list(range(length))
                *before, answer = asked[begin : begin + length + 1]
                assert set(before) == {-1}
                assert answer == (first - 50 if begin else -1)
        assert 0.4 < np.mean(symbols[:, :: length + 1] == 50) < 0.6
    stream, asked = lags.blocks(20, 1, np.random.default_rng(0), steps=50)
    assert stream.shape == (1, 50, 52)
    assert np.flatnonzero(asked[0, :, 0] >= 0).tolist() == [41]


def test_the_training_of_delayed_xor_reads_one_stream():
    data = dataset("delayed_xor", length=2, steps_per_batch=4)
    stream = data.train
    assert (stream.carries_states, len(stream), len(stream.inputs)) == (True, 25, 100)
    one, other = (np.concatenate([stream.inputs, stream.targets], axis=1)[:, n] for n in (0, 1))
    np.testing.assert_array_equal(stream.targets[2:, 0], (one != other)[:-2])
    first, second = (
        next(stream.batches(5, seed=0, epoch=0, step=step).as_numpy_iterator()) for step in (0, 1)
    )
    assert first[0].shape == (5, 4, 2)
    assert first[1].shape == (5, 4, 1)
    # Two steps after the last of one batch, the next batch asks for it.
    np.testing.assert_array_equal(second[1][:, :2, 0], first[0][:, -2:, 0] != first[0][:, -2:, 1])


NAMES = list(lags._SPECS)
SETS = [name for name in NAMES if not kind_of(name).stream]


def dataset(name, **values):
    small = {"dataset": name, "length": 12, "train_size": 25, "mnist_dir": None}
    return lags.read(Config(**small | values), lambda: load(Config(dataset="digits")))


def batches(split, seed, epoch, step, count):
    taken = split.batches(10, seed, epoch, step).take(count).as_numpy_iterator()
    return [[array.tolist() for array in batch] for batch in taken]


@pytest.mark.parametrize("name", SETS)
def test_a_batch_depends_on_seed_epoch_and_step_alone(name):
    train = dataset(name).train
    all_of_it = batches(train, 3, 0, 0, 8)
    assert [len(targets) for _, targets in all_of_it] == [10, 10, 5, 10, 10, 5, 10, 10]
    for epoch, step in [(0, 2), (1, 0), (2, 1)]:
        rest = batches(train, 3, epoch, step, 8 - 3 * epoch - step)
        assert rest == all_of_it[3 * epoch + step :]
    assert all_of_it[0] != all_of_it[3]
    assert all_of_it[0] != batches(train, 4, 0, 0, 1)[0]


@pytest.mark.parametrize("name", NAMES)
def test_validation_and_test_sets_are_fixed_and_differ(name):
    size = 25 if kind_of(name).stream else 7  # A stream is the data, whole.
    one, other = dataset(name, seed=0), dataset(name, seed=1, train_size=size)
    for a, b in [(one.validation, other.validation), (one.test, other.test)]:
        np.testing.assert_array_equal(a.inputs, b.inputs)
        np.testing.assert_array_equal(a.targets, b.targets)
    assert (len(one.validation), len(one.test)) == (1000, 2560)
    assert not np.array_equal(one.validation.inputs, one.test.inputs[:1000])
    assert one.checksum() == other.checksum() != dataset(name, length=13).checksum()


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_describes_the_examples(name):
    data = dataset(name)
    assert data.spec.shape == (None, data.test.inputs.shape[-1])
    for inputs, targets in data.train.batches(10, 0).take(1).as_numpy_iterator():
        assert inputs.dtype == data.test.inputs.dtype
        assert inputs.dtype == (
            np.uint8 if name in ("noisy_recall", "noise_free_recall") else np.float32
        )
        first = 2 if kind_of(name).stream else 1  # The steps of a batch may be others.
        assert inputs.shape[first:] == data.test.inputs.shape[first:]
        assert targets.dtype == data.test.targets.dtype
        assert targets.shape[first:] == data.test.targets.shape[first:]


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ({"epochs": 3}, [10, 11, 12]),
        ({"epochs": 8}, [10, 10, 11, 11, 11, 12, 12, 12]),
        ({"steps": 16}, [10, 10, 11, 11, 12, 12]),  # An epoch has three steps.
    ],
)
@pytest.mark.parametrize("name", ["adding", "first_row"])
def test_a_curriculum_divides_the_epochs_into_equal_parts(name, epochs, expected):
    data = dataset(name, curriculum="10,11,12", batch_size=10, **epochs)
    blank = 28 if name == "first_row" else 0
    assert data.validation.inputs.shape[1] == data.test.inputs.shape[1] == 12 + blank
    assert data.checksum() == dataset(name).checksum()
    alone_of = {n: dataset(name, length=n).train for n in set(expected)}
    for epoch, length in enumerate(expected):
        for step in (0, 2):
            inputs, targets = next(data.train.batches(10, 3, epoch, step).as_numpy_iterator())
            same = alone_of[length].batches(10, 3, epoch, step)
            alone, alone_targets = next(same.as_numpy_iterator())
            assert inputs.shape[1] == length + blank
            np.testing.assert_array_equal(inputs, alone)
            np.testing.assert_array_equal(targets, alone_targets)
    changes = [e for e in range(1, len(expected)) if expected[e] != expected[e - 1]]
    assert data.train.shape_changes == tuple(changes)


def test_a_curriculum_that_is_longer_than_the_run_is_refused():
    with pytest.raises(
        UserError, match=r"--curriculum=10,11,12: the run has 2 epochs for 3 lengths; expected at"
    ):
        dataset("adding", curriculum="10,11,12", epochs=2)


@pytest.mark.parametrize(("name", "length"), [("delayed_xor", 3000), ("blocks", 30)])
def test_a_stream_that_asks_for_nothing_is_refused(name, length):
    with pytest.raises(
        UserError, match=rf"--length={length}: no answer is asked for in a stream of"
    ):
        dataset(name, length=length, steps_per_batch=1)


def test_a_vector_stream_is_told_apart_by_its_targets_and_a_text_by_its_symbols():
    inputs, targets = np.zeros((6, 2), np.float32), np.ones((6, 1), np.float32)
    assert [a.shape for a in StreamSplit(inputs, targets, 2).arrays()] == [(6, 2), (6, 1)]
    symbols = np.arange(7, dtype=np.int32)
    (found,) = StreamSplit.of_symbols(symbols, 2).arrays()
    np.testing.assert_array_equal(found, symbols)
