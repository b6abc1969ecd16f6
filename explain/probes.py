"""Which units store what: linear classifiers of the hidden state after each step.

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
    """Learn to tell the classes from the hidden state after each step, each step anew.

    Args:
        hidden: `(N, steps, units)`. Of these images every other one of a class is learnt from, and
            what was learnt is judged by the rest.
        labels: The right classes, `(N,)`.

    Returns:
        The `classes` of which there is more than one image; `scores (classes, steps)`, the F1 score
        of each, the harmonic mean of precision and recall: who always gives one answer recalls all
        of its images, but is rarely right; and `weights (classes, units)`: by how much more likely,
        in nats, a class gets if a unit is one standard deviation higher after the last step. All
        are empty if there are fewer than two such classes.
    """
    classes, counts = np.unique(labels, return_counts=True)
    classes, scores = classes[counts > 1], []
    if len(classes) < 2:
        return classes[:0], np.zeros((0, hidden.shape[1])), np.zeros((0, hidden.shape[2]))
    places = [np.flatnonzero(labels == c) for c in classes]
    learnt = np.sort(np.concatenate([of_class[::2] for of_class in places]))
    judged = np.sort(np.concatenate([of_class[1::2] for of_class in places]))
    for states in np.moveaxis(hidden, 1, 0):
        scaler = StandardScaler().fit(states[learnt])
        classifier = LogisticRegression(C=0.01, max_iter=300)
        classifier.fit(scaler.transform(states[learnt]), labels[learnt])
        answers = classifier.predict(scaler.transform(states[judged]))
        found = f1_score(labels[judged], answers, labels=classes, average=None, zero_division=0)
        scores.append(found)
    weights = classifier.coef_
    if len(classes) == 2:  # Then scikit-learn has those of the second class alone.
        weights = np.concatenate([-weights, weights])
    return classes, np.array(scores).T, weights


def draw_probes(scores, weights, classes):
    """What can be told after each step, and by which units in the end; see `probe`."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    told, units = figure.subplots(1, 2, width_ratios=[1, 1.6])
    draw_by_class(told, 100 * scores, classes, "F1 (%)", vmin=0, vmax=100)
    told.set(title="a linear reading of the hidden state", xlabel="step", ylabel="class")
    # By the class each unit speaks for or against most.
    order = np.lexsort([-np.abs(weights).max(axis=0), np.abs(weights).argmax(axis=0)])
    most = np.abs(weights).max()
    label = "weight (nats per standard deviation)"
    draw_by_class(units, weights[:, order], classes, label, vmin=-most, vmax=most)
    units.set(title="what each unit says in the end", xlabel="unit, sorted", ylabel="class")
    return figure


def most_informative(weights, classes, count=3):
    """The units that speak most for or against each class: a list of `(class, units)`."""
    order = np.argsort(-np.abs(weights), axis=1)[:, :count]
    return [(c, units.tolist()) for c, units in zip(classes, order, strict=True)]
