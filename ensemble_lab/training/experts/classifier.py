"""A small classifier with layers of experts, to see which experts which rows use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.models.gradients import trains
from ensemble_lab.models.settings import number
from ensemble_lab.training.batched.threads import threads_for
from ensemble_lab.training.experts.losses import balance_loss, router_z_loss
from ensemble_lab.training.experts.routing import Routing
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import check_count, random_of
from ensemble_lab.training.labels import encoded

if TYPE_CHECKING:
    import torch


class ExpertsClassifier(ClassifierMixin, BaseEstimator):
    """A network whose layers are mixtures of experts; with one expert it is a dense network.

    Parameters
    ----------
    experts, k, hidden, router, capacity
        As of `MixtureOfExperts`. Rows are tokens, and those that are learned or predicted together
        are one sequence: with a `capacity`, a prediction depends on the other rows.
    width : int
        Of a token.
    layers : int
    balance, z : float
        Weights of `balance_loss` and `router_z_loss` beside the cross-entropy. Switch's balance of
        0.01 is for many thousand steps. With the defaults on `digits_of_four_kinds`, 440 steps, it
        brings the mean MaxVio of five seeds from 2.7 to 1.4, and 0.1 brings it to 0.6. Neither
        makes the network more often right.
    bias_rate : float
        Step of the bias of a sigmoid router after each batch, see `MixtureOfExperts.rebalance`.
    epochs, batch_size : int
    learning_rate : float
        Of AdamW, without weight decay. On those digits 0.01 costs up to 3 points of accuracy.
    random_state : int, RandomState or None
        Of initial weights and order.

    Attributes
    ----------
    classes_ : (c,) array
    network_ : torch.nn.Module
    losses_ : (epochs,) array
        Mean cross-entropy of each epoch's batches, in nats.
    """

    def __init__(
        self,
        experts: int = 8,
        k: int = 1,
        hidden: int = 16,
        *,
        router: str = "switch",
        capacity: float | None = None,
        width: int = 32,
        layers: int = 1,
        balance: float = 0.1,
        z: float = 0.0,
        bias_rate: float = 0.0,
        epochs: int = 20,
        batch_size: int = 64,
        learning_rate: float = 0.003,
        random_state=None,
    ):
        self.experts, self.k, self.hidden = experts, k, hidden
        self.router, self.capacity, self.width, self.layers = router, capacity, width, layers
        self.balance, self.z, self.bias_rate = balance, z, bias_rate
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate
        self.random_state = random_state

    @trains("training networks")
    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Raises
        ------
        ValueError
            One class only, NaN in `X`, a setting that cannot be, or a loss of NaN.
        """
        import torch

        from ensemble_lab.training.experts.network import ExpertsNetwork

        self._check()
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        random = random_of(self.random_state)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random.randint(2**31 - 1))
            self.network_ = ExpertsNetwork(
                X.shape[1],
                len(self.classes_),
                self.width,
                self.layers,
                hidden=self.hidden,
                experts=self.experts,
                k=self.k,
                router=self.router,
                capacity=self.capacity,
            ).float()
        rows, codes = tensor(X), torch.as_tensor(codes)
        optimiser = torch.optim.AdamW(
            self.network_.parameters(), self.learning_rate, weight_decay=0.0, fused=True
        )
        products = 9 * self.batch_size * self.layers * self.k * self.width * self.hidden
        with threads_for(products):
            self.losses_ = np.array(
                [self._epoch(rows, codes, random, optimiser) for _ in range(self.epochs)]
            )
        self.network_.eval()
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, c) of the classes."""
        return softmax(self._read(X)[0].double().numpy(), axis=-1)

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(-1)]

    def routing(self, X) -> list[Routing]:
        """Which experts the rows X (n, d) use, layer by layer."""
        return self._read(X)[1]

    def _read(self, X):
        """Logits (n, c) and routings of rows."""
        X = new_rows(self, X)
        import torch

        with torch.no_grad():
            return self.network_(tensor(X))

    def _epoch(self, rows, codes, random, optimiser) -> float:
        """One pass in a random order; the mean cross-entropy."""
        import torch
        import torch.nn.functional as F

        total = 0.0
        for some in torch.as_tensor(random.permutation(len(rows))).split(self.batch_size):
            logits, routings = self.network_(rows[some])
            loss = F.cross_entropy(logits, codes[some])
            total += loss.item() * len(some)
            if not math.isfinite(total):
                raise ValueError(
                    "the loss became NaN or infinite; use a learning_rate below"
                    f" {shown(self.learning_rate)}"
                )
            if self.balance:
                loss = loss + self.balance * balance_loss(routings)
            if self.z:
                loss = loss + self.z * router_z_loss(routings)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if self.bias_rate:
                for layer, routing in zip(self.network_.layers, routings, strict=True):
                    layer.rebalance(routing, self.bias_rate)
        return total / len(rows)

    def _check(self) -> None:
        for name in ("width", "layers", "epochs", "batch_size"):
            check_count(getattr(self, name), name, "give 1 or more")
        for name in ("balance", "z", "bias_rate"):
            value = getattr(self, name)
            if not 0 <= number(value, name) < math.inf:
                raise ValueError(f"{name}={shown(value)}: give a number from 0 up, such as 0.01")
        if not 0 < number(self.learning_rate, "learning_rate") < math.inf:
            raise ValueError(
                f"learning_rate={shown(self.learning_rate)}: give a number above 0, such as 0.01"
            )
        if self.bias_rate and self.router != "sigmoid":
            raise ValueError(
                f"bias_rate={shown(self.bias_rate)}, but a {shown(self.router)} router has no bias:"
                " use router='sigmoid', or bias_rate=0"
            )


def tensor(X: np.ndarray) -> torch.Tensor:
    """Rows as numbers of single precision; also a view that runs backwards, which torch refuses."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(X, np.float32))
