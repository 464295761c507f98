"""A layer of experts, which returns its routing with its output."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.models.settings import number
from ensemble_lab.training.experts.products import mixed
from ensemble_lab.training.experts.routing import ROUTERS, Routing, overflow, places
from ensemble_lab.training.inputs.settings import check_count


class MixtureOfExperts(nn.Module):
    """E feed-forward networks (SwiGLU), of which each token uses k.

    What the layer returns is added to its input by the caller, as in a transformer. A token whose
    choices were all dropped keeps only that residual. Weights have the layout of transformers'
    Mixtral and are named `router` (E, d), `gate_up` (E, 2 h, d) and `down` (E, d, h).

    Parameters
    ----------
    d_model : int
        Width d of a token.
    hidden : int
        Hidden units h of an expert.
    experts : int
        How many, E.
    k : int
        How many a token uses.
    router : str
        ``"softmax"`` (Mixtral), ``"switch"`` (k = 1; the weight is the probability) or
        ``"sigmoid"`` (DeepSeek-V3: a bias, which `rebalance` moves, is added only for choosing).
    capacity : float, optional
        An expert takes at most capacity * T k / E choices of each sequence of T tokens, rounded
        up, in the order of the tokens; the second choices come after all first ones. By default
        nothing is dropped. Where choices are dropped, a token's output depends on the other tokens
        of its sequence.

    Raises
    ------
    ValueError
        A count below 1, k above `experts`, a router that there is not, or a capacity below 0.

    References
    ----------
    Shazeer et al., Outrageously large neural networks: the sparsely-gated mixture-of-experts layer,
    ICLR 2017. Fedus, Zoph and Shazeer, Switch transformers, JMLR 2022. Jiang et al., Mixtral of
    experts, 2024. DeepSeek-AI, DeepSeek-V3 technical report, 2024.
    """

    def __init__(
        self,
        d_model: int,
        hidden: int,
        experts: int = 8,
        k: int = 2,
        router: str = "softmax",
        capacity: float | None = None,
    ):
        super().__init__()
        counts = {"d_model": d_model, "hidden": hidden, "experts": experts, "k": k}
        for name, count in counts.items():
            check_count(count, name, "give 1 or more")
        if k > experts:
            raise ValueError(f"k={k} is above experts={experts}: a token uses an expert once")
        check_known(router, ROUTERS, "router", "package")
        if router == "switch" and k > 1:
            raise ValueError(f"k={k}: a switch router uses one expert; use k=1 or another router")
        if capacity is not None and not number(capacity, "capacity") >= 0:
            raise ValueError(
                f"capacity={shown(capacity)}: give a number from 0 up, such as 1.25, or None"
            )
        self.k, self.kind, self.capacity = k, router, capacity
        self.router = nn.Parameter(uniform(experts, d_model))
        self.gate_up = nn.Parameter(uniform(experts, 2 * hidden, d_model))
        self.down = nn.Parameter(uniform(experts, d_model, hidden))
        self.register_buffer("bias", torch.zeros(experts))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, Routing]:
        """Output (…, T, d) and routing of tokens (…, T, d): sequences of T tokens.

        Raises
        ------
        ValueError
            Another width or number format, or a token that is not finite.
        """
        self._check(tokens)
        routing = self.route(tokens)
        choices = routing.choices
        if self.capacity is not None:
            choices = choices.masked_fill(routing.dropped, len(self.down))
        found = mixed(
            tokens.flatten(0, -2),
            choices.flatten(0, -2),
            routing.weights.flatten(0, -2),
            self.gate_up,
            self.down,
        )
        return found.view(tokens.shape), routing

    def route(self, tokens: torch.Tensor) -> Routing:
        """The routing alone, of tokens (…, T, d)."""
        # Half precision is too coarse to choose: near-ties would be decided by rounding.
        exact = torch.float64 if tokens.dtype == torch.float64 else torch.float32
        with torch.autocast(tokens.device.type, enabled=False):
            logits = F.linear(tokens.to(exact), self.router.to(exact))
        if not logits.isfinite().all():
            bad = (~logits.isfinite()).any(-1).sum()
            raise ValueError(
                f"the router's logits of {bad:d} tokens are NaN or infinite: look for such numbers"
                " in the tokens, and in the weights after a learning rate that is too high"
            )
        probabilities, choices, weights = ROUTERS[self.kind](logits, self.k, self.bias)
        if self.capacity is None:
            dropped = torch.zeros_like(choices, dtype=torch.bool)
        else:
            experts = len(self.router)
            most = places(self.capacity, tokens.shape[-2], self.k, experts)
            dropped = overflow(choices, experts, most)
        return Routing(logits, probabilities, choices, weights, dropped)

    @torch.no_grad()
    def rebalance(self, routing: Routing, rate: float = 0.001) -> None:
        """Move the bias by `rate`: up for experts chosen less than the mean, down for the others.

        Raises
        ------
        ValueError
            The router has no bias, the routing is of another number of experts, or a rate that is
            not finite.

        References
        ----------
        Wang et al., Auxiliary-loss-free load balancing strategy for mixture-of-experts, 2024.
        """
        if self.kind != "sigmoid":
            raise ValueError(f"router={self.kind!s} has no bias: make the layer with 'sigmoid'")
        counts = routing.counts.to(self.bias)
        if len(counts) != len(self.bias):
            raise ValueError(
                f"the routing is of {len(counts)} experts and the layer has {len(self.bias)}: give"
                " what this layer returned"
            )
        if not math.isfinite(number(rate, "rate")):
            raise ValueError(f"rate={shown(rate)}: give a finite number, such as 0.001")
        self.bias += rate * (counts.mean() - counts).sign()

    def extra_repr(self) -> str:
        experts, d, hidden = self.down.shape
        return f"{d}, {hidden}, experts={experts}, k={self.k}, router={self.kind!r}"

    def _apply(self, *args, **kwargs):
        # Steps of 0.001 are lost in half precision, so the bias keeps its number format.
        bias = self.bias
        super()._apply(*args, **kwargs)
        self.bias = bias.to(self.bias.device)
        return self

    def _check(self, tokens) -> None:
        d = self.router.shape[1]
        if not isinstance(tokens, torch.Tensor) or tokens.ndim < 2 or tokens.shape[-1] != d:
            what = (
                f"of the shape {tuple(tokens.shape)}"
                if isinstance(tokens, torch.Tensor)
                else shown(tokens, 60)
            )
            raise ValueError(f"tokens are {what}: give a tensor (…, T, {d:d})")
        if tokens.dtype != self.router.dtype:
            raise ValueError(
                f"tokens are {tokens.dtype} and the layer is {self.router.dtype}: convert one by"
                " .to"
            )


def uniform(*shape: int) -> torch.Tensor:
    """Weights (…, inputs), drawn as those of `torch.nn.Linear`."""
    bound = 1 / math.sqrt(shape[-1])
    return torch.empty(shape).uniform_(-bound, bound)
