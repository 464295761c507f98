"""Gradient boosting: every stage learns the residuals, and a part of it is added."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logit, logsumexp, softmax
from scipy.stats import gmean
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_regressor
from sklearn.tree import BaseDecisionTree, DecisionTreeRegressor
from sklearn.utils.validation import has_fit_parameter

from ensemble_lab.training.inputs.named import asked, named_fit
from ensemble_lab.training.inputs.rows import learned_rows, names_of, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of, takes_gaps
from ensemble_lab.training.inputs.targets import weights_of
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.stages import check_stages, finished, last, seeded


class GradientBoosting(BaseEstimator, ABC):
    """What boosting for numbers and for classes share.

    The scores F (n, k) begin at the best constants. For squared loss and log loss the downhill
    direction is the residual: the target minus its prediction from the scores. A stage is k
    members, one for each column of residuals, and F grows by `learning_rate` times what they
    predict.

    Parameters
    ----------
    estimator : regressor, optional
        By default a tree of depth 3. A `NetworkRegressor` needs standardised features, as by
        `StandardScaler`.
    n_estimators : int
        Stages.
    learning_rate : float
        Smaller steps need more stages and generalise better.
    random_state : int, RandomState or None
        Of the stages, which use it one after another.

    Attributes
    ----------
    estimators_ : list of T lists of k regressors
    train_score_ : (T,) array
        Mean loss on the rows of the fit after each stage.
    start_ : (k,) array
        Scores before the first stage.

    References
    ----------
    Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 2001.
    """

    def __init__(
        self,
        estimator=None,
        n_estimators: int = 100,
        *,
        learning_rate: float = 0.1,
        random_state=None,
    ):
        self.estimator, self.n_estimators = estimator, n_estimators
        self.learning_rate, self.random_state = learning_rate, random_state

    def _boost(self, X, target: np.ndarray, sample_weight):
        """Learn targets (n, k) stage by stage."""
        check_stages(self.n_estimators, self.learning_rate)
        member = self._member(sample_weight is not None)
        weights = weights_of(sample_weight, X)
        how = {} if sample_weight is None else {"sample_weight": weights}
        self.start_ = self._constants(np.average(target, axis=0, weights=weights))
        done = finished(self._stages(X, target, weights, member, how))
        self.estimators_, losses = map(list, zip(*done, strict=True))
        self.train_score_ = np.array(losses)
        return self

    def _stages(self, X, target, weights, member, how: dict) -> Iterator[tuple]:
        """Stage after stage, with the mean loss after it."""
        rng, names = random_of(self.random_state), names_of(self)
        scores = np.tile(self.start_, (len(X), 1))  # (n, k)
        for i in range(self.n_estimators):
            expected = self._expected(scores)
            stage = []
            for residual, now in zip((target - expected).T, expected.T, strict=True):
                # All share one stream of random numbers, as scikit-learn's stages do.
                one = seeded(member, lambda: rng)
                named_fit(f"stage {i}", one, X, residual, names, **how)
                self._refit(one, X, residual, now, weights)
                stage.append(one)
            scores = scores + self._step(stage, X)
            yield stage, np.average(self._loss(target, scores), weights=weights)

    def _member(self, weighted: bool):
        member = DecisionTreeRegressor(max_depth=3) if self.estimator is None else self.estimator
        check_instance(member, "estimator")
        name = type(member).__name__
        if not is_regressor(member):
            raise ValueError(
                f"the member {name} is not a regressor: stages learn residuals, numbers"
            )
        if weighted and not has_fit_parameter(member, "sample_weight"):
            raise ValueError(f"{name}.fit takes no sample_weight: leave it out here too")
        return member

    def _step(self, stage: list, X) -> np.ndarray:
        """The change of the scores (n, k) by a stage."""
        predictions = [asked("a stage", one, "predict", X, names_of(self)) for one in stage]
        return self.learning_rate * np.column_stack(predictions)

    def _staged_scores(self, X) -> Iterator[np.ndarray]:
        X = new_rows(self, X, gaps=True)
        scores = np.tile(self.start_, (len(X), 1))
        for stage in self.estimators_:
            scores = scores + self._step(stage, X)
            yield scores

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        member = DecisionTreeRegressor() if self.estimator is None else self.estimator
        tags.input_tags.allow_nan = takes_gaps(member)
        return tags

    @abstractmethod
    def _constants(self, mean: np.ndarray) -> np.ndarray:
        """The best constant scores (k,) for the mean targets (k,)."""

    @abstractmethod
    def _expected(self, scores: np.ndarray) -> np.ndarray:
        """The prediction of the targets (n, k) from scores (n, k)."""

    @abstractmethod
    def _loss(self, target: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Loss (n,) of every row."""

    def _refit(self, member, X, residual, expected, weights) -> None:
        """Give the leaves of a fitted tree their best values: here their means."""


