"""A small live experiment: whether a strong answer to a near question makes SmolLM2 better.

Two kinds of questions, 40 of each. Of sums, the near question has another answer. Of facts, each is
asked in four ways, so the near question has the same answer. The strong model is the truth itself:
no guide can be better.
"""

from __future__ import annotations

import re

import numpy as np
from tqdm import tqdm

import ensemble_lab as lab
from benchmarks.parts.compare import record
from benchmarks.parts.peers import PeerMissing
from benchmarks.parts.random_llama import random_llama
from ensemble_lab.answers.online.memory import with_guide
from ensemble_lab.models.sentences import missing, vectors_of

FACTS = (  # a number, and ways to ask for it
    ("8", "legs does a spider have", "legs has a spider", "legs are on a spider"),
    ("7", "days are in a week", "days does a week have", "days make a week"),
    ("60", "minutes are in an hour", "minutes does an hour have", "minutes make an hour"),
    ("12", "months are in a year", "months does a year have", "months make a year"),
    ("50", "states are in the USA", "states does the USA have", "states make up the USA"),
    ("206", "bones has an adult human", "bones are in an adult's body", "bones does an adult have"),
    ("88", "keys are on a piano", "keys does a piano have", "keys has a piano"),
    ("64", "squares are on a chess board", "squares has a chess board", "squares are in chess"),
    ("26", "letters are in the alphabet", "letters has the English alphabet", "letters are there"),
    ("366", "days has a leap year", "days are in a leap year", "days does a leap year have"),
)
WAYS = ("How many {}?", "Tell me how many {}.")
TOKENS = 24
ORDERS = 5  # of the questions in the stream
RADIUS = 0.6  # between embeddings of length 1


def sums() -> list[tuple[str, str]]:
    """40 questions and their answers."""
    rng = np.random.default_rng(0)
    pairs = [(int(a), int(b)) for a, b in rng.integers(2, 13, (40, 2))]
    plus = [(f"What is {a} + {b}?", str(a + b)) for a, b in pairs[:20]]
    return plus + [(f"What is {a} x {b}?", str(a * b)) for a, b in pairs[20:]]


def facts() -> list[tuple[str, str]]:
    """40 questions, four about each of ten facts, and their answers."""
    return [
        (way.format(words), answer)
        for answer, *all_words in FACTS
        for way, words in [*((WAYS[0], one) for one in all_words), (WAYS[1], all_words[0])]
    ]


def number_in(text: str) -> str | None:
    """The last number in the first line that has one: a model goes on to talk after it."""
    for line in text.splitlines():
        if found := re.findall(r"\d+", line.replace(",", "")):
            return found[-1]
    return None


class Small:
    """A loaded model that replies with a number; every prompt is asked once."""

    def __init__(self, model, most: int = TOKENS):
        self.model, self.most, self.kept = model, most, {}

    def __call__(self, item: str) -> lab.Reply:
        if item not in self.kept:
            said = [{"role": "user", "content": f"{item}\nAnswer with the number only."}]
            text = lab.decode(self.model, said, max_new_tokens=self.most).text
            self.kept[item] = lab.Reply(number_in(text), text=text)
        return self.kept[item]


def guided_answers(quick):
    """The stream's accuracy beside a random mixture that asks the strong model as often."""
    if missing():
        raise PeerMissing(f"{missing()[0]} is not installed: pip install -e .[questions]")
    model = random_llama(0) if quick else lab.load("smollm2", dtype="bfloat16")
    small = Small(model, 2 if quick else TOKENS)
    found = {}
    for kind, pairs in (("facts", facts()), ("sums", sums())):
        some = pairs[:6] if quick else pairs
        found[kind] = compared(small, *zip(*some, strict=True), 1 if quick else ORDERS)
    router, mixture = (
        np.mean([of[name]["mean"] for of in found.values()]) for name in ("router", "mixture")
    )
    return record(
        "guided-answers",
        float(router),
        float(mixture),
        "accuracy",
        higher_is_better=True,
        goal="at least 1.02; shown for each kind of question",
        peer_is="a random mixture of both models that asks the strong one as often",
        weights=model.weights,
        questions=sum(of["questions"] for of in found.values()),
        guides=found,
    )


def compared(small, questions, answers, orders: int) -> dict:
    """Accuracies alone and with the nearest other question as a guide, and those of streams."""
    points = np.asarray(vectors_of(list(questions)), float)  # (n, d), of length 1
    away = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(away, np.inf)
    near = away.argmin(axis=1)
    prompts = [
        with_guide(one, questions[j], answers[j]) for one, j in zip(questions, near, strict=True)
    ]
    alone, guided = (
        np.array([small(one).answer == truth for one, truth in zip(some, answers, strict=True)])
        for some in (questions, prompts)
    )
    streams = [
        stream(small, questions, answers, points, np.random.default_rng(seed))
        for seed in range(orders)
    ]
    router, share = (np.array(values) for values in zip(*streams, strict=True))
    mixture = alone.mean() + share * (1 - alone.mean())  # the strong model is always right
    changed = guided.astype(int) - alone
    return {
        "questions": len(questions),
        "near_has_the_same_answer": float(np.mean([answers[i] == answers[j]
                                                   for i, j in enumerate(near)])),
        "alone": float(alone.mean()),
        "guided": float(guided.mean()),
        "gain": {"mean": float(changed.mean()),
                 "error": float(changed.std(ddof=1) / np.sqrt(len(changed)))},
        "router": spread(router),
        "mixture": spread(mixture),
        "strong_share": spread(share),
    }  # fmt: skip


def stream(small, questions, answers, points, rng) -> tuple[float, float]:
    """A `GuidedRouter` over the questions in a random order: accuracy, share of strong answers."""
    features = tuple(f"x{d}" for d in range(points.shape[1]))
    policy = lab.GuidedRouter("small", "small, guided", "truth", features, RADIUS)
    learner = policy.begin(policy.models, rng)
    models = {"small": small, "truth": dict(zip(questions, answers, strict=True)).__getitem__}
    right = [
        learner.ask(models, questions[i], dict(zip(features, points[i], strict=True))).answer
        == answers[i]
        for i in tqdm(rng.permutation(len(questions)), desc="questions", leave=False)
    ]
    return float(np.mean(right)), float(learner.asked[2] / len(right))


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation."""
    return {"mean": float(values.mean()), "sd": float(values.std())}
