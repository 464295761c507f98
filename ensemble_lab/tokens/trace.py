"""A decoding that keeps what every round saw: p, q, the residual, the number drawn, the verdict.

It listens to what the session's draft and target say and changes nothing: the text is the one
that the same seed gives without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_lab.tokens.decode import stream

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.session import Round

ACCEPTED, CORRECTED, BONUS, PLAIN = VERDICTS = ("accepted", "corrected", "bonus", "plain")
TOP = 5  # tokens of a law that are kept
DIGITS = 3  # significant ones in a file


@dataclass(frozen=True)
class Place:
    """One token of the text and how it came there.

    Parameters
    ----------
    token : str
        What stands there in the end.
    verdict : {"accepted", "corrected", "bonus", "plain"}
        Drafted and kept; drafted otherwise and replaced; the target's own behind drafted tokens
        that all stayed; the target's own where nothing had been drafted.
    drafted : str or None
        What the draft had there.
    r : float or None
        The number in [0, 1) that decided: the drafted token stays where r < p / q. None where
        nothing was drawn.
    falls : float
        Sum of max(p - q, 0), the chance that a drafted token falls here; 0 where there is none.
    tokens : tuple of str
        The likeliest tokens of p and q, with `token` and `drafted` among them.
    p, q : tuple of float
        Their probabilities under the target's and the draft's law; q is 0 where there is none.
    """

    token: str
    verdict: str
    drafted: str | None
    r: float | None
    falls: float
    tokens: tuple[str, ...]
    p: tuple[float, ...]
    q: tuple[float, ...]

    @property
    def residual(self) -> tuple[float, ...]:
        """max(p - q, 0) over its sum: what a correction is drawn from; p where they are equal."""
        if self.falls < 1e-6:
            return self.p
        return tuple(max(p - q, 0.0) / self.falls for p, q in zip(self.p, self.q, strict=True))

    @property
    def ratio(self) -> float | None:
        """What r was compared with, p / q of the drafted token; None where nothing was drafted."""
        if self.drafted is None:
            return None
        at = self.tokens.index(self.drafted)
        return self.p[at] / self.q[at]


@dataclass(frozen=True)
class TracedRound:
    """The drafted tokens of a round, how many of them stayed, and the places that it filled."""

    drafted: tuple[str, ...]
    accepted: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Trace:
    """One generation with everything that its rounds saw.

    Parameters
    ----------
    prompt, draft : str
        What they are called in a picture.
    target : str
        Which weights wrote it.
    gamma : int
    temperature : float
    text : str
    rounds : tuple of TracedRound
    """

    prompt: str
    draft: str
    target: str
    gamma: int
    temperature: float
    text: str
    rounds: tuple[TracedRound, ...]

    @property
    def places(self) -> tuple[tuple[int, Place], ...]:
        """(round, place) of every token of the text."""
        return tuple((i, place) for i, one in enumerate(self.rounds) for place in one.places)


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
    """Decode one prompt and keep what every round saw.

    Parameters
    ----------
    target, prompt, draft, gamma, temperature, max_new_tokens, seed
        As in `stream`; one prompt.
    names : (str, str), optional
        What to call the prompt and the draft; by default the text and the draft's own name.

    Returns
    -------
    Trace

    Raises
    ------
    ModelError, ValueError
        As in `stream`.
    """
    settings = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
    decoding = stream(target, prompt, draft, gamma=gamma, **settings)
    session = decoding.session
    session.reader = reader = HeardReader(session.reader, session.generator)
    if session.draft is not None:
        session.draft = HeardDraft(session.draft)
    words, rounds = Words(target.tokenizer), []
    for (one,) in decoding:
        k, p = len(one.proposed), session.sampling.law(reader.logits[0])  # (k + 1, V)
        laws = session.draft.laws if k else None
        drawn = [None] * k if session.sampling.greedy else reader.numbers(k, p)
        rounds.append(_traced(one, p, laws, drawn, words))
    called = names or (str(prompt), getattr(draft, "weights", str(draft or "no draft")))
    text = decoding.generations[0].text
    return Trace(*called, target.weights, gamma, temperature, text, tuple(rounds))


class HeardReader:
    """A target's reader that remembers its last logits, and the dice as they lay after them."""

    def __init__(self, reader, generator: torch.Generator):
        self.reader, self.generator = reader, generator

    def __getattr__(self, name: str):
        return getattr(self.reader, name)

    def read(self, *places) -> torch.Tensor:
        return self._heard(self.reader.read(*places))

    def finish(self, *places) -> torch.Tensor:
        return self._heard(self.reader.finish(*places))

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
    """A draft that remembers the laws that it sampled from."""

    def __init__(self, draft):
        self.draft = draft

    def propose(self, rows, most: int):
        proposal = self.draft.propose(rows, most)
        self.laws = proposal.laws
        return proposal


class Words:
    """Single tokens as a picture shows them, spaces and line ends made visible."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, token: int) -> str:
        text = self.tokenizer.decode([token])
        if not text or "\ufffd" in text:  # a part of a character
            text = self.tokenizer.convert_ids_to_tokens(token)
        return text.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")


def _traced(one: Round, p: torch.Tensor, laws, drawn: Sequence, words: Words) -> TracedRound:
    """A round with its laws, p (k + 1, V) and the draft's (1, k, V) or None, and k numbers."""
    import torch

    k = len(one.proposed)
    certain = torch.nn.functional.one_hot(torch.tensor(one.proposed, dtype=torch.long), p.shape[1])
    q = certain.to(p) if laws is None else laws[0, :k]
    places = []
    for i, token in enumerate(one.tokens):
        if i < k:
            drafted, verdict = one.proposed[i], ACCEPTED if i < one.accepted else CORRECTED
            places.append(_place(token, verdict, p[i], words, q[i], drafted, drawn[i]))
        else:
            places.append(_place(token, BONUS if k else PLAIN, p[i], words))
    return TracedRound(tuple(map(words, one.proposed)), one.accepted, tuple(places))


def _place(token, verdict, p, words, q=None, drafted=None, r=None) -> Place:
    """Of laws (V,) the few tokens worth showing, the likeliest under p first."""
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


# -- files --------------------------------------------------------------------------------------


def write_traces(path: Path, traces: Iterable[Trace], **about: str) -> None:
    """Write traces as JSON, with what else is to be known of them."""
    kept = [_brief(astuple(one)) for one in traces]
    lines = ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in kept)
    head = json.dumps(about, ensure_ascii=False, indent=1)
    columns = json.dumps([[f.name for f in fields(kind)] for kind in (Trace, TracedRound, Place)])
    text = f'{{"about": {head},\n"columns": {columns},\n"traces": [\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8")


def read_traces(path: Path) -> list[Trace]:
    """What `write_traces` wrote.

    Raises
    ------
    ValueError
        Another file, or a damaged one.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["traces"]
        return [
            Trace(*head, tuple(TracedRound(tuple(d), a, tuple(map(_read_place, places)))
                               for d, a, places in rounds))
            for *head, rounds in found
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} holds no traces ({error!r}); record them again") from None


def _read_place(kept: Sequence) -> Place:
    return Place(*(tuple(part) if isinstance(part, list) else part for part in kept))


def _brief(value: Any) -> Any:
    """Nested tuples as lists of numbers with few digits."""
    if isinstance(value, float):
        short = float(np.format_float_positional(value, DIGITS, fractional=False))
        return int(short) if short.is_integer() else short
    return [_brief(part) for part in value] if isinstance(value, tuple) else value
