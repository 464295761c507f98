"""AdaBoost: every stage learns from the rows that the stages before it got wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier
from sklearn.metrics import accuracy_score
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from ensemble_lab.core.votes import first_best
from ensemble_lab.training.inputs.named import asked, named_fit
from ensemble_lab.training.inputs.rows import learned_rows, names_of, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of, takes_gaps
from ensemble_lab.training.inputs.targets import targets, weights_of
from ensemble_lab.training.labels import encoded, places
from ensemble_lab.training.stages import check_stages, finished, last, seeded

LEAST = np.finfo(float).eps  # a weight that has become 0 could never grow again
ROUNDING = 1e-10


def stage_weight(error: float, classes: int, learning_rate: float = 1.0) -> float:
    """The weight of a stage in the vote (alpha): 0 at chance, and more the fewer its errors.

    Parameters
    ----------
    error : float
        Weighted share of rows that it gets wrong, in (0, 1).
    classes : int
        k; chance is an error of 1 - 1 / k.
    learning_rate : float
    """
    return learning_rate * (np.log((1 - error) / error) + np.log(classes - 1))


def reweighted(weights: np.ndarray, wrong: np.ndarray, alpha: float) -> np.ndarray:
    """Weights (n,) of the rows after a stage: those it got `wrong` (n,) grow e^alpha-fold.

    They add up to 1 again. With a learning rate of 1 the stage's error under the new weights is
    that of chance, so the next stage cannot learn the same again.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(weights) + alpha * wrong
    grown = np.exp(logs - max(logs.max() - 700, 0.0))  # e^710 would overflow
    return grown / grown.sum()


