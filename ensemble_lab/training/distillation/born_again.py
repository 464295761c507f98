"""Students of students: each generation learns from the one before it."""

from __future__ import annotations

from sklearn.base import clone

from ensemble_lab.training.distillation.distilled import DistilledClassifier
from ensemble_lab.training.inputs.settings import check_count, check_instance, random_of
from ensemble_lab.training.networks import NetworkClassifier


def born_again(
    student: NetworkClassifier,
    X,
    y,
    generations: int = 3,
    *,
    temperature: float = 1.0,
    alpha: float = 0.5,
    random_state=None,
) -> list:
    """Generations of one network; each learns from the one before it.

    The first learns from labels alone. The mean of their probabilities is an ensemble.

    Parameters
    ----------
    student : NetworkClassifier
        The settings of all.
    X : (n, d) array
    y : (n,) array
    generations : int
        How many have a teacher.
    temperature, alpha : float
        As in `DistilledClassifier`.
    random_state : int, RandomState or None

    Returns
    -------
    list of 1 + generations classifiers

    References
    ----------
    Furlanello et al., Born-again neural networks, ICML 2018.
    """
    check_count(generations, "generations", "use 1 or more")
    check_instance(student, "student")
    random = random_of(random_state)
    line = [clone(student).set_params(random_state=random.randint(2**31 - 1)).fit(X, y)]
    for _ in range(generations):
        one = DistilledClassifier(
            line[-1],
            student,
            temperature=temperature,
            alpha=alpha,
            random_state=random.randint(2**31 - 1),
        )
        line.append(one.fit(X, y))
    return line
