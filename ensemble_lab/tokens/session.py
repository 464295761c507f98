"""The decoding session: a target, perhaps a draft, and rounds of draft, verify and accept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from ensemble_lab.instruments.spans import clock_on
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.tokens.accept import NO_TOKEN, accept_greedy, accept_sampled, likeliest
from ensemble_lab.tokens.reading.rows import on_device

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Draft, Proposal
    from ensemble_lab.tokens.lengths import AdaptiveLength, FixedLength
    from ensemble_lab.tokens.reading.reader import Reader
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


@dataclass(frozen=True)
class Round:
    """What one row got in one round.

    Parameters
    ----------
    proposed : tuple of int
        The drafted tokens that were verified.
    accepted : int
        How many of them stayed.
    tokens : tuple of int
        What was added: the accepted tokens and the target's own behind them, cut where the text
        ends.
    draft, verify, host : float
        Seconds of the whole batch: proposing, the target's forward, and all the rest.
    """

    proposed: tuple[int, ...]
    accepted: int
    tokens: tuple[int, ...]
    draft: float
    verify: float
    host: float


class Session:
    """Decoding, round by round.

    Parameters
    ----------
    reader : Reader
        The target.
    rows : Rows
        B prompts.
    limits : (B,) sequence of int
        How long each row may become.
    ends : sequence of int
        Tokens that end a text.
    sampling : Sampling
    generator : torch.Generator
    draft : Draft, optional
    length : FixedLength or AdaptiveLength, optional
        How many tokens are drafted; needed with a draft.
    weights : str
        What the target is called in an error.
    """

    def __init__(
        self,
        reader: Reader,
        rows: Rows,
        limits: Sequence[int],
        ends: Sequence[int],
        sampling: Sampling,
        generator: torch.Generator,
        draft: Draft | None = None,
        length: FixedLength | AdaptiveLength | None = None,
        weights: str = "the target",
    ):
        import torch

        self.reader, self.rows, self.sampling, self.generator = reader, rows, sampling, generator
        self.draft, self.draft_length, self.weights = draft, length, weights
        self.limits, self.ends = list(limits), set(ends)
        device = rows.tokens.device
        self._limits = torch.tensor(self.limits, device=device)
        self._ends = torch.tensor(sorted(self.ends), dtype=torch.long, device=device)
        self.running = [len(t) < most for t, most in zip(rows.texts, limits, strict=True)]
        rows.read_prompts(reader, but=1)
        reader.warm(rows, 1 if draft is None else self._most() + 1)
        if draft is not None:
            draft.begin(rows, sampling, generator)

    def _most(self) -> int:
        """Most tokens that can be drafted in a round."""
        room = max(most - len(t) for t, most in zip(self.rows.texts, self.limits, strict=True))
        return min(self.draft_length.most, room)

    def __iter__(self) -> Iterator[list[Round | None]]:
        while any(self.running):
            yield self.round()

    def round(self) -> list[Round | None]:
        """Draft, verify, accept, write; None for rows that had ended before.

        Raises
        ------
        ModelError
            The target's logits are not finite, so that there is nothing to choose from.
        """
        running = list(self.running)
        begun, clock = perf_counter(), clock_on(self.rows.tokens.device)
        proposal = self._propose()
        clock.mark()
        logits = self._verify(proposal)
        clock.mark()
        accepted, follow = self._accept(logits, proposal)
        told = self._write(proposal.tokens, accepted, follow)
        draft, verify = clock.spans()  # the device has been waited for
        if self.draft_length is not None:
            self._learn(proposal, [stayed for stayed, _, _ in told], draft, verify)
        host = perf_counter() - begun - draft - verify
        return [
            Round(tuple(proposed[:count]), stayed, tuple(added), draft, verify, host)
            if on
            else None
            for (stayed, added, proposed), count, on in zip(
                told, proposal.counts, running, strict=True
            )
        ]

    def _propose(self) -> Proposal:
        """What the draft proposes, cut to what pays and to what the rows have room for."""
        from ensemble_lab.tokens.drafts.base import Proposal

        on = [i for i, running in enumerate(self.running) if running]
        room = max(self.limits[i] - len(self.rows.texts[i]) for i in on) - 1
        asked = 0 if self.draft is None else min(self.draft_length.ask(), room)
        if asked < 1:
            return Proposal(self.rows.tokens[:, :0], [0] * len(self.rows))
        proposal = self.draft.propose(self.rows, asked)
        keep = max(self.draft_length.keep(proposal.kinds_of(i)) for i in on)
        counts = [min(n, keep) if self.running[i] else 0 for i, n in enumerate(proposal.counts)]
        laws = None if proposal.laws is None else proposal.laws[:, :keep]
        return replace(proposal, tokens=proposal.tokens[:, :keep], counts=counts, laws=laws)

    def _verify(self, proposal: Proposal) -> torch.Tensor:
        """Logits (B, k + 1, V) after the last token and after each drafted one."""
        import torch

        last, start = self.rows.last(1)
        low, high = self.rows.spans(-1)
        k = proposal.tokens.shape[1]
        if proposal.states is None or not k:
            return self.reader.read(torch.cat([last, proposal.tokens], 1), start, (low, high))
        states = proposal.states[:, : k + 1]
        if states.shape[1] == k:  # the draft has not read its last token
            state, _ = self.reader.early(proposal.tokens[:, -1:], start + k, (low + k, high + k))
            states = torch.cat([states, state], 1)
        return self.reader.finish(states, start, (low, high))

    def _accept(self, logits: torch.Tensor, proposal: Proposal):
        """How many drafted tokens stay in each row, and the target's own behind them."""
        count = on_device(proposal.counts, logits.device)
        if self.sampling.greedy:
            return accept_greedy(likeliest(logits), proposal.tokens, count)
        p = self.sampling.law(logits)
        if proposal.laws is not None and proposal.laws.shape[-1] != p.shape[-1]:
            raise ModelError(
                f"the draft's laws have {proposal.laws.shape[-1]:,} probabilities, the target's"
                f" {p.shape[-1]:,}: give one for every row of the target's table, 0 where the"
                " draft has none"
            )
        return accept_sampled(p, proposal.tokens, count, proposal.laws, self.generator)

    def _write(self, drafted, accepted, follow) -> list[tuple[int, list[int], list[int]]]:
        """Add accepted tokens and the one behind them, up to an end or the limit.

        Returns for every row how many stayed, what was added and what had been drafted.
        """
        import torch

        new = torch.cat([drafted, follow[:, None]], 1)  # (B, k + 1)
        new.scatter_(1, accepted[:, None], follow[:, None])
        k = new.shape[1]
        place = torch.arange(k, device=new.device)
        end = torch.where(torch.isin(new, self._ends), place + 1, k).amin(1)
        room = torch.minimum(self._limits - self.rows.length, end)
        on = on_device(self.running, new.device)
        kept = torch.minimum(accepted + 1, room) * on
        self.rows.append(new, kept)
        # The round's one wait for the device.
        table = torch.cat([accepted[:, None], kept[:, None], new, drafted], 1).tolist()
        told = [(row[0], row[2 : 2 + row[1]], row[2 + k :]) for row in table]
        if any(added and added[-1] == NO_TOKEN for _, added, _ in told):
            raise not_finite(self.weights, self.reader.model.dtype)
        for i, (_, added, _) in enumerate(told):
            text = self.rows.texts[i]
            text += added
            ended = bool(added) and added[-1] in self.ends
            self.running[i] = self.running[i] and not ended and len(text) < self.limits[i]
        return told

    def _learn(self, proposal: Proposal, stayed, draft: float, verify: float) -> None:
        kinds = [list(proposal.kinds_of(i)[:n]) for i, n in enumerate(proposal.counts)]
        self.draft_length.learn(kinds, stayed, proposal.tokens.shape[1], draft, verify)
