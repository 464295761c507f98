"""A gate for deferral, learned where a small model would not have written what a large one did."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble_lab.core.missing import require
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.deferral import (
    ConfidenceDeferral,
    LearnedDeferral,
    check_threshold,
    features_of,
)
from ensemble_lab.tokens.together.judging import AT_ONCE, padded


class Differences(NamedTuple):
    """Where a small model would have written another token than a large one.

    Parameters
    ----------
    text : (n,) array of int
        The number of the prompt, from 0.
    tokens : (n,) array of int
        What the large model wrote greedily after the prompts.
    differs : (n,) array of bool
        Whether the small model's likeliest token, after the same text, is another.
    features : (n, 3) array
        Of the small model's distribution at temperature 1: its maximum, the margin to the second
        largest, and the entropy in nats.
    """

    text: np.ndarray
    tokens: np.ndarray
    differs: np.ndarray
    features: np.ndarray


def token_differences(
    large: LanguageModel, small: LanguageModel, prompts, *, max_new_tokens: int = 64
) -> Differences:
    """Let a large model write greedily, and see where a small one would have differed.

    The share of tokens that differ is what a deferral needs at least, if it asks the large model at
    these tokens and no others.

    Parameters
    ----------
    large, small : LanguageModel
        With one vocabulary, on one device.
    prompts, max_new_tokens
        As in `decode`.

    Raises
    ------
    ModelError, ValueError
        As in `decode`, and for models that do not fit together.
    """
    require("decoding", "torch", "transformers")
    import torch

    both = CombinedModel([large, small], ConfidenceDeferral())
    columns = [], [], [], []
    for i, prompt in enumerate(read_prompts(prompts)[0]):
        [ids], _ = tokens_of(large, [prompt])
        made = decode(large, ids, max_new_tokens=max_new_tokens).tokens
        read = torch.tensor([[*ids, *made]], device=large.device)
        with torch.inference_mode():
            scores = both.model.each(read)[1][0, len(ids) - 1 : -1].double()  # (n, V)
            differs = scores.argmax(-1) != read[0, len(ids) :]
        found = [i] * len(made), made, differs.tolist(), features_of(scores).tolist()
        for column, part in zip(columns, found, strict=True):
            column += part
    return Differences(*map(np.array, columns))


def fit_deferral(
    large: LanguageModel,
    small: LanguageModel,
    prompts,
    *,
    threshold: float = 0.5,
    max_new_tokens: int = 64,
) -> LearnedDeferral:
    """Learn where to defer, from greedy texts of the large model.

    The gate is fitted by logistic regression to `token_differences`: at how many tokens, given the
    three features, would the small model have written another one? Judge it on other prompts.

    Parameters
    ----------
    large, small, prompts, max_new_tokens
        As in `token_differences`.
    threshold : float
        Of the gate, in [0, 1]; ``dataclasses.replace(gate, threshold=…)`` changes it later.

    Returns
    -------
    LearnedDeferral
        `trained_on` says from how many tokens of which models.

    Raises
    ------
    ModelError
        As in `token_differences`.
    ValueError
        As in `token_differences`, a threshold out of its range, or models that differ nowhere, or
        everywhere.

    Notes
    -----
    Co-LLM starts from a regression such as this, and goes on with `fit_deferral_to_texts`.

    References
    ----------
    Shen et al., Learning to decode collaboratively with multiple language models, ACL 2024. Zhang
    et al., Fast and slow generating: an empirical study on large and small language models
    collaborative decoding, 2024.
    """
    from sklearn.linear_model import LogisticRegression

    check_threshold(threshold)
    found = token_differences(large, small, prompts, max_new_tokens=max_new_tokens)
    if len(set(found.differs.tolist())) < 2:
        where = "everywhere" if found.differs.all() else "nowhere"
        raise ValueError(
            f"the two models differ {where} in {len(found.tokens)} tokens, so there is nothing to"
            " learn: give more prompts, or another pair"
        )
    gate = LogisticRegression(max_iter=1000).fit(found.features, found.differs)
    return LearnedDeferral(
        gate.coef_[0].tolist(),
        float(gate.intercept_[0]),
        threshold,
        f"{len(found.tokens)} greedy tokens of {large.weights} after {found.text[-1] + 1} prompts;"
        f" {small.weights} differs in {found.differs.mean():.0%}",
    )


def fit_deferral_to_texts(
    large: LanguageModel, small: LanguageModel, texts, *, threshold: float = 0.5
) -> LearnedDeferral:
    """Learn where to defer, from given texts: by the likelihood of their tokens.

    With g(x) the gate's chance before a token y, that token has probability (1 - g) q(y) + g p(y):
    which model writes it is not known, and is summed over. The gate maximises the sum of its
    logarithms over the tokens after the first of every text, less half the squared norm of its four
    numbers. Judge it on other texts.

    Parameters
    ----------
    large, small
        As in `token_differences`.
    texts
        As prompts in `decode`, each of two tokens or more; not written by either model.
    threshold : float
        As in `fit_deferral`.

    Returns
    -------
    LearnedDeferral

    Raises
    ------
    ModelError
        As in `token_score`, and for models that do not fit together.
    ValueError
        A threshold out of its range, or models that give every token the same probability.

    Notes
    -----
    Texts of the large model are nearly always likelier by p, so the gate learned from them would
    always ask: for these there is `fit_deferral`.

    References
    ----------
    Shen et al., Learning to decode collaboratively with multiple language models, ACL 2024. There
    the gate reads the small model's last states.
    """
    require("decoding", "torch", "transformers")
    import torch
    from scipy.optimize import minimize

    check_threshold(threshold)
    both = CombinedModel([large, small], ConfidenceDeferral())
    rows, known = padded(both, texts)
    features, logs = [], []
    with torch.inference_mode():
        for some, there in zip(rows.split(AT_ONCE), known.split(AT_ONCE), strict=True):
            scores = [one[:, :-1].double() for one in both.model.each(some)]  # (n, T - 1, V)
            features.append(features_of(scores[1])[there])
            chosen = some[:, 1:, None]
            logs.append([x.log_softmax(-1).gather(-1, chosen)[..., 0][there] for x in scores])
    x = torch.cat(features).cpu().numpy()
    p, q = (torch.cat(parts).cpu().numpy() for parts in zip(*logs, strict=True))
    if np.allclose(p, q, atol=1e-9):
        raise ValueError(
            f"both models give all {len(p)} tokens the same probability, so there is nothing to"
            " learn: give another pair"
        )
    x = np.column_stack([x, np.ones(len(x))])  # (n, 4)
    found = minimize(negative_likelihood, np.zeros(4), (x, p, q), jac=True).x.tolist()
    about = f"{len(p)} tokens of {len(rows)} given texts, by their likelihood"
    return LearnedDeferral(found[:3], found[3], threshold, about)


def negative_likelihood(
    gate: np.ndarray, x: np.ndarray, p: np.ndarray, q: np.ndarray
) -> tuple[float, np.ndarray]:
    """What is minimised, and its gradient (k,), for features x (n, k) and logs p, q (n,) of y.

    -sum log((1 - g) q + g p) + |gate|^2 / 2, where g = sigmoid(x gate).
    """
    z = x @ gate
    on, off = -np.logaddexp(0, -z), -np.logaddexp(0, z)  # log g, log(1 - g)
    mixed = np.logaddexp(off + q, on + p)
    slope = np.exp(on + off) * (np.exp(p - mixed) - np.exp(q - mixed))  # of mixed by z
    return gate @ gate / 2 - mixed.sum(), gate - slope @ x
