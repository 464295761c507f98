"""Checks of notebook 07: the residual of a cascade, and the tokens that contrast may choose."""

from __future__ import annotations

from functools import partial

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the residual of a cascade -----------------------------------------------------------------


def _normalised(left: np.ndarray) -> np.ndarray:
    return left / left.sum() if left.sum() > 0 else left


def _aim(p, q, alpha, kept=lambda p, q, alpha: p >= (1 - alpha) * p.max(),
         missing=lambda within: 1 - within.sum()) -> np.ndarray:  # fmt: skip
    """The cascade's distribution (V,): kept tokens as the draft has them, the target elsewhere."""
    within = np.where(kept(p, q, alpha), q, 0.0)
    return within + missing(within) * p


def _residual(p, q, alpha, pi=None, left=lambda pi, p, q: np.maximum(pi - q, 0), scaled=True):
    """What the token after a rejected one comes from (V,)."""
    found = left(_aim(p, q, alpha), p, q)
    return _normalised(found) if scaled else found


AIM_MISTAKES = (
    (partial(_aim, kept=lambda p, q, alpha: p >= p.max() - alpha),
     "is the limit a share of the largest p, or a distance from it? That rule is V2"),
    (partial(_aim, kept=lambda p, q, alpha: q >= (1 - alpha) * q.max()),
     "whose probability decides whether a token is good enough: the draft's?"),
    (partial(_aim, kept=lambda p, q, alpha: p >= alpha * p.max()),
     "which alpha keeps all of the draft's tokens: 0 or 1?"),
    (partial(_aim, kept=lambda p, q, alpha: p > (1 - alpha) * p.max()),
     "is the target's likeliest token good enough at alpha = 0? It is exactly at the limit"),
    (partial(_aim, missing=lambda within: 0.0),
     "what is the sum of your pi? The draft may also write a token that is not kept: who writes"
     " then?"),
    (lambda p, q, alpha: _normalised(_aim(p, q, alpha, missing=lambda within: 0.0)),
     "you scale up the kept tokens. Does the draft write again where its token is not kept, or the"
     " target?"),
    (lambda p, q, alpha: np.where(p >= (1 - alpha) * p.max(), q, p),
     "what is the sum of your pi? The target writes only where the draft's token is not kept, but"
     " then any token"),
    (lambda p, q, alpha: _normalised(np.where(p >= (1 - alpha) * p.max(), q, p)),
     "the target writes only where the draft's token is not kept, but then any token, also a kept"
     " one. How often is that?"),
    (partial(_aim, missing=lambda within: 1.0),
     "what is the sum of your pi? How often is the target asked at all?"),
    (lambda p, q, alpha: np.where(p >= (1 - alpha) * p.max(), p, 0) + p * (
        1 - p[p >= (1 - alpha) * p.max()].sum()),
     "a kept token has the draft's probability, not the target's. Who writes it?"),
)  # fmt: skip
RESIDUAL_MISTAKES = (
    (partial(_residual, left=lambda pi, p, q: np.maximum(p - q, 0)),
     "you correct towards p. Which distribution should the text follow here?"),
    (partial(_residual, left=lambda pi, p, q: p),
     "the draft's token was rejected and you draw from p. Which tokens then get a second chance?"),
    (partial(_residual, left=lambda pi, p, q: pi),
     "you draw from pi. Which of its tokens had the draft proposed often enough already?"),
    (partial(_residual, scaled=False),
     "what is the sum of your probabilities? A distribution has the sum 1"),
    (partial(_residual, left=lambda pi, p, q: np.maximum(q - pi, 0)),
     "which tokens does the draft propose too seldom: those with pi above q, or below?"),
    (partial(_residual, left=lambda pi, p, q: np.abs(pi - q)),
     "is a token that the draft proposes too often missing in the text? You give it a chance"),
    (partial(_residual, left=lambda pi, p, q: pi - q),
     "can a probability be negative? Look at a token with pi below q"),
    (partial(_residual, left=lambda pi, p, q: np.maximum(pi - p, 0)),
     "who proposed the token that was rejected: the target or the draft?"),
)  # fmt: skip


def _pairs():
    """The pair of the notebook first, then random ones, near each other or far apart."""
    yield np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4]), 0.0
    rng = draws(0)
    for mixed, alpha in zip((0.0, 0.3, 0.7) * 40, (0.0, 0.2, 0.5, 0.8, 0.3) * 24, strict=True):
        p = rng.dirichlet(np.ones(6))
        q = mixed * p + (1 - mixed) * rng.dirichlet(np.ones(6))
        if np.maximum(_aim(p, q, alpha) - q, 0).sum() > 0.01:  # something can be rejected
            yield p, q, alpha


def _about_aim(at, p, q, alpha) -> str:
    told = [np.round(one, 2).tolist() for one in (p, q)]
    return f"with p {told[0]}, q {told[1]} and alpha {alpha}, pi of token {at[0]}"


def _about_residual(at, p, q, alpha, pi) -> str:
    told = [np.round(one, 2).tolist() for one in (pi, q)]
    return f"with pi {told[0]} and q {told[1]}, the probability of token {at[0]}"


