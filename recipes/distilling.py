"""What drafts are distilled from: a target's answers with its states, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from recipes.train_ngram import Answer

CONTEXT = 48  # tokens of a prompt that are seen in training; of an answer all
GROUP = 16  # answers whose states are computed together
SEED = 0


@dataclass(frozen=True)
class Batch:
    """B texts, padded to w tokens.

    Parameters
    ----------
    tokens : (B, w)
    states : (B, w, D)
        The target's after every token and its last norm.
    counts : (B, w) bool
        Where the distribution after a token is one of an answer.
    """

    tokens: torch.Tensor
    states: torch.Tensor
    counts: torch.Tensor


@dataclass(frozen=True)
class Texts:
    """Answers, and the target's states after all their tokens.

    Parameters
    ----------
    answers : list of Answer
    states : (all tokens, D) array
        bfloat16, seen as uint16 for NumPy.
    begin : (answers + 1,) array
        Where the states of each answer begin, those of its prompt first.
    there : list of int
        The answers whose states were computed.
    """

    answers: list[Answer]
    states: np.ndarray
    begin: np.ndarray
    there: list[int]

    def cut(self, i: int) -> int:
        """How many tokens of an answer's prompt are left out."""
        return max(0, len(self.answers[i].prompt) - CONTEXT)

    def states_of(self, i: int) -> torch.Tensor:
        """The target's states (w, D) after all tokens of an answer and its prompt."""
        found = np.array(self.states[self.begin[i] : self.begin[i + 1]])
        return torch.from_numpy(found).view(torch.bfloat16)

    def batch(self, chosen: list[int]) -> Batch:
        """Some of the texts side by side."""
        whole = [self.answers[i].prompt + self.answers[i].tokens for i in chosen]
        texts = [text[self.cut(i) :] for text, i in zip(whole, chosen, strict=True)]
        size = len(texts), max(map(len, texts))
        tokens, counts = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.bool)
        states = torch.zeros(*size, self.states.shape[1], dtype=torch.bfloat16)
        for row, (i, text) in enumerate(zip(chosen, texts, strict=True)):
            tokens[row, : len(text)] = torch.tensor(text)
            states[row, : len(text)] = self.states_of(i)[self.cut(i) :]
            counts[row, len(text) - len(self.answers[i].tokens) - 1 : len(text)] = True
        return Batch(tokens, states, counts)


def begins(answers: list[Answer]) -> np.ndarray:
    """Where each text starts when all are joined, and where the last one ends."""
    return np.cumsum([0, *(len(answer.prompt) + len(answer.tokens) for answer in answers)])


def batches(
    texts: Texts, chosen: list[int], size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """One pass over some texts; those of like length come together, so that little is padding."""
    lengths = np.diff(texts.begin)[chosen] - [texts.cut(i) for i in chosen]
    order = np.argsort(lengths + rng.uniform(0, 8, len(chosen)))
    groups = np.array_split(np.array(chosen)[order], max(1, len(chosen) // size))
    for group in rng.permutation(len(groups)):
        yield texts.batch(groups[group].tolist())


def compute_states(model, answers: list[Answer], share: float, path: Path) -> Texts:
    """States of a share of the answers, drawn at random, in a file; one that is whole is opened.

    Raises
    ------
    ValueError
        The file was made for a smaller share.
    """
    begin = begins(answers)
    order = np.argsort(np.diff(begin), kind="stable")  # of like length, so that little is padding
    groups = np.array_split(order, range(GROUP, len(order), GROUP))
    drawn = np.random.default_rng(SEED).permutation(len(groups))[: round(share * len(groups))]
    shape = int(begin[-1]), model.config.hidden_size
    if not path.exists():
        unfinished = path.with_suffix(".part")
        kept = np.memmap(unfinished, np.uint16, "w+", shape=shape)
        for some in tqdm([groups[i] for i in drawn], "states of the target"):
            found = states_of(model, [answers[i].prompt + answers[i].tokens for i in some])
            for i, states in zip(some, found, strict=True):
                kept[begin[i] : begin[i + 1]] = states
        kept.flush()
        unfinished.rename(path)
    states = np.memmap(path, np.uint16, "r", shape=shape)
    there = sorted(np.concatenate([groups[i] for i in drawn]).tolist())
    if not all(states[begin[i]].any() for i in there):  # what was not computed is zero
        raise ValueError(f"{path} holds fewer answers than share={share} asks for: delete it")
    return Texts(answers, states, begin, there)


def joined(several: Sequence[Texts]) -> Texts:
    """Some texts as one; their states are copied into memory."""
    if len(several) == 1:
        return several[0]
    answers = [answer for texts in several for answer in texts.answers]
    before = np.cumsum([0, *(len(texts.answers) for texts in several)]).tolist()
    there = [n + i for n, texts in zip(before, several, strict=False) for i in texts.there]
    states = np.concatenate([texts.states for texts in several])
    return Texts(answers, states, begins(answers), there)


@torch.inference_mode()
def states_of(model, texts: list[list[int]]) -> list[np.ndarray]:
    """States (tokens, D) of each text, as bfloat16 seen as uint16."""
    tokens = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.long)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor(text)
    states = model.model(tokens, use_cache=False).last_hidden_state.to(torch.bfloat16)
    seen = states.view(torch.uint16).numpy()
    return [row[: len(text)] for row, text in zip(seen, texts, strict=True)]


def frequent(answers: list[Answer], size: int) -> torch.Tensor:
    """The tokens that answers hold most often (size,), ascending."""
    found, count = np.unique(
        np.concatenate([answer.tokens for answer in answers]), return_counts=True
    )
    return torch.from_numpy(np.sort(found[np.argsort(-count, kind="stable")[:size]]))
