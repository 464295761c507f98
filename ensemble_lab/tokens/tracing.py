"""A decoding that keeps every round's p, q, residual, random numbers and verdicts.

It observes the session's draft and target and changes nothing: the text is the one that the same
seed gives without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import several, shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import stream
from ensemble_lab.tokens.traces import (
    ACCEPTED,
    BONUS,
    CORRECTED,
    PLAIN,
    TOP,
    Place,
    Trace,
    TracedRound,
)

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.session import Round


def trace(
    target: LanguageModel,
    prompt,
    draft=None,
    *,
    gamma: int = 4,
    temperature: float = 1.0,
    max_new_tokens: int = 20,
    seed: int | None = 0,
    names: tuple[str, str] | None = None,
) -> Trace:
    """Decode one prompt and keep every round's distributions and verdicts.

    Parameters
    ----------
    target, prompt, draft, gamma, temperature, max_new_tokens, seed
        As in `stream`; one prompt.
    names : (str, str), optional
        Names of the prompt and the draft; by default the text and the draft's own name.

    Returns
    -------
    Trace

    Raises
    ------
    ModelError, ValueError
        As in `stream`.
    """
    if names is not None and len(names := several(names, "names")) != 2:
        raise ValueError(f"names={shown(names)} are {len(names)}; give two, (prompt, draft)")
    settings = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
    decoding = stream(target, prompt, draft, gamma=gamma, **settings)
    session = decoding.session
    if len(texts := session.rows.texts) > 1:
        raise ModelError(
            f"one prompt is traced at a time; these are {len(texts)}: trace them one by one"
        )
    words = target.tokenizer.decode(texts[0], skip_special_tokens=True)
    asked = prompt if isinstance(prompt, str) else words
    session.reader = reader = HeardReader(session.reader, session.generator)
    if session.draft is not None:
        session.draft = HeardDraft(session.draft)
    words, rounds = Words(target.tokenizer), []
    for (one,) in decoding:
        k, p = len(one.proposed), session.sampling.distribution(reader.logits[0])  # (k + 1, V)
        probabilities = session.draft.probabilities if k else None
        drawn = [None] * k if session.sampling.greedy else reader.numbers(k, p)
        rounds.append(_traced(one, p, probabilities, drawn, words))
    called = names or (asked, getattr(draft, "weights", str(draft or "no draft")))
    text = decoding.generations[0].text
    return Trace(*called, target.weights, gamma, temperature, text, tuple(rounds))


class HeardReader:
    """A target's reader that keeps its last logits, and the generator's state after them."""

    def __init__(self, reader, generator: torch.Generator):
        self.reader, self.generator = reader, generator

    def __getattr__(self, name: str):
        return getattr(self.reader, name)

    def read(self, *places) -> torch.Tensor:
        return self._heard(self.reader.read(*places))

    def resume(self, *places) -> torch.Tensor:
        return self._heard(self.reader.resume(*places))

    def _heard(self, logits: torch.Tensor) -> torch.Tensor:
        self.logits, self.dice = logits, self.generator.get_state()
        return logits

    def numbers(self, k: int, like: torch.Tensor) -> list[float]:
        """The k random numbers that the session draws next, from a copy of its generator."""
        import torch

        copy = torch.Generator(like.device)
        copy.set_state(self.dice)
        drawn = torch.rand((1, k), generator=copy, device=like.device, dtype=like.dtype)
        return drawn[0].tolist()


class HeardDraft:
    """A draft that keeps the distributions from which it sampled."""

    def __init__(self, draft):
        self.draft = draft

    def __getattr__(self, name: str):
        return getattr(self.draft, name)

    def propose(self, rows, most: int):
        proposal = self.draft.propose(rows, most)
        if proposal.parents is not None:
            raise ModelError("a draft tree cannot be traced yet; trace a draft that writes a chain")
        self.probabilities = proposal.probabilities
        return proposal


class Words:
    """Single tokens as a picture shows them, spaces and line ends made visible."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, token: int) -> str:
        text = self.tokenizer.decode([token])
        if not text or "\ufffd" in text:  # an incomplete character
            text = self.tokenizer.convert_ids_to_tokens(token)
        return text.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")


def _traced(one: Round, p: torch.Tensor, q, drawn: Sequence, words: Words) -> TracedRound:
    """A round with p (k + 1, V), q (1, k, V) or None where the draft was certain, and k numbers."""
    import torch

    k = len(one.proposed)
    certain = torch.nn.functional.one_hot(torch.tensor(one.proposed, dtype=torch.long), p.shape[1])
    q = certain.to(p) if q is None else q[0, :k]
    places = []
    for i, token in enumerate(one.tokens):
        if i < k:
            drafted, verdict = one.proposed[i], ACCEPTED if i < one.accepted else CORRECTED
            places.append(_place(token, verdict, p[i], words, q[i], drafted, drawn[i]))
        else:
            places.append(_place(token, BONUS if k else PLAIN, p[i], words))
    return TracedRound(tuple(map(words, one.proposed)), one.accepted, tuple(places))


def _place(token, verdict, p, words, q=None, drafted=None, r=None) -> Place:
    """A place with the few tokens of p and q (V,) worth showing, the likeliest under p first."""
    import torch

    q_known = torch.zeros_like(p) if q is None else q
    ids = dict.fromkeys([token] if drafted is None else [token, drafted])
    both = torch.maximum(p, q_known)
    ids |= dict.fromkeys(i for i in both.topk(min(TOP, len(p))).indices.tolist() if both[i] > 0)
    shown = sorted(list(ids)[:TOP], key=lambda i: -float(p[i]))
    return Place(
        words(token),
        verdict,
        None if drafted is None else words(drafted),
        r,
        0.0 if q is None else min(1.0, float((p - q).clamp(min=0).sum())),
        tuple(words(i) for i in shown),
        tuple(p[shown].tolist()),
        tuple(q_known[shown].tolist()),
    )
