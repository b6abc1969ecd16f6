"""Figures of what a trained network does and why, and a report that contains them.

`explain.reading` shows the network's values after each step, `explain.gradients` the gradients of
the loss with respect to each step, `explain.gates` the score without each gate, `explain.mistakes`
calibration, robustness and misclassified images, and `explain.report` writes the page.
`explain.explanation` decides which of them apply to a dataset.
"""
