"""Count an n-gram table from text that a target wrote: `drafts/smollm2-ngram.safetensors`.

    python -m recipes.train_ngram --raw DIR

`DIR` holds `*.jsonl.gz` files of lines with `kind`, `greedy`, `prompt` and `completion`. Every
twentieth prompt, by its hash, is left out of the counts; how the table does on the greedy answers
to these is written next to it. Nothing is random: a second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ensemble_lab.models.vocabulary import vocabulary_fingerprint
from ensemble_lab.tokens.drafts.combined import StackedDraft
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.ngram import (
    START,
    NgramDraft,
    NgramTable,
    level_of,
    mixed,
)

DATA = Path(__file__).resolve().parents[1] / "data"
ORDER = 4  # a fifth token of context adds a thousandth to the tokens of a round
NEAR = 4  # a context that names its shorter one's token must differ in confidence by as much
FILL = 0.75  # share of the slots that are used; fuller, more entries crowd each other out
MOST = 990_000  # slots: below 4 MB
GAMMAS = (4, 8)
UNSEEN = "stacked_on_a_kind_not_counted"
NOTE = (
    "Most frequent continuations of up to four tokens in text that the model wrote; the model is"
    " Apache-2.0, its prompts used public questions and passages (GSM8K, MMLU-Pro, WikiText-2) and"
    " are not contained."
)


@dataclass(frozen=True)
class Answer:
    """A prompt and what the target answered, as tokens."""

    kind: str
    greedy: bool
    held_out: bool
    prompt: list[int]
    tokens: list[int]


def answers_of(raw: Path, tokenizer) -> list[Answer]:
    """The recorded answers, prompts in the tokenizer's chat template."""
    files = sorted(raw.glob("*.jsonl.gz"))
    if not files:
        raise FileNotFoundError(f"no *.jsonl.gz in {str(raw)!r}; pass --raw DIR")
    lines = [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    records = [json.loads(line) for line in lines]
    asked = [as_chat(tokenizer, one["prompt"]) for one in records]
    ids = tokenizer(asked + [one["completion"] for one in records], add_special_tokens=False)
    ids = ids["input_ids"]
    return [
        Answer(one["kind"], one["greedy"], is_held_out(one["prompt"]), prompt, tokens)
        for one, prompt, tokens in zip(
            records, ids[: len(records)], ids[len(records) :], strict=True
        )
    ]


def as_chat(tokenizer, prompt: str) -> str:
    """The text that the target is given for a prompt."""
    if tokenizer.chat_template is None:
        return prompt
    turn = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)


def is_held_out(prompt: str) -> bool:
    """Whether a prompt is one of the twentieth that is kept for judging."""
    return int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 20 == 0


def streams(answers: list[Answer]) -> tuple[np.ndarray, np.ndarray]:
    """All answers in one array, each after its prompt's last tokens; and the answers' places."""
    tokens, places = [], []
    for answer in answers:
        tokens += ([0] * ORDER + answer.prompt)[-ORDER:]
        places += range(len(tokens), len(tokens) + len(answer.tokens))
        tokens += answer.tokens
    return np.array(tokens, np.uint64), np.array(places)


