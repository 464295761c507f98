"""Two encoders merged before one head, and two heads on one trunk."""

from __future__ import annotations

import torch
from torch import nn

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.training.inputs.settings import check_count

MERGES = ("concatenate", "sum", "gated")


class TwoEncoders(nn.Module):
    """One encoder for each half of the columns, merged before a linear head.

    It is trained as any network, such as by
    ``NetworkClassifier(partial(TwoEncoders, hidden=32))``.

    Parameters
    ----------
    inputs : int
        Columns d: the first view's, then as many of the second, or `first` of the first.
    outputs : int
        k.
    hidden : int
        Tanh units h of each encoder.
    merge : str
        ``"concatenate"``; ``"sum"``; or ``"gated"``: g a + (1 - g) b, where each unit's g in (0, 1)
        is a sigmoid of a linear layer of both.
    first : int, optional
        Columns of the first view; by default half of them.

    Raises
    ------
    ValueError
        A count below 1, an odd number of columns without `first`, or another merge.

    References
    ----------
    Ngiam et al., Multimodal deep learning, ICML 2011. Arevalo et al., Gated multimodal units for
    information fusion, ICLR workshop 2017.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int = 32,
        merge: str = "concatenate",
        first: int | None = None,
    ):
        super().__init__()
        for name, count in {"inputs": inputs, "outputs": outputs, "hidden": hidden}.items():
            check_count(count, name, "give 1 or more")
        check_known(merge, MERGES, "merge", "package")
        if first is None and inputs % 2:
            raise ValueError(
                f"inputs={inputs} cannot be halved: give first=, the columns of the first view"
            )
        self.first = inputs // 2 if first is None else first
        check_count(self.first, "first", "give 1 or more")
        if self.first >= inputs:
            raise ValueError(
                f"first={shown(first)} leaves the second view without columns: use 1 to"
                f" {inputs - 1}"
            )
        self.merge = merge
        self.one = nn.Linear(self.first, hidden)
        self.other = nn.Linear(inputs - self.first, hidden)
        self.gate = nn.Linear(2 * hidden, hidden) if merge == "gated" else None
        self.head = nn.Linear(2 * hidden if merge == "concatenate" else hidden, outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Outputs (B, k) of rows (B, d)."""
        a = self.one(rows[:, : self.first]).tanh()
        b = self.other(rows[:, self.first :]).tanh()
        if self.merge == "sum":
            return self.head(a + b)
        both = torch.cat([a, b], dim=-1)
        if self.merge == "gated":
            g = self.gate(both).sigmoid()
            both = g * a + (1 - g) * b
        return self.head(both)


class TwoHeads(nn.Module):
    """Heads on one shared trunk.

    Each head has a hidden layer of its own. Outputs stand side by side, head after head: train them
    with the sum of the heads' losses, such as a `loss` of
    `ensemble_lab.training.submodels.losses.joint_loss`, and combine them by the mean of their
    probabilities.

    Parameters
    ----------
    inputs, outputs : int
        Columns d, and outputs k of each head.
    trunk, hidden : int
        Tanh units of the trunk, and of each head.
    heads : int

    Raises
    ------
    ValueError
        A count below 1.

    References
    ----------
    Caruana, Multitask learning, Machine Learning, 1997. Lee et al., Why M heads are better than
    one: training a diverse ensemble of deep networks, 2015 (TreeNets).
    """

    def __init__(
        self, inputs: int, outputs: int, trunk: int = 32, hidden: int = 16, heads: int = 2
    ):
        super().__init__()
        sizes = {"inputs": inputs, "outputs": outputs, "trunk": trunk, "hidden": hidden}
        for name, count in (sizes | {"heads": heads}).items():
            check_count(count, name, "give 1 or more")
        self.trunk = nn.Sequential(nn.Linear(inputs, trunk), nn.Tanh())
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(trunk, hidden), nn.Tanh(), nn.Linear(hidden, outputs))
            for _ in range(heads)
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Outputs (B, heads k) of rows (B, d)."""
        shared = self.trunk(rows)
        return torch.cat([head(shared) for head in self.heads], dim=-1)
