"""Snapshots: the members are one network at several moments of its training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.core.votes import first_best
from ensemble_lab.models.device import pick_device
from ensemble_lab.training.batched.draws import Draws
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.members import Members, made
from ensemble_lab.training.batched.threads import threads_for
from ensemble_lab.training.batched.trainer import Training
from ensemble_lab.training.inputs.feed import Feed
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.networks import NetworkClassifier
from ensemble_lab.training.stages import finished, last


def cooled(step: int, steps: int, hottest: float) -> float:
    """The learning rate at `step` of a cycle: from `hottest` down to almost 0 by half a cosine."""
    return hottest / 2 * (np.cos(np.pi * step / steps) + 1)


class SnapshotEnsemble(ClassifierMixin, BaseEstimator):
    """One training, several members: the network at the end of each cycle of the learning rate.

    The rate falls to almost 0, where the network has settled and is copied, and jumps up again,
    so that it settles elsewhere. The mean of the copies' probabilities decides. Networks that
    learn from the start, each on its own, differ more: bag them where there is time for it.

    Parameters
    ----------
    estimator : NetworkClassifier, optional
        Its `epochs` are those of the whole training, its `learning_rate` the highest.
    n_estimators : int
        Cycles; as many epochs at least.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : (k,) array
    members_ : Members
        The snapshots, the first cycle's first.

    References
    ----------
    Huang et al., Snapshot ensembles: train 1, get M for free, ICLR 2017.
    """

    def __init__(
        self,
        estimator: NetworkClassifier | None = None,
        n_estimators: int = 5,
        *,
        random_state=None,
    ):
        self.estimator, self.n_estimators = estimator, n_estimators
        self.random_state = random_state

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps the cycles that are done; so it does where the loss
        becomes NaN.

        Raises
        ------
        ValueError
            One class only, NaN in `X`, fewer epochs than cycles, or a loss of NaN in the first.
        """
        require("training networks", "torch")
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        network = NetworkClassifier() if self.estimator is None else self.estimator
        check_instance(network, "estimator")
        if not isinstance(network, NetworkClassifier):
            raise ValueError(
                f"the member {type(network).__name__} is no NetworkClassifier, and snapshots are of"
                " one network's training: use one"
            )
        cycles, most = self.n_estimators, network.epochs
        if isinstance(cycles, bool) or not isinstance(cycles, Integral) or not 1 <= cycles <= most:
            raise ValueError(
                f"n_estimators={shown(cycles)}: use 1 to {shown(most)} cycles, which are the epochs"
            )
        seed = random_of(self.random_state).randint(2**31 - 1)
        cycles = finished(self._cycles(network, X, codes, seed))
        if not cycles:
            raise ValueError(
                "the loss became NaN or infinite in the first cycle; use a learning_rate below"
                f" {shown(network.learning_rate)}"
            )
        self.members_ = joined(network.maker(X.shape[1], len(self.classes_)), cycles)
        return self

    def _cycles(self, network, X, codes, seed: int) -> Iterator[tuple]:
        """Cycle after cycle: parameters and buffers at its end, last losses and the feed."""
        import torch

        start, order, noise = np.random.SeedSequence(seed).spawn(3)
        place, dtype = pick_device(network.device), torch.float32
        rngs, size = [np.random.default_rng(order)], network.batch_size
        make, rate = network.maker(X.shape[1], len(self.classes_)), network.learning_rate
        networks = made(make, 1, start, place, dtype)
        feed = Feed.of(networks[0], X, dtype)
        data = Draws.of(feed.rows(X), feed.targets(codes, cross_entropy), 1, None, None, place)
        run = Training(networks, cross_entropy, rate, network.weight_decay, noise)
        for cycle in np.array_split(range(network.epochs), self.n_estimators):
            steps = len(cycle) * -(-len(X) // size)
            rates = (cooled(step, steps, rate) for step in range(steps))
            with threads_for(run.weights * size):
                for _ in cycle:
                    loss = run.epoch(at_rates(run.optimiser, rates, data.batches(rngs, size)))
            if not run.alive.all():
                return
            yield copied(run.params), copied(run.buffers), loss, feed

    def staged_predict_proba(self, X) -> Iterator[np.ndarray]:
        """Mean probabilities (n, k) of the first snapshot, the first two, and so on."""
        X = new_rows(self, X)
        probas = softmax(self.members_.outputs(X).astype(float), axis=-1)  # (m, n, k)
        total = np.cumsum(probas, axis=0)
        for count, proba in enumerate(total, start=1):
            yield proba / count

    def staged_predict(self, X) -> Iterator[np.ndarray]:
        """Classes (n,) by the first snapshot, the first two, and so on."""
        for proba in self.staged_predict_proba(X):
            yield self.classes_[first_best(proba.T)]

    def predict_proba(self, X) -> np.ndarray:
        """Mean probabilities (n, k) of the classes."""
        return last(self.staged_predict_proba(X))

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        return last(self.staged_predict(X))


def at_rates(optimiser, rates: Iterator[float], batches: Iterable) -> Iterator:
    """The batches, each with the learning rate set to the next of `rates`."""
    for batch, rate in zip(batches, rates, strict=False):  # rates go on in the next epoch
        for group in optimiser.param_groups:
            group["lr"] = rate
        yield batch


def copied(tensors: dict) -> dict:
    """The same numbers, which training does not reach."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def joined(make, cycles: list[tuple]) -> Members:
    """Networks of one member each as the members of one whole."""
    import torch

    params, buffers, losses, feeds = zip(*cycles, strict=True)
    joint = [{name: torch.cat([one[name] for one in some]) for name in some[0]} for some in
             (params, buffers)]  # fmt: skip
    alive = np.ones(len(cycles), dtype=bool)
    return Members(make, *joint, np.stack(losses, axis=1), alive, feeds[0])
