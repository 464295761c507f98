"""One layer of experts as ours and as each of transformers' implementations, the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

import ensemble_lab as lab

EXPERTS, K = 8, 2
# Those that run on a CPU; the others are kernels for GPUs.
IMPLEMENTATIONS = ("eager", "batched_mm", "grouped_mm")


@dataclass
class Layers:
    """A layer of 8 experts, top 2, at widths d and hidden h."""

    d: int
    hidden: int
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @cached_property
    def ours(self):
        torch.manual_seed(0)
        layer = lab.MixtureOfExperts(self.d, self.hidden, EXPERTS, K)
        return layer.to(self.device, self.dtype).eval()

    @cached_property
    def block(self):
        from transformers import MixtralConfig
        from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

        block = MixtralSparseMoeBlock(
            MixtralConfig(
                hidden_size=self.d,
                intermediate_size=self.hidden,
                num_local_experts=EXPERTS,
                num_experts_per_tok=K,
            )
        ).eval()
        # The very same tensors: the first of two copies to run would read from slower memory.
        block.gate.weight = self.ours.router
        block.experts.gate_up_proj = self.ours.gate_up
        block.experts.down_proj = self.ours.down
        return block

    def calls(self, tokens: int) -> dict:
        """A call of each layer on the same tokens; all give the same output, or it is an error."""
        x = torch.randn(1, tokens, self.d, generator=torch.Generator().manual_seed(tokens))
        x = x.to(self.device, self.dtype)

        def theirs(implementation):
            def call():
                self.block.experts.config._experts_implementation = implementation
                return self.block(x)

            return call

        found = {"ours": lambda: self.ours(x)[0]}
        found |= {name: theirs(name) for name in IMPLEMENTATIONS}
        for name, call in found.items():
            self._check(call(), found["ours"](), name)
        return found

    def _check(self, theirs, mine, name: str) -> None:
        if self.dtype == torch.float32:
            torch.testing.assert_close(theirs, mine, atol=1e-5, rtol=1e-4, msg=name)
            return
        # Routers that round in another way decide a few near ties differently.
        off = (theirs - mine).float().norm(dim=-1) / mine.float().norm(dim=-1)
        same = (off < 0.05).float().mean().item()
        assert same > 0.95, f"{name}: {same:.1%} of the tokens are the same"
