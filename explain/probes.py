"""Linear classifiers of the hidden state after each step, and the units that they use.

Source: G. Alain and Y. Bengio, Understanding Intermediate Layers Using Linear Classifier Probes,
2016, https://arxiv.org/abs/1610.01644.
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from explain.style import draw_by_class


def probe(hidden, labels):
    """Train a linear classifier of the hidden state for each step.

    Args:
        hidden: `(N, steps, units)`. In each class, every other example is used for training and the
            rest for testing.
        labels: The right classes, `(N,)`.

    Returns:
        classes: The classes with more than one example.
        scores: `(classes, steps)`, the F1 score of each class: the harmonic mean of precision and
            recall. A constant answer has a recall of 1 but a low precision.
        weights: `(classes, units)`, the change of a class's logit, in nats, if a unit is one
            standard deviation higher after the last step.

        All are empty if fewer than two classes have more than one example.
    """
    classes, counts = np.unique(labels, return_counts=True)
    classes, scores = classes[counts > 1], []
    if len(classes) < 2:
        return classes[:0], np.zeros((0, hidden.shape[1])), np.zeros((0, hidden.shape[2]))
    indices = [np.flatnonzero(labels == c) for c in classes]
    train = np.sort(np.concatenate([of_class[::2] for of_class in indices]))
    test = np.sort(np.concatenate([of_class[1::2] for of_class in indices]))
    for states in np.moveaxis(hidden, 1, 0):
        scaler = StandardScaler().fit(states[train])
        classifier = LogisticRegression(C=0.01, max_iter=300)
        classifier.fit(scaler.transform(states[train]), labels[train])
        answers = classifier.predict(scaler.transform(states[test]))
        f1 = f1_score(labels[test], answers, labels=classes, average=None, zero_division=0)
        scores.append(f1)
    weights = classifier.coef_
    if len(classes) == 2:  # scikit-learn returns only those of the second class.
        weights = np.concatenate([-weights, weights])
    return classes, np.array(scores).T, weights


def draw_probes(scores, weights, classes):
    """Draw the scores after each step and the weights after the last step; see `probe`."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    f1, units = figure.subplots(1, 2, width_ratios=[1, 1.6])
    draw_by_class(f1, 100 * scores, classes, "F1 (%)", vmin=0, vmax=100)
    f1.set(title="linear classifier of the hidden state", xlabel="step", ylabel="class")
    # Sort units by the class with their largest weight.
    order = np.lexsort([-np.abs(weights).max(axis=0), np.abs(weights).argmax(axis=0)])
    limit = np.abs(weights).max()
    label = "weight (nats per standard deviation)"
    draw_by_class(units, weights[:, order], classes, label, vmin=-limit, vmax=limit)
    units.set(title="weights after the last step", xlabel="unit, sorted", ylabel="class")
    return figure


def most_informative(weights, classes, count=3):
    """The units with the largest weights for each class: a list of `(class, units)`."""
    order = np.argsort(-np.abs(weights), axis=1)[:, :count]
    return [(c, units.tolist()) for c, units in zip(classes, order, strict=True)]
