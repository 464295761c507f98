"""Dual encoders: two towers that learn to place two views of one thing in one place."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.settings import number
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.dual.contrastive import (
    NO_NEGATIVES,
    array_of,
    check_temperature,
    class_codes,
    in_batch,
    recall_at_k,
)
from ensemble_lab.training.inputs.settings import check_count, random_of
from ensemble_lab.training.inputs.targets import check_order


class DualEncoder(BaseEstimator):
    """Two towers, one for each view, trained so that partners are closer than all other pairs.

    Parameters
    ----------
    width : int
        Of the unit vectors that both towers give.
    hidden : int
        Units of the one hidden layer of each tower.
    temperature : float
        See `contrastive_loss`.
    symmetric : bool
        Look for partners in both directions.
    leave_out_same_class : bool
        Leave out negatives of a row's own class, which `fit` is then told.
    members : int
        Dual encoders that differ in their random start and order, trained as one batch.
    epochs : int
    batch_size : int
        Of pairs, each with ``batch_size - 1`` negatives.
    learning_rate : float
        Of AdamW.
    random_state : int, RandomState or None
    progress : bool
        Show a bar.

    Attributes
    ----------
    members_ : Members
        The networks, and their losses in every epoch.
    views_ : (int, int)
        Columns of the first and the second view.

    References
    ----------
    Bromley et al., Signature verification using a siamese time delay neural network, NeurIPS 1993.
    Karpukhin et al., Dense passage retrieval for open-domain question answering, EMNLP 2020.

    Examples
    --------
    >>> import numpy as np
    >>> first = np.random.default_rng(0).normal(size=(40, 4))
    >>> encoder = DualEncoder(8, 16, epochs=30, random_state=0).fit(first, first[:, ::-1])
    >>> encoder.similarity(first, first).shape
    (1, 40, 40)
    """

    def __init__(
        self,
        width: int = 32,
        hidden: int = 64,
        *,
        temperature: float = 0.05,
        symmetric: bool = False,
        leave_out_same_class: bool = False,
        members: int = 1,
        epochs: int = 30,
        batch_size: int = 64,
        learning_rate: float = 0.003,
        random_state=None,
        progress: bool = False,
    ):
        self.width, self.hidden, self.temperature = width, hidden, temperature
        self.symmetric, self.leave_out_same_class = symmetric, leave_out_same_class
        self.members, self.epochs, self.batch_size = members, epochs, batch_size
        self.learning_rate, self.random_state = learning_rate, random_state
        self.progress = progress

    def fit(self, first, second, y=None):
        """Learn from pairs: first views (n, d1) and second views (n, d2), classes y (n,).

        Raises
        ------
        ValueError
            Views of different length, one pair, NaN, a temperature of 0, a batch of one, or no
            classes, or one, where negatives of the same class are left out.
        """
        require("a dual encoder", "torch")
        from ensemble_lab.training.dual.towers import Towers

        self._check()
        check_order(first, second, "second", "first")
        check_order(first, y, "y", "first")
        first, second = view(first, "first"), view(second, "second")
        check_pairs(first, second)
        codes = np.zeros(len(first), int)
        if self.leave_out_same_class:
            if y is None:
                raise ValueError(
                    "leave_out_same_class=True needs classes: give fit(first, second, y)"
                )
            codes = class_codes(y, len(first))
        self.views_ = first.shape[1], second.shape[1]
        self.members_ = train_members(
            partial(Towers, *self.views_, self.hidden, self.width),
            np.hstack([first, second]),
            codes,
            members=self.members,
            loss=partial(
                in_batch,
                temperature=float(self.temperature),
                leave_out=self.leave_out_same_class,
                symmetric=self.symmetric,
            ),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=random_of(self.random_state).randint(2**31 - 1),
            device="cpu",
            progress=self.progress,
        )
        if not self.members_.alive.any():
            raise ValueError(
                "the losses of all members became NaN or infinite; use a learning_rate below"
                f" {shown(self.learning_rate)}, or a temperature above {shown(self.temperature)}"
            )
        return self

    def embed(self, rows, tower: int) -> np.ndarray:
        """Unit vectors (members, n, width) of views (n, d): of the first (0) or the second (1).

        Raises
        ------
        ValueError
            Not fitted, another tower, another number of columns, NaN, or numbers so large that the
            tower gives NaN.
        """
        if not hasattr(self, "members_"):
            raise ValueError("this DualEncoder has learned nothing yet: call fit first")
        if isinstance(tower, bool) or tower not in (0, 1):
            raise ValueError(f"tower={shown(tower)}: give 0 for first views, 1 for second ones")
        name = ("first", "second")[tower]
        rows = view(rows, name)
        if rows.shape[1] != self.views_[tower]:
            raise ValueError(
                f"the {name} view has {rows.shape[1]} columns, and its tower learned from"
                f" {self.views_[tower]}: give as many"
            )
        other = np.zeros((len(rows), self.views_[1 - tower]))
        both = np.hstack([rows, other] if tower == 0 else [other, rows])
        found = np.split(self.members_.outputs(both), 2, axis=-1)[tower]
        if len(bad := np.argwhere(~np.isfinite(found))):
            raise ValueError(
                f"the {name} view has numbers up to {abs(rows[bad[0][1]]).max():.3g} in row"
                f" {bad[0][1]}, for which its tower gives NaN: scale both views to numbers around 1"
            )
        return found

    def similarity(self, first, second) -> np.ndarray:
        """Cosines (members, n1, n2) of first views (n1, d1) with second views (n2, d2).

        Their mean over members is the score of an ensemble of dual encoders.
        """
        return self.embed(first, 0) @ self.embed(second, 1).swapaxes(-1, -2)

    def recall(self, first, second, k: int = 1) -> np.ndarray:
        """Recall at k (members,): row i of one view is the partner of row i of the other."""
        check_order(first, second, "second", "first")
        first, second = view(first, "first"), view(second, "second")
        check_pairs(first, second, least=1)
        return recall_at_k(self.similarity(first, second), k)

    def _check(self) -> None:
        for name in ("width", "hidden", "members", "epochs"):
            check_count(getattr(self, name), name, "give 1 or more")
        check_count(self.batch_size, "batch_size", "give 2 or more")
        if self.batch_size < 2:
            raise ValueError(NO_NEGATIVES.format(1) + "give batch_size=2 or more")
        check_temperature(self.temperature)
        if not 0 < number(self.learning_rate, "learning_rate") < math.inf:
            raise ValueError(
                f"learning_rate={shown(self.learning_rate)}: give a number above 0, such as 0.003"
            )


def view(rows, name: str) -> np.ndarray:
    """A view as finite numbers (n, d).

    Raises
    ------
    ValueError
        Something else, or NaN with its place.
    """
    fix = "give an array of numbers (n, d)"
    found = array_of(rows, f"the {name} view", fix)
    if found.ndim != 2 or not found.size:
        raise ValueError(f"the {name} view has the shape {found.shape}: {fix}")
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        i, j = bad[0]
        raise ValueError(
            f"the {name} view has {shown(found[i, j])} in row {i}, column {j}: leave out such rows"
            " of both views, or fill them"
        )
    return found


def check_pairs(first, second, least: int = 2) -> None:
    """Raise `ValueError` unless both views have equally many rows, `least` or more."""
    if len(first) != len(second):
        raise ValueError(
            f"the first view has {len(first)} rows and the second {len(second)}: give both views of"
            " every pair, in one order"
        )
    if len(first) < least:
        raise ValueError(NO_NEGATIVES.format(len(first)) + "give 2 pairs or more")