check_cascade = Check(
    """Check a function that gives the distribution of a cascade, and its residual.

    It takes ``(p, q, alpha)``: the target's and the draft's distribution (V,) of the next token,
    and the number of rule V3. It returns pi (V,), which the cascade's text follows, and the
    distribution (V,) of the token after a rejected one.
    """,
    cases=_pairs,
    parts=[
        Part("a probability of pi", _aim, AIM_MISTAKES, _about_aim, key="pi",
             asked="{} numbers, one a token"),
        Part("a probability after a rejection", _residual, RESIDUAL_MISTAKES, _about_residual,
             key="residual", asked="{} numbers, one a token"),
    ],
    success="accepted tokens and corrected ones together follow the cascade",
)  # fmt: skip

# -- 2: what contrast may choose ------------------------------------------------------------------


def _log(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(p)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Zeros where no token is left."""
    top = scores.max()
    return _normalised(np.exp(scores - top if top > -np.inf else scores))


def _plausible(expert, amateur, alpha):
    return expert >= alpha * expert.max()


def _score(expert, amateur, beta):
    return (1 + beta) * _log(expert) - beta * _log(amateur)


def _contrast(expert, amateur, beta, alpha, kept=_plausible, score=_score) -> np.ndarray:
    """The distribution (V,) of contrast: first the plausible tokens, then the score."""
    with np.errstate(invalid="ignore"):
        scores = np.where(kept(expert, amateur, alpha), score(expert, amateur, beta), -np.inf)
    return _softmax(np.nan_to_num(scores, nan=-np.inf, posinf=700.0, neginf=-np.inf))


def _masked_after(expert, amateur, beta, alpha) -> np.ndarray:
    """The limit is applied to the contrast itself, where an absurd token is the largest."""
    made = _contrast(expert, amateur, beta, 0.0)
    return _normalised(np.where(made >= alpha * made.max(), made, 0.0))


def _not_scaled(expert, amateur, beta, alpha) -> np.ndarray:
    made = _contrast(expert, amateur, beta, 0.0)
    return np.where(expert >= alpha * expert.max(), made, 0.0)


CONTRAST_MISTAKES = (
    (partial(_contrast, kept=lambda e, a, alpha: e >= 0),
     "where is the limit? A token wins that the expert nearly excludes, and the amateur even more"),
    (_masked_after,
     "you limit the contrast and not the expert. Which tokens are plausible: those with a large"
     " score, or those that the expert finds likely?"),
    (partial(_contrast, kept=lambda e, a, alpha: e >= alpha),
     "is the limit a probability, or a share of the expert's largest one?"),
    (partial(_contrast, kept=lambda e, a, alpha: a >= alpha * a.max()),
     "whose likely tokens are plausible: the amateur's?"),
    (partial(_contrast, kept=lambda e, a, alpha: e > alpha * e.max()),
     "with alpha = 1 the expert's likeliest token must be left. Is it at the limit, or above?"),
    (_not_scaled,
     "what is the sum of your probabilities? Leave out the others before you normalise"),
    (partial(_contrast, score=lambda e, a, beta: _log(e) - beta * _log(a)),
     "how much does the expert count? With beta = 1 and equal models nothing of it is left"),
    (partial(_contrast, score=lambda e, a, beta: (1 + beta) * _log(a) - beta * _log(e)),
     "which of the two should be believed, and which one subtracted?"),
    (partial(_contrast, score=lambda e, a, beta: (1 + beta) * _log(e) + beta * _log(a)),
     "do you subtract the amateur, or add it?"),
    (lambda e, a, beta, alpha: _normalised(np.where(
        e >= alpha * e.max(), np.maximum((1 + beta) * e - beta * a, 0), 0)),
     "contrast subtracts logarithms: it is a ratio of probabilities, not a difference"),
)  # fmt: skip


def _experts():
    """The pair of the notebook, then random ones with a token that both nearly exclude."""
    yield np.array([0.5, 0.35, 0.1499, 0.0001]), np.array([0.6, 0.1, 0.2999999, 1e-7]), 1.0, 0.1
    rng = draws(1)
    for beta, alpha in ((0.5, 0.1), (1.0, 0.3), (0.0, 0.2), (2.0, 0.5), (0.5, 1.0)) * 12:
        expert, amateur = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
        expert[rng.integers(6)] = 1e-5
        amateur[int(expert.argmin())] = 1e-9
        yield expert / expert.sum(), amateur / amateur.sum(), beta, alpha


def _about_contrast(at, expert, amateur, beta, alpha) -> str:
    told = [np.round(one, 2).tolist() for one in (expert, amateur)]
    return (
        f"with expert {told[0]}, amateur {told[1]}, beta {beta} and alpha {alpha}, the probability"
        f" of token {at[0]}"
    )


check_contrast = Check(
    """Check a function that contrasts two models.

    It takes ``(expert, amateur, beta, alpha)``: two distributions (V,), the strength of the
    contrast and the limit of what is plausible. It returns the distribution (V,) from which the
    next token is drawn.
    """,
    cases=_experts,
    parts=[
        Part("a probability", _contrast, CONTRAST_MISTAKES, _about_contrast,
             asked="{} numbers, one a token"),
    ],
    success="the contrast decides among plausible tokens only",
)  # fmt: skip
