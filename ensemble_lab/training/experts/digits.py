"""Digits of four kinds, so that experts have something to divide among them."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from ensemble_lab.training.inputs.settings import random_of

KINDS = ("upright", "rotated", "inverted", "noisy")


def digits_of_four_kinds(random_state=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits, each of one kind: upright, rotated, inverted or noisy.

    A rotated digit is turned by 90 degrees, an inverted one is dark on bright, and a noisy one has
    Gaussian noise with a standard deviation of a quarter of the brightest pixel.

    Parameters
    ----------
    random_state : int, RandomState or None
        Of the kinds, which are as even as they can be, and of the noise.

    Returns
    -------
    X : (1797, 64) array
        Brightness; 0 and 1 are the darkest and the brightest pixel. Noise goes beyond.
    y : (1797,) array
        The digits.
    kinds : (1797,) array
        Names of the kinds.
    """
    random = random_of(random_state)
    images, y = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    kinds = random.permutation(np.resize(np.arange(len(KINDS)), len(images)))
    rotated, inverted, noisy = (kinds == kind for kind in (1, 2, 3))
    images[rotated] = np.rot90(images[rotated], axes=(1, 2))
    images[inverted] = 1 - images[inverted]
    images[noisy] += random.normal(0, 0.25, (noisy.sum(), 8, 8))
    return images.reshape(len(images), -1), y, np.array(KINDS)[kinds]
