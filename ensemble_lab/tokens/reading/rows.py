"""The texts of a batch, on the models' device and on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.reading.reader import Reader


class At(NamedTuple):
    """The positions of tokens in each row.

    Parameters
    ----------
    start : (B,) tensor
        Position of the first of them.
    low, high : int
        The lowest and the highest of `start`: known on the host, so that it need not wait for the
        device.
    """

    start: torch.Tensor
    low: int
    high: int

    def ahead(self, k: int) -> At:
        """The places `k` positions further on."""
        return At(self.start + k, self.low + k, self.high + k)


class Rows:
    """B texts of different lengths.

    Parameters
    ----------
    prompts : sequence of sequences of int
        Token ids, at least one each.
    capacity : int
        Tokens that a row can hold, drafted ones included.
    device : torch.device

    Attributes
    ----------
    tokens : (B, capacity) tensor
    length : (B,) tensor
    texts : list of list of int
        The same on the host.
    rounds : int
        How often something was appended.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], capacity: int, device: torch.device):
        import torch

        self.texts = [list(prompt) for prompt in prompts]
        self.rounds = 0
        filled = [text + [0] * (capacity - len(text)) for text in self.texts]
        self.tokens = torch.tensor(filled, device=device)
        self.length = torch.tensor([len(text) for text in self.texts], device=device)

    def __len__(self) -> int:
        return len(self.texts)

    def last(self, k: int) -> tuple[torch.Tensor, At]:
        """The last k tokens of every row (B, k), and their positions.

        A shorter row starts at its beginning, and is filled up with what lies after it.
        """
        import torch

        start = (self.length - k).clamp(min=0)
        places = start[:, None] + torch.arange(k, device=start.device)
        lengths = [len(text) for text in self.texts]
        low, high = (max(length - k, 0) for length in (min(lengths), max(lengths)))
        return self.tokens.gather(1, places), At(start, low, high)

    def read_prompts(self, reader: Reader, but: int) -> None:
        """Let a reader read all tokens except the last ones, which are read in the first round.

        Shorter rows are read with what lies after them; it is written over before any query sees
        it.
        """
        most = max(len(text) for text in self.texts) - but
        if most > 0:
            reader.fill(self.tokens[:, :most], At(self.length * 0, 0, 0))

    def append(self, new: torch.Tensor, kept: torch.Tensor) -> None:
        """Write (B, k) after the rows; the first `kept` (B,) count, the rest is written over."""
        import torch

        places = self.length[:, None] + torch.arange(new.shape[1], device=new.device)
        self.tokens.scatter_(1, places, new)
        self.length = self.length + kept
        self.rounds += 1


def on_device(values: Sequence, device: torch.device) -> torch.Tensor:
    """Integers from the host, copied without waiting for a GPU."""
    import torch

    table = torch.tensor(values, dtype=torch.long)
    if device.type == "cuda":  # only a copy from pinned memory runs in the background
        return table.pin_memory().to(device, non_blocking=True)
    return table.to(device)
