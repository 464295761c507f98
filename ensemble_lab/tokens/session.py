"""The decoding session: the same as `plain.speculative`, for many rows, with a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.instruments.spans import clock_on
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.tokens.accept import NO_CHANCE, NO_TOKEN
from ensemble_lab.tokens.accept_trees import TWINS
from ensemble_lab.tokens.choosing import UNMEASURED
from ensemble_lab.tokens.lengths import AdaptiveLength
from ensemble_lab.tokens.reading.rows import on_device
from ensemble_lab.tokens.trees import tree_of
from ensemble_lab.tokens.verification import Verification

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Draft, Proposal
    from ensemble_lab.tokens.lengths import FixedLength
    from ensemble_lab.tokens.reading.reader import Reader
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


@dataclass(frozen=True)
class Round:
    """What one row got in one round.

    Parameters
    ----------
    proposed : tuple of int
        The drafted tokens that were verified; in a tree those of the accepted path come first.
    accepted : int
        How many of them were accepted.
    tokens : tuple of int
        The tokens that were added: the accepted ones and the target's own after them, cut where the
        text ends.
    draft, verify, host : float
        Seconds of the whole batch: proposing, the target's forward pass, and everything else.
    """

    proposed: tuple[int, ...]
    accepted: int
    tokens: tuple[int, ...]
    draft: float
    verify: float
    host: float


class Written(NamedTuple):
    """What the host gets of one row when the device has finished a round."""

    accepted: int
    added: list[int]
    drafted: list[int]


class Session:
    """Decoding, round by round: `begin`, then `round` as long as any row is `running`.

    Parameters
    ----------
    reader : Reader
        The target.
    rows : Rows
        B prompts.
    limits : (B,) sequence of int
        The greatest length of each row.
    ends : sequence of int
        Tokens that end a text.
    sampling : Sampling
    generator : torch.Generator
    draft : Draft, optional
    length : FixedLength or AdaptiveLength, optional
        How many tokens are drafted; needed with a draft.
    weights : str
        The target's name in an error.
    verification : str
        As in `stream`.
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
        verification: str = "token",
    ):
        import torch

        self.reader, self.rows, self.sampling, self.generator = reader, rows, sampling, generator
        self.draft, self.draft_length = draft, length
        self.weights, self.verify = weights, Verification(verification, sampling, generator)
        self.limits, self.ends = self.verify.limits(limits, rows.texts, draft), set(ends)
        device = rows.tokens.device
        self._limits = torch.tensor(self.limits, device=device)
        self._ends = torch.tensor(sorted(self.ends), dtype=torch.long, device=device)
        self.running = [len(t) < most for t, most in zip(rows.texts, self.limits, strict=True)]

    def begin(self) -> None:
        """Read the prompts, get the reader ready for rounds, and start the draft."""
        self.verify.check_draft(self.draft)
        rows, most = self.rows, 0
        if self.draft is not None:
            room = max(limit - len(t) for t, limit in zip(rows.texts, self.limits, strict=True))
            most = min(self.draft_length.most, room)
        rows.read_prompts(self.reader, but=1)
        self.reader.warm(rows, most + 1)
        if self.draft is not None:
            self.draft.begin(rows, self.sampling, self.generator)

    def round(self) -> list[Round | None]:
        """Draft, verify, accept, write and learn; None for rows that had already ended.

        Raises
        ------
        ModelError
            The target's logits are not finite, or the draft's where the rule reads them, so no
            token can be chosen.
        """
        import torch

        rows, running, device = self.rows, self.running, self.rows.tokens.device
        begun, clock = perf_counter(), clock_on(device)

        # 1. Propose: the draft writes k tokens after every row.
        proposal = self._propose()
        drafted, k, tree = proposal.tokens, proposal.tokens.shape[1], tree_of(proposal)  # (B, k)
        clock.mark()

        # 2. Verify: the target reads the last token and the drafted ones in one pass.
        last, at = rows.last(1)
        tokens = torch.cat([last, drafted], 1)  # (B, k + 1)
        if proposal.states is None:
            logits = self.reader.read(tokens, at, tree)  # (B, k + 1, V)
        else:  # it continues where the draft stopped
            logits = self.reader.resume(tokens, at, proposal.states)
        clock.mark()
        if hasattr(self.draft, "observe"):
            self.draft.observe(tokens, logits)

        # 3. Accept: how many drafted tokens, and the target's own token after them.
        if tree is None:
            accepted, follow = self.verify.chain(logits, proposal, rows.texts)  # (B,), (B,)
        else:  # the accepted path comes first, in the proposal as in the cache
            accepted, follow, path = self.verify.tree(logits, proposal, rows.texts, tree)
            drafted = drafted.gather(1, path)
            if device.type == "cpu":  # on a GPU the host would wait for the number
                path = path[:, : int(accepted.max())]
            self.reader.settle(path, at.ahead(1))

        # 4. Write these tokens, up to an end of the text or to its limit.
        new = torch.cat([drafted, follow[:, None]], 1)
        new.scatter_(1, accepted[:, None], follow[:, None])  # (B, k + 1)
        place = torch.arange(1, k + 2, device=device)
        end = torch.where(torch.isin(new, self._ends), place, k + 1).amin(1)
        room = torch.minimum(self._limits - rows.length, end)
        kept = torch.minimum(accepted + 1, room) * on_device(running, device)
        rows.append(new, kept)
        table = torch.cat([accepted[:, None], kept[:, None], new, drafted], 1)
        on_host = table.tolist()  # the only wait for the device in a round
        written = [Written(row[0], row[2 : 2 + row[1]], row[k + 3 :]) for row in on_host]
        self._continue(written)

        # 5. Learn how many tokens to draft, from what was accepted and what it cost.
        draft, verify = clock.spans()
        if self.draft_length is not None:
            kinds = [proposal.kinds_of(i)[:n] for i, n in enumerate(proposal.counts)]
            self.draft_length.learn(kinds, [one.accepted for one in written], k, draft, verify)
        host = perf_counter() - begun - draft - verify
        return [
            Round(tuple(one.drafted[:n]), one.accepted, tuple(one.added), draft, verify, host)
            if on
            else None
            for one, n, on in zip(written, proposal.counts, running, strict=True)
        ]

    def _propose(self) -> Proposal:
        """The draft's proposal, cut to the number that pays and to the rows' room."""
        from ensemble_lab.tokens.drafts.base import Proposal

        on = [i for i, running in enumerate(self.running) if running]
        room = max(self.limits[i] - len(self.rows.texts[i]) for i in on) - 1
        asked = 0 if self.draft is None else min(self.draft_length.ask(), room)
        further = self.verify.further
        if asked + further < 1:
            return Proposal(self.rows.tokens[:, :0], [0] * len(self.rows))
        propose = self.draft.chain if self.draft_length.as_chain else self.draft.propose
        proposal = propose(self.rows, asked + further)
        if further:  # the last token is not verified, but the target needs its probabilities
            proposal = proposal.without_last(on)
        keep = max(self.draft_length.keep(proposal.kinds_of(i)) for i in on)
        if proposal.parents is not None and isinstance(self.draft_length, AdaptiveLength):
            raise ModelError(UNMEASURED)
        counts = [min(n, keep) if self.running[i] else 0 for i, n in enumerate(proposal.counts)]
        return proposal.cut(counts, keep, further)

    def _continue(self, written: Sequence[Written]) -> None:
        """Add to the texts on the host, and find which of them continue."""
        last = {one.added[-1] for one in written if one.added}
        if NO_TOKEN in last:
            raise not_finite(self.weights, self.reader.model.dtype)
        if NO_CHANCE in last:
            model = getattr(self.draft, "model", self.reader.model)
            raise not_finite(getattr(self.draft, "weights", "the draft"), model.dtype)
        if TWINS in last:
            raise ModelError(
                "a draft tree gives one token two children that are the same; propose each once"
            )
        for text, one in zip(self.rows.texts, written, strict=True):
            text += one.added
        self.running = [
            on and text[-1] not in self.ends and len(text) < limit
            for on, text, limit in zip(self.running, self.rows.texts, self.limits, strict=True)
        ]
