"""Members of one architecture, trained as one batched model.

The parameters of m networks are stacked, `vmap` runs all of them at once, and one optimiser steps
for all. Members share only the machine: each has its own initial weights, its own rows and its own
order, and learns what it would have learned alone.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.models.device import pick_device
from ensemble_lab.models.gradients import trains
from ensemble_lab.training.batched.draws import Draws
from ensemble_lab.training.batched.members import Members, made, set_seed, stacked
from ensemble_lab.training.batched.threads import threads_for
from ensemble_lab.training.inputs.feed import Feed
from ensemble_lab.training.inputs.settings import check_count
from ensemble_lab.training.inputs.targets import check_order

if TYPE_CHECKING:
    import torch
    from torch import nn

Loss = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]


@trains("training networks")
def train_members(
    make: Callable[[], nn.Module],
    X,
    y,
    *,
    members: int,
    loss: Loss,
    rows=None,
    weights=None,
    same_order: bool = False,
    validation: tuple | None = None,
    patience: int | None = None,
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    weight_decay: float = 0.0,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> Members:
    """Train m networks side by side.

    Parameters
    ----------
    make : callable
        Gives a network; called once a member, each time under another seed. What its forward pass
        decides in Python may be decided only once; see `forward.recorded`.
    X : (n, …) array
        Numbers; whole numbers are kept as integers where the networks want ids, see `inputs`.
    y : (n,) or (n, …) array
        Classes 0, 1, … of any integer type, numbers or probabilities, as `loss` takes them.
    members : int
        m.
    loss : callable
        Outputs (m, B, k), targets (m, B, …) and weights (m, B) to losses (m,); see `losses`.
    rows : (m, r) array of int, optional
        What each member learns from, such as its bootstrap sample; by default all rows.
    weights : (m, n) array, optional
        Sample weights of each member; by default 1.
    same_order : bool
        All members go through their rows in the same order, for losses that compare members.
    validation : (X, y), optional
        Held-out rows, looked at after every epoch.
    patience : int, optional
        A member stops after so many epochs without a better loss there. It keeps its best weights,
        and the others continue.
    epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW, which updates each number separately, and so each member as if it were alone.
    seed : int
        Of initial weights, orders and dropout; one seed, one result.
    device, dtype
        Where and in which number format; a GPU where there is one.
    progress : bool
        Show a bar.

    Returns
    -------
    Members
        Interrupted by the keyboard: as they are then.

    Raises
    ------
    ValueError
        No members, members of different shapes, rows or weights that do not fit, NaN in `X`, no
        rows, patience without held-out rows, targets that are missing or that the loss does not
        take, or ids that an `nn.Embedding` does not have.

    Warns
    -----
    UserWarning
        A member's loss became NaN; it is named and left out, and the others continue.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019 (AdamW).
    """
    import torch
    from tqdm.auto import tqdm

    for name, count in (("members", members), ("epochs", epochs), ("batch_size", batch_size)):
        check_count(count, name, "use 1 or more")
    if patience is not None and (validation is None or patience < 1):
        raise ValueError(
            f"patience={shown(patience)} needs 1 or more, and validation=(X, y) to look at"
        )
    if validation is not None and not (
        isinstance(validation, tuple | list) and len(validation) == 2
    ):
        raise ValueError(f"validation is a {type(validation).__name__}: give the pair (X, y)")
    check_order(X, y, "y")
    place, number = pick_device(device), getattr(torch, dtype)
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed={shown(seed)}: use a whole number from 0 up")
    start, orders, noise = np.random.SeedSequence(int(seed)).spawn(3)
    streams = orders.spawn(1) * members if same_order else orders.spawn(members)
    rngs = [np.random.default_rng(one) for one in streams]
    networks = made(make, members, start, place, number)
    feed = Feed.of(networks[0], X, number)
    data = Draws.of(feed.rows(X), feed.targets(y, loss), members, rows, weights, place)
    held = None
    if validation is not None:
        held_X, held_y = validation
        held = feed.rows(held_X), feed.targets(held_y, loss)
        held = Draws.of(*held, members, None, None, place)
    run = Training(networks, loss, learning_rate, weight_decay, noise)
    best, history = Best(run.params, patience), []
    bar = tqdm(range(epochs), desc=f"{members} members", unit="epoch", disable=not progress)
    try:
        with threads_for(run.weights * batch_size):
            for _ in bar:
                history.append(run.epoch(data.batches(rngs, batch_size)))
                if held is not None:
                    best.look(run.judged(*held.whole()))
                if best.all_stopped or not run.alive.any():
                    break
    except KeyboardInterrupt:
        pass
    living = run.alive.cpu().numpy()
    if not living.all():
        gone = ", ".join(map(str, np.flatnonzero(~living)))
        warnings.warn(
            f"the loss of member {excerpt(gone)} became NaN or infinite: left out, {living.sum():d}"
            f" of {members:d} remain; a lower learning_rate than {shown(learning_rate)} may"
            " fix it",
            stacklevel=3,
        )
    final = {name: value.detach() for name, value in best.params.items()}
    losses = np.array(history).reshape(-1, members)
    return Members(make, final, run.buffers, losses, living, feed)


class Training:
    """Stacked networks in training.

    Attributes
    ----------
    params, buffers : dict of (m, …) tensors
    alive : (m,) tensor of bool
        Which losses were finite so far.
    weights : int
        How many numbers all members have.
    """

    def __init__(
        self,
        networks: list,
        loss: Loss,
        learning_rate: float,
        weight_decay: float,
        noise: np.random.SeedSequence,
    ):
        import torch

        from ensemble_lab.training.batched.forward import forward_of, recorded

        self.noise = np.random.default_rng(noise)
        self.params, self.buffers = stacked(networks)
        self.run, self.loss = recorded(forward_of(networks[0])), loss
        self.run_still = forward_of(networks[0].eval())  # without dropout
        settings = {"lr": learning_rate, "weight_decay": weight_decay, "fused": True}
        self.optimiser = torch.optim.AdamW(list(self.params.values()), **settings)
        self.weights = sum(value.numel() for value in self.params.values())
        some = next(iter(self.params.values()))
        self.alive = torch.ones(len(networks), dtype=torch.bool, device=some.device)

    def epoch(self, batches: Iterable) -> np.ndarray:
        """Learn from every batch; the mean losses (m,)."""
        import torch

        total, count = 0.0, 0
        with torch.random.fork_rng():
            set_seed(int(self.noise.integers(2**63)))  # for dropout
            for x, target, weight in batches:
                each = self.loss(self.run(self.params, self.buffers, x), target, weight)  # (m,)
                self.optimiser.zero_grad(set_to_none=True)
                # A member's gradient is of its own loss alone: the sum asks for all at once.
                each.sum().backward()
                self.optimiser.step()
                total, count = total + each.detach() * x.shape[1], count + x.shape[1]
        self.alive &= total.isfinite()
        for value in self.params.values():  # no loss would show it after the last step
            self.alive &= value.detach().reshape(len(value), -1).isfinite().all(1)
        return (total / count).cpu().numpy()

    def judged(self, x, target, weight) -> torch.Tensor:
        """Losses (m,) on held-out rows."""
        import torch

        with torch.no_grad():
            return self.loss(self.run_still(self.params, self.buffers, x), target, weight)


class Best:
    """Each member's best weights on held-out rows, where patience is given."""

    def __init__(self, params: dict, patience: int | None):
        self.now, self.patience, self.all_stopped = params, patience, False
        self.params = params if patience is None else copy.deepcopy(params)
        self.loss = None

    def look(self, loss: torch.Tensor) -> None:
        """Take in held-out losses (m,) after an epoch."""
        import torch

        if self.patience is None:
            return
        if self.loss is None:
            self.loss, self.waited = torch.full_like(loss, torch.inf), torch.zeros_like(loss)
        better = (loss < self.loss) & (
            self.waited < self.patience
        )  # a member that has stopped does not start again
        self.loss = torch.where(better, loss, self.loss)
        self.waited = torch.where(better, 0, self.waited + 1)
        for name, kept in self.params.items():
            chosen = better.reshape(-1, *[1] * (kept.dim() - 1))
            self.params[name] = torch.where(chosen, self.now[name].detach(), kept)
        self.all_stopped = bool((self.waited >= self.patience).all())