class AdaBoostClassifier(ClassifierMixin, BaseEstimator):
    """Weighted vote of stages, each trained on rows weighted by the errors before it (SAMME).

    It stops before `n_estimators` after a stage without an error, which gets a weight of 1, and
    before a stage that does no better than chance, which is left out.

    scikit-learn's `AdaBoostClassifier` trains the same stages and reads sparse rows. This one shows
    the weights of rows and the margins, and takes small networks. The scores are not probabilities;
    `sklearn.calibration.CalibratedClassifierCV` turns them into probabilities. Wrong labels collect
    weight: where labels may be wrong, take a small `learning_rate`, choose the number of stages on
    rows with checked labels, and compare with bagging.

    Parameters
    ----------
    estimator : classifier, optional
        Its `fit` takes `sample_weight`; by default a tree of one split. A `NetworkClassifier` does
        well with few epochs.
    n_estimators : int
        Most stages that are trained.
    learning_rate : float
        Shrinks the weight of every stage.
    random_state : int, RandomState or None
        Of the stages.

    Attributes
    ----------
    classes_ : (k,) array
    estimators_ : list of T classifiers
    estimator_weights_ : (T,) array
        The weight of each in the vote.
    estimator_errors_ : (T,) array
        Its weighted share of errors.
    sample_weights_ : (T, n) array
        The weights of rows from which it learned.

    References
    ----------
    Freund and Schapire, A decision-theoretic generalization of on-line learning and an application
    to boosting, Journal of Computer and System Sciences 1997.
    Zhu, Zou, Rosset and Hastie, Multi-class AdaBoost, Statistics and Its Interface 2009 (SAMME).
    """

    def __init__(
        self,
        estimator=None,
        n_estimators: int = 50,
        *,
        learning_rate: float = 1.0,
        random_state=None,
    ):
        self.estimator, self.n_estimators = estimator, n_estimators
        self.learning_rate, self.random_state = learning_rate, random_state

    def fit(self, X, y, sample_weight=None):
        """Learn from rows X (n, d) of classes y (n,), stage by stage.

        Interrupted by the keyboard, it keeps the stages that are done.

        Raises
        ------
        ValueError
            One class only, infinity in `X`, NaN there where a member takes none, a label that is
            missing, no stages, a learning rate not above 0, weights that are not valid, or a member
            that takes no sample weights, fails or does no better than chance from the start.
        """
        X, y = learned_rows(self, X, y, gaps=True, weights=sample_weight)
        self.classes_, _ = encoded(y)
        check_stages(self.n_estimators, self.learning_rate)
        member = self._member()
        weights = weights_of(sample_weight, X)
        done = finished(self._stages(X, y, weights, member))
        if not done:
            raise ValueError(
                f"the first {type(member).__name__} does no better than chance on these"
                f" {len(self.classes_)} classes: use a member that can learn them"
            )
        self.estimators_, *numbers = map(list, zip(*done, strict=True))
        self.estimator_errors_, self.estimator_weights_, self.sample_weights_ = map(
            np.array, numbers
        )
        return self

    def _stages(self, X, y, weights: np.ndarray, member) -> Iterator[tuple]:
        """Stage after stage: the model, its error, its weight and the weights of its rows."""
        k, counts = len(self.classes_), weights > 0
        rng, weights = random_of(self.random_state), weights / weights.sum()
        names = names_of(self)
        for i in range(self.n_estimators):
            who = f"stage {i}"
            weights = np.where(counts, np.maximum(weights, LEAST), 0.0)
            stage = seeded(member, lambda: rng.randint(np.iinfo(np.int32).max))
            named_fit(who, stage, X, y, names, sample_weight=weights)
            wrong = asked(who, stage, "predict", X, names) != y
            error = np.average(wrong, weights=weights)
            # A stage equal to the last one has exactly the error of chance, up to rounding.
            if error >= 1 - 1 / k - ROUNDING:
                return
            alpha = stage_weight(error, k, self.learning_rate) if error > 0 else 1.0
            yield stage, error, alpha, weights
            if error <= 0:
                return
            weights = reweighted(weights, wrong, alpha)

    def _member(self):
        member = DecisionTreeClassifier(max_depth=1) if self.estimator is None else self.estimator
        check_instance(member, "estimator")
        name = type(member).__name__
        if not is_classifier(member):
            raise ValueError(f"the member {name} is not a classifier: the stages vote on classes")
        if not has_fit_parameter(member, "sample_weight"):
            raise ValueError(
                f"{name}.fit takes no sample_weight, which is how a stage learns what the last got"
                " wrong: use a member that does, such as a DecisionTreeClassifier"
            )
        return member

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        member = DecisionTreeClassifier() if self.estimator is None else self.estimator
        tags.input_tags.allow_nan = takes_gaps(member)
        return tags

    def _staged_shares(self, X) -> Iterator[np.ndarray]:
        """Share (k, n) of the vote for every class, after each stage."""
        X, names = new_rows(self, X, gaps=True), names_of(self)
        votes, items = np.zeros((len(self.classes_), len(X))), np.arange(len(X))
        totals = np.cumsum(self.estimator_weights_)
        stages = zip(self.estimators_, self.estimator_weights_, totals, strict=True)
        for i, (stage, alpha, total) in enumerate(stages):
            predicted = asked(f"stage {i}", stage, "predict", X, names)
            votes[places(self.classes_, predicted, f"stage {i}"), items] += alpha
            yield votes / total

    def staged_decision_function(self, X) -> Iterator[np.ndarray]:
        """Scores after each stage, as `decision_function` gives them at the end."""
        for shares in self._staged_shares(X):
            k = len(shares)
            scores = (k * shares - 1) / (k - 1)
            yield scores[1] if k == 2 else scores.T

    def decision_function(self, X) -> np.ndarray:
        """Scores (n, k) of the classes: 1 where all stages agree on it, -1 / (k - 1) where none.

        With two classes (n,) scores of the second, in [-1, 1]: half of scikit-learn's.
        """
        return last(self.staged_decision_function(X))

    def staged_predict(self, X) -> Iterator[np.ndarray]:
        """Classes (n,) after each stage."""
        for shares in self._staged_shares(X):
            yield self.classes_[first_best(shares)]  # ties: the first class, as in scikit-learn

    def predict(self, X) -> np.ndarray:
        """The class (n,) with the largest weight of stages."""
        return last(self.staged_predict(X))

    def staged_score(self, X, y) -> Iterator[float]:
        """Accuracy on rows X of classes y after each stage."""
        y = targets(y)
        for predicted in self.staged_predict(X):
            yield accuracy_score(y, predicted)

    def staged_margins(self, X, y) -> Iterator[np.ndarray]:
        """Margins (n,) after each stage, as `margins` gives them at the end."""
        check_is_fitted(self)
        check_consistent_length(X, y)
        own = (
            places(self.classes_, targets(y), "y") == np.arange(len(self.classes_))[:, None]
        )  # (k, n)
        for shares in self._staged_shares(X):
            others = np.where(own, -np.inf, shares).max(axis=0)
            yield shares.T[own.T] - others

    def margins(self, X, y) -> np.ndarray:
        """How clearly each row (n,) is decided: its class's vote share minus the best other.

        It is 1 where all stages are right, negative where the vote is wrong, and -1 where all agree
        on one wrong class.

        References
        ----------
        Schapire, Freund, Bartlett and Lee, Boosting the margin: a new explanation for the
        effectiveness of voting methods, Annals of Statistics 1998.
        """
        return last(self.staged_margins(X, y))
