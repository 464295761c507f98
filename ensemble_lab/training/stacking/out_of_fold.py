"""What all stacking shares: features are members' predictions for rows they did not learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import _BaseComposition

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.named import asked, named_fit
from ensemble_lab.training.inputs.rows import names_of, new_rows
from ensemble_lab.training.inputs.settings import check_instance, takes_gaps
from ensemble_lab.training.stacking.folds import Splits, splits_of
from ensemble_lab.training.stages import finished

FINAL = "the final model"


class Stacking(_BaseComposition):
    """What stacking of classes and of numbers share."""

    def __init__(self, estimators=None, final_estimator=None, *, cv=None, passthrough=False):
        self.estimators, self.final_estimator = estimators, final_estimator
        self.cv, self.passthrough = cv, passthrough

    def get_params(self, deep: bool = True) -> dict:
        """Parameters, including those of the members by name, such as ``tree__max_depth``."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters; a member by its name, and its own as ``tree__max_depth``."""
        return self._set_params("estimators", **params)

    def _fit(self, X, y: np.ndarray, codes: np.ndarray, classes: np.ndarray | None):
        """Learn targets y (n,): the numbers, or the labels of `codes` (n,)."""
        splits = splits_of(self.cv, X, codes, classes)
        check_instance(self._final(), "final_estimator")
        final = clone(self._final(y))
        if is_classifier(final) != is_classifier(self):
            kind = "classifier" if is_classifier(self) else "regressor"
            raise ValueError(f"the final model {type(final).__name__} is not a {kind}: use one")
        named = self._named()
        present = [(name, member) for name, member in named if not _dropped(member)]
        done = finished(self._members(present, X, y, codes, splits))
        names, self.estimators_, self.stack_method_, predicted = map(list, zip(*done, strict=True))
        found = dict(zip(names, self.estimators_, strict=True))
        self.named_estimators_ = {
            name: found.get(name, "drop")
            for name, member in named
            if name in found or _dropped(member)
        }
        judged = np.concatenate([rows for _, rows in splits])
        order = np.argsort(judged)
        self.stacked_rows_ = judged[order]
        self.stacked_ = self._beside(np.hstack(predicted)[order], _safe_indexing(X, judged[order]))
        self.final_estimator_ = named_fit(
            FINAL,
            final,
            self.stacked_,
            y[judged[order]],
            self._stacked_names(self.stacked_),
            self.stacked_rows_,
        )
        return self

    def _members(self, named, X, y, codes, splits: Splits) -> Iterator[tuple]:
        """Member after member: name, fitted model, method, and predictions for the held-out rows.

        No model predicts a row that it learned from. The fitted model has learned from all rows or,
        where members are blended, from those that are not held out.
        """
        columns = names_of(self)
        for name, member in named:
            method, who = self._method(name, member), f"member {shown(name, 40)}"
            own = self._targets(member, y, codes)
            predicted = []
            for rows, judged in splits:
                some = _safe_indexing(X, rows)
                one = named_fit(who, clone(member), some, own[rows], columns, rows)
                predicted.append(self._columns(who, one, method, _safe_indexing(X, judged), judged))
            if len(splits) > 1:
                one = named_fit(who, clone(member), X, own, columns)
            yield name, one, method, np.vstack(predicted)

    def _named(self) -> list[tuple]:
        named = self._default_members() if self.estimators is None else self.estimators
        if isinstance(named, Mapping):
            raise ValueError("estimators is a mapping: give list(estimators.items())")
        pairs = isinstance(named, list | tuple) and all(
            isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], str)
            for one in named
        )
        if not pairs or not named:
            raise ValueError(
                f"estimators={shown(named, 60)}: give a list of (name, estimator), 1 or more, such"
                " as [('tree', DecisionTreeClassifier())]"
            )
        self._validate_names([name for name, _ in named])
        for name, member in named:
            if not _dropped(member):
                check_instance(member, f"member {shown(name, 40)}")
        if all(_dropped(member) for _, member in named):
            raise ValueError("all members are 'drop': give at least one that learns")
        return named

    def _final(self, y: np.ndarray | None = None):
        return self._default_final(y) if self.final_estimator is None else self.final_estimator

    def _targets(self, member, y: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The targets that a member learns."""
        return y

    def _columns(self, who: str, member, method: str, X, rows=None) -> np.ndarray:
        """A member's predictions for rows X (n, d) with indices `rows`, as columns (n, c)."""
        predicted = asked(who, member, method, X, names_of(self), rows)
        return np.asarray(predicted, float).reshape(len(X), -1)

    def _beside(self, predicted: np.ndarray, X) -> np.ndarray:
        if not self.passthrough:
            return predicted
        try:
            return np.hstack([predicted, np.asarray(X, float)])
        except (TypeError, ValueError) as error:
            raise ValueError(
                "passthrough=True gives the final model X, and not all of it is numbers: leave it"
                " out, or encode X before the stack"
            ) from error

    def _stacked_names(self, stacked: np.ndarray):
        """Names (f,) of the final model's features: those of X where it is passed through."""
        names = names_of(self).tolist() if self.passthrough else []
        return [*range(stacked.shape[1] - len(names)), *names]

    def _predictions(self, method: str, X) -> np.ndarray:
        """The final model's predictions for new rows X (n, d)."""
        predicted = self.features(X)
        return asked(
            FINAL, self.final_estimator_, method, predicted, self._stacked_names(predicted)
        )

    def features(self, X) -> np.ndarray:
        """The final model's features (n, f) for new rows X (n, d), with columns as in `stacked_`.

        It is not a `transform`: for rows that members learned from, only `stacked_` is out-of-fold.
        """
        X = new_rows(self, X, gaps=True, frames=True)
        names = [name for name, one in self.named_estimators_.items() if not _dropped(one)]
        members = zip(names, self.estimators_, self.stack_method_, strict=True)
        predicted = [self._columns(f"member {shown(name, 40)}", *one, X) for name, *one in members]
        return self._beside(np.hstack(predicted), X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            members = [member for _, member in self._named() if not _dropped(member)]
        except (TypeError, ValueError):  # `fit` raises the error about them
            return tags
        tags.input_tags.allow_nan = all(map(takes_gaps, members))
        return tags


def _dropped(member) -> bool:
    return isinstance(member, str) and member == "drop"