def counted(stream: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes, tokens and confidence levels of the contexts worth an entry, most useful first.

    Contexts are known by 64-bit hashes. The distribution after each is smoothed by that after the
    context that is one token shorter, weighted by how many kinds of token were seen after it
    (Witten and Bell, 1991):
    p(w | c) = (count(c w) + kinds(c) p(w | shorter c)) / (count(c) + kinds(c)).
    So an undecided long context leaves the choice to a sure short one.
    """
    follow, h = stream[places], np.full(len(places), START, np.uint64)
    kept, above = [], None
    for n in range(ORDER + 1):
        if n:
            h = mixed(h, stream[places - n])
        order = Distribution.of(h, follow, above)
        if n:
            own = order.differs()
            kept.append((order.hashes[own], order.token[own], order.level[own], order.worth()[own]))
            order = order.shown(own)
        above = order
    hashes, tokens, levels, worth = (np.concatenate(part) for part in zip(*kept, strict=True))
    best = np.lexsort((hashes, -worth))
    return hashes[best], tokens[best], levels[best]


@dataclass(frozen=True)
class Distribution:
    """What follows the contexts of one order.

    Parameters
    ----------
    hashes, token, chance, level : (contexts,) arrays
        Each context's hash, likeliest token, its smoothed probability, and its level.
    seen : (contexts,) array
        How often each occurs.
    context_of : (places,) array
        The context at each place of the text.
    p : (places,) array
        Smoothed probability of what follows there.
    shorter : tuple of two (contexts,) arrays
        Token and level that the look-up would find without these contexts.
    """

    hashes: np.ndarray
    token: np.ndarray
    chance: np.ndarray
    level: np.ndarray
    seen: np.ndarray
    context_of: np.ndarray
    p: np.ndarray
    shorter: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, h: np.ndarray, follow: np.ndarray, above: Distribution | None) -> Distribution:
        """The distribution after contexts with hashes `h` (places,), smoothed by the shorter."""
        hashes, first, context_of, seen = unique(h)
        _, at, pair_of, count = unique(mixed(h, follow))  # a context and what follows it
        context = context_of[at]
        kinds = np.bincount(context) if above is not None else np.zeros(1)
        lower = above.p[at] if above is not None else 0.0
        p = (count + kinds[context] * lower) / (seen + kinds)[context]
        likeliest = np.lexsort((-follow[at].astype(np.int64), p, context))
        likeliest = likeliest[np.flatnonzero(np.diff(context[likeliest], append=len(hashes)))]
        token, chance = follow[at][likeliest], p[likeliest]
        shorter = token * 0, token.astype(np.int64) * 0
        if above is not None:
            parent = above.context_of[first]
            unseen = kinds / (seen + kinds) * above.chance[parent]  # of the shorter one's token
            token = np.where(unseen > chance, above.token[parent], token)
            chance = np.maximum(chance, unseen)
            shorter = above.shorter[0][parent], above.shorter[1][parent]
        return cls(hashes, token, chance, level_of(chance), seen, context_of, p[pair_of], shorter)

    def differs(self) -> np.ndarray:
        """Which contexts (contexts,) differ from the shorter ones."""
        token, level = self.shorter
        return (token != self.token) | (level == 0) | (np.abs(level - self.level) >= NEAR)

    def worth(self) -> np.ndarray:
        """Right guesses that an entry adds; entries kept only for their confidence come last."""
        right = self.seen * self.chance
        return np.where((self.shorter[0] != self.token) | (self.shorter[1] == 0), right, -1 / right)

    def shown(self, own: np.ndarray) -> Distribution:
        """What longer contexts find where only `own` (contexts,) have an entry."""
        level = np.where(own, self.level, self.shorter[1])
        return replace(self, shorter=(self.token, level))  # those without one name the same token


def unique(h: np.ndarray):
    """Distinct values, where each occurs first, which one is at each place, and how often."""
    return np.unique(h, return_index=True, return_inverse=True, return_counts=True)


def build(answers: list[Answer], about: dict) -> NgramTable:
    """The table of the answers that are not held out."""
    taken = [answer for answer in answers if not answer.held_out]
    hashes, tokens, levels = counted(*streams(taken))
    slots = min(MOST, int(len(hashes) / FILL) + 1)
    table = NgramTable.packed(hashes, tokens, levels, slots, ORDER, {})
    about = {
        **about,
        "note": NOTE,
        "answers": len(taken),
        "tokens": sum(len(answer.tokens) for answer in taken),
        "contexts": int(np.count_nonzero(table.words)),
        "crowded_out": len(hashes) - int(np.count_nonzero(table.words)),
        "held_out": "prompts whose sha256 is 0 modulo 20",
    }
    return replace(table, about=about)


def measure(draft, answers: list[Answer], gamma: int) -> dict:
    """How a draft does on greedy answers: they are known, so acceptance is exact without a model.

    Returns
    -------
    dict
        ``tokens_a_round`` by kind of prompt and of all; ``first``, the share of rounds whose first
        proposal stays; and by kind of proposal how many ``stayed`` (were accepted) of those
        ``examined``.
    """
    rounds, tokens, firsts, examined, stayed = (Counter() for _ in range(5))
    for answer in answers:
        for kinds, accepted, added in rounds_of(draft, answer, gamma):
            rounds[answer.kind] += 1
            tokens[answer.kind] += added
            firsts[answer.kind] += accepted > 0
            examined.update(kinds[: accepted + 1])
            stayed.update(kinds[:accepted])
    return {
        "tokens_a_round": shares(tokens, rounds),
        "first": shares(firsts, rounds),
        "kinds": {str(kind): [stayed[kind], examined[kind]] for kind in sorted(examined)},
    }


def rounds_of(draft, answer: Answer, gamma: int):
    """Kinds proposed, how many stayed and tokens added, round by round."""
    import torch

    text, left = list(answer.prompt), answer.tokens
    rows = SimpleNamespace(texts=[text], tokens=torch.empty(0))
    draft.begin(rows, None, None)
    while left:
        proposal = draft.propose(rows, gamma)
        drafted = proposal.tokens[0].tolist()
        accepted = 0
        while accepted < min(len(drafted), len(left)) and drafted[accepted] == left[accepted]:
            accepted += 1
        added = min(accepted + 1, len(left))
        yield list(proposal.kinds_of(0))[: len(left)], accepted, added
        text += left[:added]
        left = left[added:]


def shares(upper: Counter, lower: Counter) -> dict:
    """Quotients by key, and of the sums."""
    each = {key: round(upper[key] / lower[key], 4) for key in sorted(lower)}
    return {**each, "all": round(upper.total() / lower.total(), 4)}


def judged(table: NgramTable, answers: list[Answer]) -> dict:
    """What the table, prompt lookup and both do on the held-out greedy answers."""
    held = [answer for answer in answers if answer.held_out and answer.greedy]
    drafts = {"table": NgramDraft(table), "lookup": LookupDraft()}
    drafts["stacked"] = StackedDraft(drafts["lookup"], drafts["table"])
    figures = {
        name: {f"gamma {gamma}": measure(draft, held, gamma) for gamma in GAMMAS}
        for name, draft in drafts.items()
    }
    size = {"answers": len(held), "tokens": sum(len(answer.tokens) for answer in held)}
    known = {**table.about, "bytes": table.words.nbytes, "judged_on": size}
    return {**known, "drafts": figures, UNSEEN: unseen(answers)}


def unseen(answers: list[Answer]) -> dict:
    """Tokens a round of both drafts, by kind of prompt, with a table that never saw the kind."""
    found = {f"gamma {gamma}": {} for gamma in GAMMAS}
    for kind in sorted({answer.kind for answer in answers}):
        table = build([answer for answer in answers if answer.kind != kind], {})
        draft = StackedDraft(LookupDraft(), NgramDraft(table))
        held = [one for one in answers if one.kind == kind and one.held_out and one.greedy]
        for gamma in GAMMAS:
            by_kind = measure(draft, held, gamma)["tokens_a_round"]
            found[f"gamma {gamma}"][kind] = by_kind["all"]
    return found


def main() -> None:
    """Read, count, judge, write."""
    import ensemble_lab as lab

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder with *.jsonl.gz")
    parser.add_argument("--out", type=Path, default=DATA / "drafts")
    args = parser.parse_args()
    target = lab.load("smollm2", dtype="bfloat16")
    answers = answers_of(args.raw, target.tokenizer)
    words = {
        "weights": target.weights,
        "vocabulary": vocabulary_fingerprint(target.tokenizer),
        "licence": "Apache-2.0",
    }
    table = build(answers, words)
    args.out.mkdir(parents=True, exist_ok=True)
    table.save(args.out / "smollm2-ngram.safetensors")
    figures = judged(table, answers)
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    (args.out / "smollm2-ngram.json").write_text(text, encoding="utf-8")
    for name, by_gamma in figures["drafts"].items():
        for gamma, found in by_gamma.items():
            print(f"{name:8} {gamma}: {found['tokens_a_round']}, first {found['first']['all']}")
    print("stacked, each kind by a table that never saw it:", figures[UNSEEN])


if __name__ == "__main__":
    main()
