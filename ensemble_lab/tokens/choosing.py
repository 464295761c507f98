"""Chain or tree: the form of a proposal that is faster by measurements."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import fmean, median
from time import perf_counter

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.drafts.recycling import RecyclingDraft
from ensemble_lab.tokens.drafts.trees import DraftTree
from ensemble_lab.tokens.lengths import RETRY, AdaptiveLength, FixedLength

UNMEASURED = "the best size of a draft tree is not measured: give a gamma"
TRIED = 3  # rounds of each form before they are compared
REMEMBERED = 15  # rounds of each form


class TreeOrChain:
    """A tree of `nodes` tokens or a chain of the length that pays, whichever is faster.

    Each is tried for a few rounds. Then the one with more tokens a second is used, and the other is
    tried again now and then, as the text may have changed. A chain may have no tokens at all, so a
    draft that does not pay is not used.

    Parameters
    ----------
    nodes : int
    """

    def __init__(self, nodes: int):
        self.forms = {True: AdaptiveLength(), False: FixedLength(nodes)}  # by `as_chain`
        self.most = max(form.most for form in self.forms.values())
        self.rounds = {form: deque(maxlen=REMEMBERED) for form in self.forms}
        self.count, self.as_chain, self.begun = 0, True, 0.0

    def ask(self) -> int:
        """Choose the form; how many tokens the draft is asked for."""
        tried = {form: len(rounds) for form, rounds in self.rounds.items()}
        if min(tried.values()) < TRIED:
            self.as_chain = tried[True] <= tried[False]
        else:
            self.as_chain = self.rate(True) >= self.rate(False)
            if self.count % RETRY == RETRY - 1:
                self.as_chain = not self.as_chain
        self.count += 1
        self.begun = perf_counter()
        return self.forms[self.as_chain].ask()

    def keep(self, kinds: Sequence[int]) -> int:
        """How many of a row's drafted tokens are verified; a tree is not cut."""
        return self.forms[self.as_chain].keep(kinds)

    def learn(self, kinds, stayed: Sequence[int], k: int, draft: float, verify: float) -> None:
        """Learn from a round: what was accepted, and the seconds since it was asked for."""
        self.rounds[self.as_chain].append((1 + fmean(stayed), perf_counter() - self.begun))
        self.forms[self.as_chain].learn(kinds, stayed, k, draft, verify)

    def rate(self, as_chain: bool) -> float:
        """Tokens a second of a form, by its last rounds."""
        tokens, seconds = zip(*self.rounds[as_chain], strict=True)
        return fmean(tokens) / max(median(seconds), 1e-9)


def length_of(gamma: int | None, draft) -> FixedLength | AdaptiveLength | TreeOrChain:
    """How many tokens a draft is asked for: `gamma`, or what is fastest by measurements.

    Raises
    ------
    ModelError
        Without a `gamma`, a draft that always proposes trees.
    """
    if gamma is not None:
        return FixedLength(gamma)
    if isinstance(draft, RecyclingDraft):
        raise ModelError(f"{UNMEASURED}, such as gamma=12")
    return TreeOrChain(draft.nodes) if isinstance(draft, DraftTree) else AdaptiveLength()
