"""The tasks for networks with a memory, each solved by a program that reads only the inputs."""

import itertools

import numpy as np
import pytest

from configs import Config, UserError
from datasets import lags, memory


def draw(generate, length, examples=200, **options):
    return generate(length, examples, np.random.default_rng(3), **options)


def solve_copy(sequence, targets):
    (end,) = np.flatnonzero(sequence[:, 8])
    assert not sequence[end + 1 :].any()
    answers = np.full_like(targets, -1)
    answers[end + 1 : 2 * end + 1] = sequence[:end, :8]
    return answers, end


@pytest.mark.parametrize("min_length", [1, 4, 7])
def test_the_answers_of_copy_are_the_vectors_before_the_mark(min_length):
    sequences, targets = draw(memory.copy, 7, min_length=min_length)
    assert (sequences.shape, targets.shape) == ((200, 15, 9), (200, 15, 8))
    counts = set()
    for sequence, target in zip(sequences, targets, strict=True):
        answers, count = solve_copy(sequence, target)
        np.testing.assert_array_equal(target, answers)
        counts.add(int(count))
    assert counts == set(range(min_length, 8))
    assert 0.45 < targets[targets >= 0].mean() < 0.55


def test_the_answers_of_repeat_copy_are_the_vectors_so_many_times_and_an_end_mark():
    sequences, targets = draw(memory.repeat_copy, 4, repeats=(2, 3))
    assert (sequences.shape, targets.shape) == ((200, 18, 10), (200, 18, 9))
    seen = set()
    for sequence, target in zip(sequences, targets, strict=True):
        (mark,) = np.flatnonzero(sequence[:, 8])
        times = round(float(sequence[mark, 9]) * np.std(range(1, 11)) + np.mean(range(1, 11)))
        assert not sequence[mark + 1 :].any()
        vectors = [[*row[:8], 0] for row in sequence[:mark]] * times
        expected = np.full_like(target, -1)
        expected[mark + 1 : mark + 2 + len(vectors)] = [*vectors, [0] * 8 + [1]]
        np.testing.assert_array_equal(target, expected)
        seen.add((int(mark), times))
    assert seen == {(count, times) for count in range(1, 5) for times in (2, 3)}


def test_the_answer_of_associative_recall_is_the_item_after_the_one_that_is_shown_again():
    sequences, targets = draw(memory.associative_recall, 5)
    assert (sequences.shape, targets.shape) == ((200, 28, 8), (200, 28, 6))
    counts = set()
    for sequence, target in zip(sequences, targets, strict=True):
        begins, (query, end) = (np.flatnonzero(sequence[:, 6 + mark]) for mark in (0, 1))
        items = [sequence[begin + 1 : begin + 4, :6].tolist() for begin in begins]
        asked = sequence[query + 1 : end, :6].tolist()
        assert not sequence[end + 1 :].any()
        following = [b for a, b in itertools.pairwise(items) if a == asked]
        assert target[end + 1 : end + 4].tolist() in following
        assert (np.delete(target, range(end + 1, end + 4), axis=0) == -1).all()
        counts.add(len(items))
    assert counts == {2, 3, 4, 5}


def test_a_bit_of_ngram_depends_on_the_five_before():
    sequences, targets = draw(memory.ngram, 2000, examples=20)
    assert (sequences.shape, targets.shape) == ((20, 2000, 1), (20, 2000, 1))
    assert (targets[:, :4] == -1).all()
    np.testing.assert_array_equal(targets[:, 4:-1], sequences[:, 5:])
    shares = []  # Of ones after the same five bits, in both halves of a sequence.
    for sequence, target in zip(sequences[..., 0], targets[..., 0], strict=True):
        after = {}
        for step in range(4, 2000):
            after.setdefault(tuple(sequence[step - 4 : step + 1]), []).append(target[step])
        halves = [np.array_split(bits, 2) for bits in after.values() if len(bits) > 80]
        shares += [[np.mean(half) for half in pair] for pair in halves]
    assert len(shares) > 50
    assert np.corrcoef(np.transpose(shares))[0, 1] > 0.95


def test_the_best_prediction_of_ngram_counts_what_came_after_the_same_five_bits():
    sequences, targets = draw(memory.ngram, 60, examples=4)
    best = memory.optimal_probabilities(sequences)
    assert best.shape == (4, 60, 1)
    for sequence, of_sequence in zip(sequences[..., 0], best[..., 0], strict=True):
        for step in range(60):
            context = tuple(sequence[max(0, step - 4) : step + 1])
            before = [
                sequence[n] for n in range(5, step + 1) if tuple(sequence[n - 5 : n]) == context
            ]
            ones = sum(before)
            expected = (ones + 0.5) / (len(before) + 1) if step >= 4 else 0.5
            np.testing.assert_allclose(of_sequence[step], expected)
    asked = targets >= 0
    likelihood = np.where(targets == 1, best, 1 - best)[asked]
    assert -np.log2(likelihood).mean() < 1  # Better than a guess.


@pytest.mark.parametrize(("length", "asked"), [(20, 16), (7, 5)])
def test_the_answers_of_priority_sort_are_the_vectors_by_priority(length, asked):
    sequences, targets = draw(memory.priority_sort, length)
    assert sequences.shape == (200, length + 1 + asked, 10)
    for sequence, target in zip(sequences, targets, strict=True):
        assert np.flatnonzero(sequence[:, 9]).tolist() == [length]
        assert not sequence[length + 1 :].any()
        assert np.abs(sequence[:length, 8]).max() <= 1
        rows = sorted(sequence[:length].tolist(), key=lambda row: -row[8])
        np.testing.assert_array_equal(target[length + 1 :], [row[:8] for row in rows[:asked]])
        assert (target[: length + 1] == -1).all()


def test_the_flags_set_the_smallest_length_and_the_repeats():
    config = Config(dataset="repeat_copy", length=3, min_length=3, repeats="2", train_size=20)
    data = lags.read(config, None)
    assert data.test.inputs.shape == (2560, 3 * 3 + 2, 10)
    assert (data.test.inputs[:, 3, 8] == 1).all()  # All have three vectors.
    assert ((data.test.targets[..., 0] >= 0).sum(axis=1) == 2 * 3 + 1).all()
    inputs, _ = next(data.train.batches(5, seed=0).as_numpy_iterator())
    assert (inputs[:, 3, 8] == 1).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "copy", "length": 5, "min_length": 6}, "--min_length=6: .*--length=5"),
        ({"dataset": "copy", "repeats": "2"}, "--repeats=2: --dataset=copy .*repeat_copy"),
        ({"dataset": "adding", "min_length": 5}, "--min_length=5: --dataset=adding"),
        ({"dataset": "repeat_copy", "repeats": "3:2"}, "--repeats=3:2: expected "),
        ({"dataset": "repeat_copy", "repeats": "0"}, "--repeats=0: expected "),
        ({"dataset": "associative_recall", "length": 1}, "--length=1: .* at least 2"),
        ({"dataset": "associative_recall", "length": 5, "min_length": 1}, "at least 2"),
        ({"dataset": "ngram", "length": 4}, "--length=4: .* at least 5"),
    ],
)
def test_what_a_task_cannot_have_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        Config(**values)
