"""A bag: members that each learn from rows and columns drawn at random."""

from __future__ import annotations

import warnings
from abc import abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.utils import check_random_state
from sklearn.utils.validation import has_fit_parameter

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.training.bagging.bootstrap import drawn, outside, size_of
from ensemble_lab.training.inputs.named import named_fit
from ensemble_lab.training.inputs.rows import learned_rows, names_of, new_rows
from ensemble_lab.training.inputs.settings import check_count, check_instance, random_of, takes_gaps
from ensemble_lab.training.networks import Network
from ensemble_lab.training.stages import finished, seeded

MOST = np.iinfo(np.int32).max
BY_PLACE = "categorical_features", "interaction_cst", "monotonic_cst"  # columns by their number


class Bag(BaseEstimator):
    """What bagging of classes and of numbers share.

    Subclasses name their `_default` member and define `_answer`, one member's predictions.
    """

    def __init__(
        self,
        estimator=None,
        n_estimators: int = 10,
        *,
        max_samples: float | int = 1.0,
        max_features: float | int = 1.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        random_state=None,
    ):
        self.estimator, self.n_estimators = estimator, n_estimators
        self.max_samples, self.max_features = max_samples, max_features
        self.bootstrap, self.oob_score = bootstrap, oob_score
        self.random_state = random_state

    def _read(self, X, y, numeric: bool = False):
        """Rows and targets; gaps are kept for members that learn one by one and may read them."""
        gaps = not isinstance(self._member(), Network)
        return learned_rows(self, X, y, gaps=gaps, numeric=numeric)

    def _fit(self, X: np.ndarray, y: np.ndarray, codes: np.ndarray, outputs: int):
        """Learn targets y (n,); networks as one batch learn `codes` (n,)."""
        check_count(self.n_estimators, "n_estimators", "an ensemble has 1 or more")
        if self.oob_score and not self.bootstrap:
            raise ValueError("oob_score needs rows that were not drawn: use bootstrap=True")
        rows = len(X), size_of(self.max_samples, len(X), "max_samples")
        columns = X.shape[1], size_of(self.max_features, X.shape[1], "max_features")
        member, rng = self._member(), random_of(self.random_state)
        if columns[1] < columns[0]:
            refuse_places(member, self.max_features)
        # The order of draws is scikit-learn's, so that one random_state gives the same members.
        seeds = rng.randint(MOST, size=self.n_estimators)
        parts = [self._part(check_random_state(seed), columns, rows) for seed in seeds]
        if isinstance(member, Network):
            self._fit_networks(member, X, codes, outputs, parts, int(rng.randint(MOST)))
        else:
            self._fit_one_by_one(member, X, y, seeds, parts)
        return self

    def _member(self):
        member = self._default() if self.estimator is None else self.estimator
        check_instance(member, "estimator")
        if is_classifier(member) != is_classifier(self):
            raise ValueError(
                f"{type(member).__name__} is not a member for a {type(self).__name__}: bag"
                " classifiers in a BaggingClassifier, regressors in a BaggingRegressor"
            )
        return member

    def _part(self, rng, columns: tuple[int, int], rows: tuple[int, int]):
        features = drawn(rng, *columns, replace=False)
        return features, drawn(rng, *rows, replace=self.bootstrap)

    def _fit_one_by_one(self, member, X, y, seeds, parts) -> None:
        """Train members one after another; keep those that are done at a keyboard interrupt."""
        names = names_of(self)

        def members():
            for i, (seed, (features, rows)) in enumerate(zip(seeds, parts, strict=True)):
                rng = check_random_state(seed)
                one = seeded(member, lambda rng=rng: rng.randint(MOST))
                learned = self._learned(
                    f"member {i}", one, X[:, features], y, rows, names[features]
                )
                yield learned, features, rows

        done = finished(members())
        self.members_ = None
        self.estimators_, self.estimators_features_, self.estimators_samples_ = (
            list(part) for part in zip(*done, strict=True)
        )

    @staticmethod
    def _learned(who: str, member, X, y, rows, names):
        """The fitted member; a row that was drawn twice counts twice."""
        if has_fit_parameter(member, "sample_weight"):
            counts = np.bincount(rows, minlength=len(X))
            return named_fit(who, member, X, y, names, sample_weight=counts)
        return named_fit(who, member, X[rows], y[rows], names, rows)

    def _fit_networks(self, network: Network, X, y, outputs: int, parts, seed: int) -> None:
        """All members as one batch; those whose loss became NaN are left out."""
        require("training networks", "torch")
        from ensemble_lab.training.batched.subspaces import Subspaces, alone

        features, rows = map(np.array, zip(*parts, strict=True))  # (m, c) and (m, r)
        how = {"members": len(rows), "seed": seed, "rows": rows}
        if features.shape[1] < X.shape[1]:
            how["make"] = Subspaces(network.make, features, outputs)
        found = network.train(X, y, outputs, **how)
        kept = np.flatnonzero(found.alive)
        self.members_ = found.some(kept)
        self.estimators_features_, self.estimators_samples_ = list(features[kept]), list(rows[kept])
        self.estimators_ = [
            self._network(network, alone(self.members_.some([i])), features.shape[1])
            for i in range(len(kept))
        ]

    def _network(self, network: Network, members, columns: int):
        """The network as a fitted estimator."""
        one = clone(network)
        one.members_, one.n_features_in_ = members, columns
        return one

    @abstractmethod
    def _answer(self, who: str, member, X: np.ndarray, names: np.ndarray) -> np.ndarray:
        """The member's predictions for rows X (n, c) with columns of these names (c,)."""

    def _answers(self, X: np.ndarray) -> np.ndarray:
        """Predictions for rows X (n, d) of all members that learned one by one."""
        pairs, names = zip(self.estimators_, self.estimators_features_, strict=True), names_of(self)
        return np.stack(
            [
                self._answer(f"member {i}", member, X[:, features], names[features])
                for i, (member, features) in enumerate(pairs)
            ]
        )

    def _checked(self, X) -> np.ndarray:
        return new_rows(self, X, gaps=getattr(self, "members_", None) is None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        member = self._default() if self.estimator is None else self.estimator
        tags.input_tags.allow_nan = takes_gaps(member)
        return tags

    def _out_of_bag(self, by_member: np.ndarray) -> np.ndarray:
        """Mean over the members (m, n, …) that did not learn from a row; NaN where all did."""
        out = outside(self.estimators_samples_, by_member.shape[1])
        count = out.sum(0)
        if (never := int((count == 0).sum())) > 0:
            warnings.warn(
                f"{never} of {len(count)} rows were drawn by every member, so no member can judge"
                " them: they are NaN and left out of oob_score_; more members fix it",
                stacklevel=3,
            )
        wide = out.reshape(*out.shape, *[1] * (by_member.ndim - 2))
        total = np.where(wide, by_member, 0.0).sum(0)
        with np.errstate(invalid="ignore"):
            return total / count.reshape(-1, *[1] * (total.ndim - 1))


def refuse_places(member, max_features) -> None:
    """Refuse a member that knows columns by position, where each member gets other columns.

    Raises
    ------
    ValueError
        What it knows by position.
    """
    parts = {"estimator": member, **member.get_params()}
    for name, part in parts.items():
        if isinstance(part, ColumnTransformer):
            known = f"a ColumnTransformer in {shown(name)}"
        elif not name.endswith(BY_PLACE) or part is None or isinstance(part, str):
            continue
        else:
            known = shown(name)
        raise ValueError(
            f"max_features={shown(max_features)} gives each member other columns, and"
            f" {known} names columns by position: use"
            " max_features=1.0"
        )
