"""An n-gram model with Witten–Bell smoothing: the baseline of language models."""

import collections
import math


def cross_entropy(train, test, order, size):
    """The mean cross-entropy of a test text in nats, by an n-gram model of a training text.

    The probability of a symbol w after a history h is interpolated with the one after h', which
    is h without its first symbol. c counts sequences in the training text, and t(h) is the number
    of different symbols after h:

        p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h))

    and p(w) = 1 / size below single symbols. Source: I. Witten and T. Bell, The Zero-Frequency
    Problem, 1991, https://doi.org/10.1109/18.87000, interpolated.

    Args:
        train, test: Sequences of symbols. The first symbol of the test is not predicted.
        order: The n of the n-grams.
        size: The number of symbols.
    """
    train, test = list(map(int, train)), list(map(int, test))
    followers = [collections.defaultdict(collections.Counter) for _ in range(order)]
    for n, counts in enumerate(followers):
        for end in range(n, len(train)):
            counts[tuple(train[end - n : end])][train[end]] += 1
    nats = 0.0
    for end in range(1, len(test)):
        probability = 1 / size
        for n in range(min(order, end + 1)):
            counts = followers[n].get(tuple(test[end - n : end]))
            if counts is None:  # No longer history was seen either.
                break
            kinds = len(counts)
            probability = (counts[test[end]] + kinds * probability) / (counts.total() + kinds)
        nats -= math.log(probability)
    return nats / (len(test) - 1)
