"""A network with exits and one with nested widths, beside the whole network, on digits."""

from functools import partial
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits

import ensemble_lab as lab

HIDDEN = (512, 512, 512, 512)
SHARES = (0.5, 0.25, 0.15, 0.1)  # of the rows that leave at each exit
WIDTHS = (0.5, 0.25)


def multiply_adds(inputs, hidden, classes):
    """Of one row, with an exit after the last layer alone."""
    return sum(a * b for a, b in pairwise((inputs, *hidden, classes)))


def multiply_adds_of_exits(inputs, hidden, classes, left):
    """Of one row on average, where `left` (exits,) is the share that leaves at each."""
    layers = np.cumsum([a * b for a, b in pairwise((inputs, *hidden))])
    heads = np.cumsum([size * classes for size in hidden])
    return float(np.dot(left, layers + heads))


class Savers:
    """Both networks, trained on a part of the digits, and calls that answer the rest.

    Parameters
    ----------
    hidden : tuple of int
        The hidden units of each layer.
    epochs : int
    copies : int
        How often the held-out rows are repeated in a call.
    """

    def __init__(self, hidden=HIDDEN, epochs=10, copies=4):
        X, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(X))
        X, y = X[order] / 16, y[order]
        make = partial(lab.perceptron, hidden=hidden)
        network = lab.NetworkClassifier(make, epochs=epochs, device="cpu", random_state=0)
        self.exits = lab.EarlyExit(network, random_state=0).fit(X[:800], y[:800])
        self.nested = lab.NestedNetwork(network, widths=(*sorted(WIDTHS), 1), random_state=0).fit(
            X[:800], y[:800]
        )
        self.hidden, self.y = hidden, np.tile(y[1200:], copies)
        self.thresholds = lab.exit_thresholds(self.exits.confidences(X[800:1200]), SHARES)
        self.rows = np.tile(X[1200:], (copies, 1))

    def calls(self):
        """Probabilities by the whole network, by exits and by widths, each by its name."""
        found = {
            "whole": partial(self.nested.predict_proba, self.rows),
            "exits": lambda: self.exits.leave(self.rows, self.thresholds)[0],
        }
        for width in WIDTHS:
            found[f"width {width}"] = partial(self.nested.predict_proba, self.rows, width)
        return found

    def multiply_adds(self):
        """Of a row on average, by the same names."""
        size, classes = self.rows.shape[1], len(self.exits.classes_)
        left = self.exits.leave(self.rows, self.thresholds)[1]
        shares = np.bincount(left, minlength=self.exits.exits_ + 1)[1:] / len(left)
        found = {
            "whole": multiply_adds(size, self.hidden, classes),
            "exits": multiply_adds_of_exits(size, self.hidden, classes, shares),
        }
        for width in WIDTHS:
            units = [round(width * units) for units in self.hidden]
            found[f"width {width}"] = multiply_adds(size, units, classes)
        return found

    def accuracies(self):
        """On the held-out rows, by the same names."""
        classes = self.exits.classes_
        return {
            name: float((classes[call().argmax(1)] == self.y).mean())
            for name, call in self.calls().items()
        }

    def end_accuracy(self):
        """Of the network with exits, where no row leaves early."""
        return float((self.exits.predict(self.rows) == self.y).mean())