class GradientBoostingRegressor(RegressorMixin, GradientBoosting):
    """Sum of small steps towards numbers, for squared error.

    The stages are those of scikit-learn's `GradientBoostingRegressor`, which has other losses,
    subsampling and early stopping. For practical work use its `HistGradientBoostingRegressor`: it
    bins the features and is many times faster from ten thousand rows on. This one takes small
    networks as stages.

    Parameters and attributes: see `GradientBoosting`; k is 1 and the loss the squared error.
    """

    def fit(self, X, y, sample_weight=None):
        """Learn from rows X (n, d) with numbers y (n,); see `GradientBoostingClassifier.fit`."""
        X, y = learned_rows(self, X, y, gaps=True, numeric=True, weights=sample_weight)
        return self._boost(X, y.astype(float)[:, None], sample_weight)

    def staged_predict(self, X) -> Iterator[np.ndarray]:
        """Numbers (n,) after each stage."""
        for scores in self._staged_scores(X):
            yield scores[:, 0]

    def predict(self, X) -> np.ndarray:
        """Numbers (n,)."""
        return last(self.staged_predict(X))

    def _constants(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def _expected(self, scores: np.ndarray) -> np.ndarray:
        return scores

    def _loss(self, target: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return (target - scores)[:, 0] ** 2


class GradientBoostingClassifier(ClassifierMixin, GradientBoosting):
    """Sum of small steps towards the log-odds of classes, for log loss.

    Two classes have one score, the log-odds of the second; k classes have k scores, whose softmax
    gives probabilities. The leaves of a tree get Friedman's values, one Newton step each; other
    members add what they learned of the residuals.

    The stages are those of scikit-learn's `GradientBoostingClassifier`, except where two splits
    differ by rounding only. For practical work use its `HistGradientBoostingClassifier`: it bins
    the features and is many times faster from ten thousand rows on. This one takes networks.

    Parameters and attributes: see `GradientBoosting`; the loss is in nats (for two classes half
    of scikit-learn's). `classes_` holds the classes in order.
    """

    def fit(self, X, y, sample_weight=None):
        """Learn from rows X (n, d) of classes y (n,), stage by stage.

        Interrupted by the keyboard, it keeps the stages that are done.

        Raises
        ------
        ValueError
            One class only, infinity in `X`, NaN there where a member takes none, a label that is
            missing, no stages, a learning rate not above 0, a member that is not a regressor or
            fails, weights that are not valid, or sample weights for a member that takes none.
        """
        X, y = learned_rows(self, X, y, gaps=True, weights=sample_weight)
        self.classes_, codes = encoded(y)
        target = np.eye(len(self.classes_))[codes]  # (n, k)
        target = target if target.shape[1] > 2 else target[:, 1:]
        return self._boost(X, target, sample_weight)

    def staged_decision_function(self, X) -> Iterator[np.ndarray]:
        """Scores (n, k) of the classes after each stage; with two (n,) of the second."""
        for scores in self._staged_scores(X):
            yield scores if scores.shape[1] > 1 else scores[:, 0]

    def decision_function(self, X) -> np.ndarray:
        """Scores (n, k) of the classes; with two (n,) of the second."""
        return last(self.staged_decision_function(X))

    def staged_predict_proba(self, X) -> Iterator[np.ndarray]:
        """Probabilities (n, k) of the classes after each stage."""
        for scores in self._staged_scores(X):
            expected = self._expected(scores)
            yield expected if expected.shape[1] > 1 else np.hstack([1 - expected, expected])

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k) of the classes."""
        return last(self.staged_predict_proba(X))

    def staged_predict(self, X) -> Iterator[np.ndarray]:
        """Classes (n,) after each stage."""
        for probabilities in self.staged_predict_proba(X):
            yield self.classes_[probabilities.argmax(axis=1)]

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        return last(self.staged_predict(X))

    def _constants(self, mean: np.ndarray) -> np.ndarray:
        rounding = np.finfo(float).eps  # every class stays possible, however few rows it has
        mean = np.clip(mean, rounding, 1 - rounding)
        return np.log(mean / gmean(mean)) if len(mean) > 1 else logit(mean)  # k add up to 0

    def _expected(self, scores: np.ndarray) -> np.ndarray:
        return softmax(scores, axis=1) if scores.shape[1] > 1 else expit(scores)

    def _loss(self, target: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if scores.shape[1] == 1:  # the first class has a score of 0
            target, scores = np.hstack([1 - target, target]), np.hstack([0 * scores, scores])
        return logsumexp(scores, axis=1) - (target * scores).sum(axis=1)

    def _refit(self, member, X, residual, expected, weights) -> None:
        """One Newton step in each leaf: the sum of its residuals over that of their variances."""
        if not isinstance(member, BaseDecisionTree):
            return
        leaves, at = np.unique(member.apply(X), return_inverse=True)
        slope = np.bincount(at, weights * residual)
        curve = np.bincount(at, weights * expected * (1 - expected))
        k = len(self.classes_)
        share = (k - 1) / k if k > 2 else 1.0  # Friedman's factor, as k scores have one too many
        # Where all are certain already there is nothing to gain, and the divisor is 0.
        steps = np.divide(slope, curve, out=np.zeros_like(slope), where=curve > 1e-150)
        member.tree_.value[leaves, 0, 0] = share * steps
