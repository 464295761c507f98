"""Students with scikit-learn's interface."""

from __future__ import annotations

from functools import partial
from numbers import Real

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.distillation import teachers as known
from ensemble_lab.training.distillation.losses import distillation_loss
from ensemble_lab.training.inputs.rows import learned_rows, names_of, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of
from ensemble_lab.training.inputs.targets import check_order, one_a_row
from ensemble_lab.training.labels import encoded, places
from ensemble_lab.training.networks import NetworkClassifier

COMBINE = "mean", "confidence", "heads"


class DistilledClassifier(ClassifierMixin, BaseEstimator):
    """A small network that learns from a teacher's probabilities, and from labels where it has any.

    A teacher that is fitted is used as it is, in copies by `clone` too, as in a grid search: it may
    have learned from rows that the search holds out. One that is not fitted learns from the rows
    with labels, as a copy. Rows without a label have None or NaN in `y`. (-1 is a class.)

    Parameters
    ----------
    teacher : classifier, list of classifiers or Outcomes
        With `predict_proba`, or the recorded `probability` of one model or several, whose items are
        the rows to learn from, in their order.
    student : NetworkClassifier, optional
        The settings of the network.
    temperature : float
        tau, above 0.
    alpha : float
        The share of the labels in the loss, in [0, 1]; see `distillation_loss`.
    combine : {"mean", "confidence", "heads"}
        Of several teachers the student learns the mean, or the mean weighted by each teacher's
        largest probability; or it has one head for each teacher, and answers with the mean of them.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : (k,) array
        Those of the teacher, met in `y` or not.
    teachers_ : list of classifiers
        Empty for recorded probabilities.
    members_ : Members
        With the one network.

    References
    ----------
    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015.
    """

    def __init__(
        self,
        teacher=None,
        student: NetworkClassifier | None = None,
        *,
        temperature: float = 4.0,
        alpha: float = 0.1,
        combine: str = "mean",
        random_state=None,
    ):
        self.teacher, self.student = teacher, student
        self.temperature, self.alpha = temperature, alpha
        self.combine, self.random_state = combine, random_state

    def fit(self, X, y):
        """Learn from rows X (n, d) with labels y (n,), None or NaN where there is none.

        Interrupted by the keyboard, it keeps what is learned.

        Raises
        ------
        ValueError
            A temperature of 0 or less, an alpha outside [0, 1], a teacher that gives no
            probabilities or does not know a label, one to be fitted without labels, no labels with
            an alpha of 1, or what `NetworkClassifier` refuses.
        """
        network = self._checked()
        known_rows, filled = _labelled(X, y)
        if self.alpha == 1 and len(known_rows) and not known_rows.any():
            raise ValueError("alpha=1 learns from labels alone, and no row has one: use less")
        frame, labels = learned_rows(self, X, filled, frames=True)
        X, labels = learned_rows(self, frame, labels)
        proba = self._said(X, frame, labels, known_rows)  # (n, t, k)
        hot = np.zeros(proba[:, 0].shape)
        if known_rows.any():
            who = "y, where None or NaN means no label,"
            encoded_as = places(self.classes_, labels[known_rows], who)
            hot[np.flatnonzero(known_rows), encoded_as] = 1
        heads = proba.shape[1] if self.combine == "heads" else 1
        loss = partial(
            distillation_loss,
            temperature=float(self.temperature),
            alpha=float(self.alpha),
            by_confidence=self.combine == "confidence",
        )
        self.members_ = network.train(
            X,
            np.concatenate([hot[:, None], proba], axis=1),
            heads * len(self.classes_),
            seed=random_of(self.random_state).randint(2**31 - 1),
            loss=loss,
        )
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k) of the classes, at temperature 1."""
        X = new_rows(self, X)
        outputs = self.members_.outputs(X)[0].astype(float)
        heads = outputs.reshape(len(outputs), -1, len(self.classes_))
        return softmax(heads, axis=-1).mean(1)

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[first_best(proba.T)]

    def _said(self, X, frame, labels, known_rows) -> np.ndarray:
        """Probabilities (n, t, k) by the teachers; sets the classes and the teachers."""
        if isinstance(self.teacher, Outcomes):
            self.teachers_ = []
            self.classes_, proba = known.said_before(self.teacher, frame, len(X))
            return proba
        named, names = known.listed(self.teacher), names_of(self)
        if not known.is_fitted(named):
            if not known_rows.any():
                raise ValueError(
                    "no row has a label, and the teacher is not fitted: fit it, or give labels"
                )
            encoded(labels[known_rows])
        self.teachers_ = known.learned(named, X[known_rows], labels[known_rows], names)
        self.classes_ = known.classes_of(self.teachers_)
        return known.said(self.teachers_, self.classes_, X, frame, names)

    def _checked(self) -> NetworkClassifier:
        tau, alpha = self.temperature, self.alpha
        if not isinstance(tau, Real) or isinstance(tau, bool) or not 0 < tau < np.inf:
            raise ValueError(
                f"temperature={shown(tau)}: use a number above 0; 1 leaves the teacher's"
                " probabilities as they are"
            )
        if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 <= alpha <= 1:
            raise ValueError(
                f"alpha={shown(alpha)}: use 0 (the teacher alone) to 1 (the labels alone)"
            )
        if self.combine not in COMBINE:
            raise ValueError(f"combine={shown(self.combine)}: use one of {', '.join(COMBINE)}")
        network = NetworkClassifier() if self.student is None else self.student
        check_instance(network, "student")
        if not isinstance(network, NetworkClassifier):
            raise ValueError(
                f"student is a {type(network).__name__}; give a NetworkClassifier, whose settings"
                " are read"
            )
        return network

    def set_params(self, **params):
        """Set parameters, but none of a fitted teacher, where they would change nothing.

        Raises
        ------
        ValueError
            One of a fitted teacher.
        """
        within = next((name for name in params if name.startswith("teacher__")), None)
        if within and known.is_fitted(params.get("teacher", self.teacher)):
            raise ValueError(
                f"{shown(within)} would change nothing, as the teacher is fitted: give"
                " clone(teacher), which learns again"
            )
        return super().set_params(**params)

    def __sklearn_clone__(self):
        """A copy to fit; fitted teachers stay so, which `clone` would not do."""
        params = self.get_params(deep=False)
        kept = isinstance(self.teacher, Outcomes) or known.is_fitted(self.teacher)
        return type(self)(
            **{
                name: value if name == "teacher" and kept else clone(value, safe=False)
                for name, value in params.items()
            }
        )


def _labelled(X, y) -> tuple[np.ndarray, object]:
    """Which rows (n,) have a label, and the labels with any of them where one is missing."""
    if y is None:
        return np.zeros(0, bool), y  # scikit-learn says that it is needed
    check_order(X, y, "y")
    given = one_a_row(y, "y")
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    gaps, given = np.ma.getmaskarray(given), np.ma.getdata(given)
    missing = gaps | pd.isna(given) if given.ndim == 1 else np.zeros(0)
    if not missing.any():  # a generator is at its end
        return np.ones(given.shape[:1], bool), y if hasattr(y, "__len__") else given
    given = given.astype(object)
    given[missing] = given[~missing][0] if not missing.all() else 0
    return ~missing, np.fromiter(given, object, len(given))
