"""Networks of one architecture as one: their stacked weights and their outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ensemble_lab.training.inputs.feed import Feed


@dataclass(frozen=True, eq=False)
class Members:
    """Trained networks of one architecture.

    Parameters
    ----------
    make : callable
        Gives such a network.
    params, buffers : dict of (m, …) tensors
        Their weights, by name.
    losses : (epochs, m) array
        Mean training loss of each in every finished epoch.
    alive : (m,) array of bool
        False for a member whose loss became NaN.
    feed : Feed, optional
        How rows become tensors, such as ids that are kept as integers; by default numbers.
    unit : (float, float), optional
        Mean and standard deviation of the numbers that were learned: the networks learn them
        standardised. `outputs` and `losses` are in the caller's unit.
    """

    make: Callable[[], nn.Module]
    params: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    losses: np.ndarray
    alive: np.ndarray
    feed: Feed | None = None
    unit: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.alive)

    def outputs(self, X, batch_size: int = 1024) -> np.ndarray:
        """Outputs of every member for every row (m, n, k); NaN for a member that is not alive."""
        import torch

        from ensemble_lab.training.batched.forward import forward_of
        from ensemble_lab.training.inputs.feed import Feed

        weight = next(iter(self.params.values()))
        feed, first = self.feed or Feed(weight.dtype), self.module(0)
        feed.check(first, X)
        X = feed.rows(X)
        run = forward_of(first)
        with torch.no_grad():
            pieces = [
                run(
                    self.params, self.buffers, part.to(weight.device).expand(len(self), *part.shape)
                )
                for part in X.split(batch_size)
            ]
        found = torch.cat(pieces, 1).cpu().numpy()
        if self.unit is not None:
            mean, spread = self.unit
            found = found.astype(float) * spread + mean
        found[~self.alive] = np.nan
        return found

    def some(self, which) -> Members:
        """Those of the given indices."""
        params, buffers = (
            {name: value[which] for name, value in all_.items()}
            for all_ in (self.params, self.buffers)
        )
        losses, alive = self.losses[:, which], self.alive[which]
        return Members(self.make, params, buffers, losses, alive, self.feed, self.unit)

    def module(self, i: int) -> nn.Module:
        """Member i as a network of its own; its outputs are standardised if there is a `unit`."""
        import torch

        some = next(iter(self.params.values()))
        with torch.random.fork_rng():  # its random initial weights are not kept
            network = self.make().to(some.device, some.dtype)
        with torch.no_grad():
            for name, value in network.named_parameters():
                value.copy_(self.params[name][i])
            for name, value in network.named_buffers():
                value.copy_(self.buffers[name][i])
        return network.eval()


def set_seed(seed: int) -> None:
    """Seed torch's generators, as `torch.manual_seed` does.

    That one formats the stack for each kind of GPU, there or not: a millisecond in a notebook,
    which a thousand members and epochs feel.
    """
    import torch

    gpus = (torch.cuda, torch.backends.mps, torch.xpu)
    any_gpu = any(kind.is_available() for kind in gpus)
    (torch.manual_seed if any_gpu else torch.default_generator.manual_seed)(seed)


def made(make: Callable, members: int, seeds: np.random.SeedSequence, device, dtype) -> list:
    """Make m networks, each with initial weights by a seed of its own.

    Raises
    ------
    ValueError
        Shapes that differ, no weights, or layers that count over batches.
    """
    import torch

    networks = []
    for one in seeds.generate_state(members):
        with torch.random.fork_rng():
            set_seed(int(one))
            networks.append(make().to(device, dtype).train())
    shapes = [{name: tuple(p.shape) for name, p in net.named_parameters()} for net in networks]
    if not shapes[0]:
        raise ValueError(f"{type(networks[0]).__name__} has no weights to train")
    for i, shape in enumerate(shapes):
        for name in {**shapes[0], **shape}:
            if shape.get(name) != shapes[0].get(name):
                raise ValueError(
                    f"{shown(name)} of member {i:d} has shape {shown(shape.get(name))}, of member 0"
                    f" {shown(shapes[0].get(name))}: members trained as one have one architecture"
                )
    for name, layer in networks[0].named_modules():
        if getattr(layer, "track_running_stats", False):
            raise ValueError(
                f"layer {shown(name)} ({type(layer).__name__}) counts over batches, which members"
                " trained as one cannot: use LayerNorm or GroupNorm, or track_running_stats=False"
            )
    return networks


def stacked(networks: list) -> tuple[dict, dict]:
    """Parameters and buffers (m, …) of all networks, ready to be learned."""
    from torch.func import stack_module_state

    params, buffers = stack_module_state(networks)
    return {name: p.detach().requires_grad_() for name, p in params.items()}, buffers
