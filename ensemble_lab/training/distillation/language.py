"""A draft learns to say what its target would: distillation of language models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.gradients import trains
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import seed_of
from ensemble_lab.training.distillation.pairs import check_pair
from ensemble_lab.training.distillation.student import (
    Lesson,
    Student,
    check_share,
    check_trainable,
    check_training,
    drawn,
)
from ensemble_lab.training.distillation.texts import (
    Answers,
    Batch,
    answers_of,
    check_context,
    check_length,
    prompts_of,
    write,
)


@dataclass(frozen=True)
class Distilled:
    """A draft that has learned from its target.

    Parameters
    ----------
    draft : LanguageModel
        In the number format of the one that was given.
    losses : (n,) array
        The loss before each step, in nats a token; of total variation, a probability.
    acceptances : (n,) array
        The mean of sum min(p, q) over the tokens that were learned in each step; at temperature 0
        the share of tokens that both find likeliest.
    own : (n,) array of bool
        Whether the draft wrote the step's texts itself.
    """

    draft: LanguageModel
    losses: np.ndarray
    acceptances: np.ndarray
    own: np.ndarray

    def save(self, folder: str | Path) -> None:
        """Write the weights as safetensors, and the tokenizer; `load(folder)` reads them again.

        Raises
        ------
        ModelError
            There is a file of this name.
        """
        if Path(folder).is_file():
            raise ModelError(f"{shown(str(folder))} is a file: give the name of a folder")
        self.draft.model.save_pretrained(folder)
        self.draft.tokenizer.save_pretrained(folder)


@trains("distilling a draft", "transformers")
def distil(
    target: LanguageModel,
    draft: LanguageModel,
    prompts,
    answers=None,
    *,
    divergence: str | Callable = "forward_kl",
    student_share: float = 0.0,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    steps: int = 200,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    seed: int | None = None,
    progress: bool = True,
) -> Distilled:
    """Train a draft to say what its target would, so that more of its tokens are accepted.

    Parameters
    ----------
    target : LanguageModel
        The teacher, which does not change. It is only read, also in few bits.
    draft : LanguageModel
        The student, with the target's tokens; a copy of it learns.
    prompts
        As in `decode`: texts, chats or token ids. They are read and not learned.
    answers : list, optional
        Of a text, or its tokens, to each prompt: to a text the token that ends texts is added. By
        default the target writes an answer to each prompt when it is first drawn.
    divergence : str or callable
        ``"forward_kl"``, ``"reverse_kl"``, ``"jsd"``, ``"total_variation"``, or a function of the
        logits of teacher and student (n, V), such as ``partial(generalised_jsd, beta=0.1)``, to
        (n,) numbers. With ``"cross_entropy"`` the draft learns the tokens of the answers alone,
        which is sequence-level distillation where the target wrote them.
    student_share : float
        The share of batches whose answers the draft writes itself, as it is then (lambda in GKD).
    temperature : float
        Of the answers that are written and of both distributions: use the one that will be decoded
        at. 0 is for cross-entropy alone, to learn the target's likeliest text.
    max_new_tokens : int
        Most tokens of an answer that is written.
    steps, batch_size : int
        Steps of AdamW, of so many texts each.
    learning_rate : float
        The highest: it rises over the first twentieth of the steps, then falls to 0 on a line.
    seed : int, optional
        One seed, one result.
    progress : bool
        Show a bar.

    Returns
    -------
    Distilled
        Interrupted by the keyboard: the draft that gave the last of `losses`. Training goes on
        where that draft is given again.

    Raises
    ------
    ModelError
        No weights here or only in few bits, other tokens, two devices, prompts as in `decode` that
        cannot be read or do not fit, other counts of answers, NaN or infinite logits before the
        first step.
    ValueError
        A setting out of its range, or the draft is its own target.

    Warns
    -----
    UserWarning
        The loss became NaN or infinite: training stops, with the last weights that gave a number.

    Notes
    -----
    The draft learns in float32 and without dropout. Logits of all tokens of a batch are in memory
    a few times: texts, tokens and vocabulary multiply. No gradient passes through what the draft
    wrote, as in GKD.

    References
    ----------
    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015. Kim and Rush,
    Sequence-level knowledge distillation, EMNLP 2016. Agarwal et al., On-policy distillation of
    language models, ICLR 2024 (GKD). Zhou et al., DistillSpec: improving speculative decoding via
    knowledge distillation, ICLR 2024.
    """
    from tqdm.auto import tqdm

    check_pair(target, draft)
    check_trainable(target, draft)
    check_training(steps, batch_size, learning_rate)
    check_share(student_share, divergence)
    lesson = Lesson(target, draft, divergence, temperature)
    rows, most = prompts_of(target, prompts), check_length(max_new_tokens)
    given = None if answers is None else answers_of(target, answers, len(rows))
    if given:
        check_context(rows, given, target, draft)
    if student_share or not given:
        check_context(rows, most, target, draft)
    theirs = Answers(target, rows, given)
    rng = np.random.default_rng(None if seed is None else seed_of(seed) % 2**64)
    student, history = Student(draft, float(learning_rate), steps), []
    indices = drawn(len(rows), batch_size, rng)
    bar = tqdm(range(steps), desc="distilling", unit="step", disable=not progress)
    try:
        for _ in bar:
            # 1. Prompts, and answers to them: the draft's own, or the target's.
            which, own = next(indices), bool(rng.random() < student_share)
            asked, how = [rows[i] for i in which], (most, temperature, int(rng.integers(2**62)))
            texts = write(draft, student.network, asked, *how) if own else theirs.to(which, *how)
            # 2. Both models read them, and the draft takes a step towards the target.
            batch = Batch.of(asked, texts, target.device)
            loss, accepted = lesson.read(student.network, batch)
            if not (right := bool(loss.isfinite())):
                break
            history.append((loss.item(), accepted, own))
            student.step(loss)
            bar.set_postfix(loss=f"{loss.item():.3f}", acceptance=f"{accepted:.3f}")
        else:  # the last step may have broken the weights as well
            right = bool(lesson.read(student.network, batch)[0].isfinite())
    except KeyboardInterrupt:
        if not history:
            raise
        student.back()
        right = True
    if not right:
        if not history:
            lesson.blame(student.network, batch)
            raise ValueError(f"divergence={shown(divergence)} is NaN or infinite at the first step")
        student.back()
        warnings.warn(
            f"the loss became NaN or infinite after {len(history)} steps: stopped, with the weights"
            f" before, whose loss was {history[-1][0]:.3f}; use a learning_rate below"
            f" {shown(learning_rate)}",
            stacklevel=3,
        )
    losses, accepted, own = map(np.array, zip(*history, strict=True))
    return Distilled(student.finished(target), losses, accepted, own)
