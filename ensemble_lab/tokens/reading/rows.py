"""The texts of a batch, on the device where models read them and on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.reading.reader import Reader


class Rows:
    """B texts of their own lengths.

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

    def spans(self, ahead: int) -> tuple[int, int]:
        """Lowest and highest position that lies `ahead` of the rows' ends, known on the host."""
        lengths = [len(text) for text in self.texts]
        return max(min(lengths) + ahead, 0), max(max(lengths) + ahead, 0)

    def last(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The last k tokens of every row (B, k), and where they start (B,).

        A row that is shorter starts at its beginning, and what lies behind it fills up.
        """
        import torch

        start = (self.length - k).clamp(min=0)
        places = start[:, None] + torch.arange(k, device=start.device)
        return self.tokens.gather(1, places), start

    def read_prompts(self, reader: Reader, but: int) -> None:
        """Let a reader read all but the last tokens, which come with the first round.

        Shorter rows are read with what lies behind them; it is written over before anything sees
        it.
        """
        most = self.spans(-but)[1]
        if most > 0:
            reader.fill(self.tokens[:, :most], self.length * 0, (0, 0))

    def append(self, new: torch.Tensor, kept: torch.Tensor) -> None:
        """Write (B, k) behind the rows, of which `kept` (B,) count; the rest is written over."""
        import torch

        places = self.length[:, None] + torch.arange(new.shape[1], device=new.device)
        self.tokens.scatter_(1, places, new)
        self.length = self.length + kept
        self.rounds += 1


def on_device(values: Sequence, device: torch.device) -> torch.Tensor:
    """Integers from the host, without the host waiting for a GPU."""
    import torch

    table = torch.tensor(values, dtype=torch.long)
    if device.type == "cuda":  # only from pinned memory the copy goes on by itself
        return table.pin_memory().to(device, non_blocking=True)
    return table.to(device)
