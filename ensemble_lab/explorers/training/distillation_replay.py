"""Students of digit networks, worked out once: from labels, from answers, from probabilities.

The teacher is an ensemble of networks. All students of one size are trained as one batch: five
seeds, each with a split of its own, times everything that they may learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_digits

from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.members import Members
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.distillation.losses import distillation_loss
from ensemble_lab.training.networks import perceptron

TEMPERATURES = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 20)
LESSONS = ("labels", "answers", *TEMPERATURES)  # what a student learns from
WIDTHS = (4, 8, 32)  # hidden units of a student
TEACHERS = (1, 2, 4, 8, 16)  # networks of the teacher
TEACHER_WIDTH = 64
SEEDS = range(5)
LEARNED, LABELLED = 998, 100  # images to learn from, and how many have labels
MISSING = 3
ALPHA = 0.1
EPOCHS = 20


@dataclass(frozen=True)
class Transfer:
    """Which images have labels, and what the teacher knows."""

    labelled: int = LEARNED
    missing: bool = False  # students never see a 3, nor its label
    teacher_width: int = TEACHER_WIDTH
    teacher_labels: int | None = None  # as many as the student


TRANSFERS = {
    "few labels": Transfer(LABELLED),
    "all labels": Transfer(),
    "no 3": Transfer(missing=True),
    "weak teacher": Transfer(teacher_width=2, teacher_labels=LABELLED),
}


@dataclass(frozen=True, eq=False)
class Students:
    """All students of one task and teacher; axes: seed, width, lesson, held-out image, class."""

    task: str
    teachers: int
    images: np.ndarray  # (5, n, 64), held out
    truth: np.ndarray  # (5, n)
    teacher: np.ndarray  # (5, n, 10), probabilities
    said: np.ndarray  # (5, widths, lessons, n, 10), probabilities

    @property
    def missing(self) -> bool:
        """Whether students never saw a 3; they are judged by those alone."""
        return TRANSFERS[self.task].missing

    @property
    def teacher_size(self) -> int:
        """How many numbers all networks of the teacher have learned."""
        return self.teachers * weights_of(TRANSFERS[self.task].teacher_width)

    def right(self, proba: np.ndarray) -> np.ndarray:
        """Share right (5, …) by probabilities (5, …, n, 10): of all images, or of the 3s."""
        answers = np.moveaxis(proba.argmax(-1), 0, -2).reshape(-1, *self.truth.shape)
        counted = self.truth == MISSING if self.missing else self.truth >= 0
        share = ((answers == self.truth) & counted).sum(-1) / counted.sum(-1)  # (…, 5)
        return np.moveaxis(share.reshape(*proba.shape[1:-2], -1), -1, 0)

    def least_sure(self, digit: int) -> int:
        """Of the first seed, the image of a digit that the teacher is least sure of."""
        sure = np.where(self.truth[0] == digit, self.teacher[0].max(-1), np.inf)
        return int(sure.argmin())


@cache
def splits() -> tuple[np.ndarray, ...]:
    """Images and digits of each seed (5, 1797, …); the first `LEARNED` are learned from."""
    X, y = load_digits(return_X_y=True)
    order = np.stack([np.random.default_rng(seed).permutation(len(y)) for seed in SEEDS])
    return (X / 16).astype(np.float32)[order], y[order]


@cache
def taught(width: int, labels: int) -> np.ndarray:
    """Probabilities (5, networks, 1797, 10) of networks that learned the first `labels` images."""
    X, y = splits()
    first = np.arange(LEARNED) % labels  # as many steps, however few labels there are
    rows = np.concatenate(
        [seed * X.shape[1] + first[None].repeat(TEACHERS[-1], 0) for seed in SEEDS]
    )
    found = train_members(
        partial(perceptron, 64, 10, width), X.reshape(-1, 64), y.reshape(-1), members=len(rows),
        loss=cross_entropy, rows=rows, epochs=EPOCHS, device="cpu", progress=False,
    )  # fmt: skip
    return _by_seed(found, X)


@cache
def students(transfer: str, teachers: int) -> Students:
    """Students of every size and lesson, of a teacher of so many networks."""
    what, (X, y) = TRANSFERS[transfer], splits()
    labels = what.teacher_labels or what.labelled
    teacher = taught(what.teacher_width, labels)[:, :teachers].mean(1)  # (5, 1797, 10)
    rows = [_rows(y[seed], what) for seed in SEEDS]  # (lessons, LEARNED) each
    hot = np.eye(10)[y]
    hot[:, what.labelled :] = 0
    # A table for students of probabilities and, below it, one for students of answers.
    tables = [np.stack([hot, given], axis=2) for given in (teacher, np.eye(10)[teacher.argmax(-1)])]
    answers = np.array([lesson == "answers" for lesson in LESSONS])
    place = [seed * X.shape[1] + answers[:, None] * y.size + rows[seed] for seed in SEEDS]
    heat = [lesson if lesson in TEMPERATURES else 1 for lesson in LESSONS] * len(SEEDS)
    share = [1.0 if lesson == "labels" else ALPHA for lesson in LESSONS] * len(SEEDS)
    said = []
    for width in WIDTHS:
        found = train_members(
            partial(perceptron, 64, 10, width), np.concatenate([X, X]).reshape(-1, 64),
            np.concatenate(tables).reshape(-1, 2, 10), members=len(heat),
            loss=partial(distillation_loss, temperature=heat, alpha=share),
            rows=np.concatenate(place), epochs=EPOCHS, device="cpu", progress=False,
        )  # fmt: skip
        said.append(_by_seed(found, X[:, LEARNED:]))
    held = X[:, LEARNED:], y[:, LEARNED:], teacher[:, LEARNED:]
    return Students(transfer, teachers, *held, np.stack(said, axis=1))


def _by_seed(found: Members, X: np.ndarray) -> np.ndarray:
    """Probabilities (5, m / 5, n, 10) of members that stand seed by seed, each for its own rows."""
    own = np.split(np.arange(len(found)), len(SEEDS))
    said = [found.some(some).outputs(rows) for some, rows in zip(own, X, strict=True)]
    return softmax(np.stack(said).astype(float), axis=-1)


def _rows(y: np.ndarray, what: Transfer) -> np.ndarray:
    """Rows (lessons, LEARNED) that students of one seed learn from; a few come again and again."""
    transfer = np.arange(LEARNED)
    if what.missing:
        transfer = transfer[y[:LEARNED] != MISSING]
    labelled = transfer[transfer < what.labelled]
    chosen = (labelled if lesson == "labels" else transfer for lesson in LESSONS)
    return np.stack([np.resize(some, LEARNED) for some in chosen])


def softened(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Distributions (…, k) at a temperature."""
    return softmax(np.log(np.maximum(proba, 1e-300)) / temperature, axis=-1)


def weights_of(width: int) -> int:
    """How many numbers a network of so many hidden units learns."""
    return 65 * width + 10 * (width + 1)


def surprise(proba: np.ndarray, truth: np.ndarray) -> float:
    """Mean negative log-likelihood of the right classes, in nats."""
    return float(-np.log(np.maximum(proba[np.arange(len(truth)), truth], 1e-12)).mean())


def calibration_error(proba: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: how far confidence is from the share right, mean over answers."""
    sure, right = proba.max(-1), proba.argmax(-1) == truth
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs((sure - right)[bin_of == b].sum()) for b in range(bins)]
    return float(np.sum(gaps) / len(truth))
