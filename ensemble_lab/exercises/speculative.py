"""Checks of notebook 05: accept and correct by the rule, and the draft length that pays."""

from __future__ import annotations

from functools import partial

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.tokens.lengths import speedup

# -- 1: accept and correct ----------------------------------------------------------------------


def _accepted(p, q, drafted, r, stays=lambda p, q, r: r * q < p) -> int:
    """How many of the k drafted tokens stay: those before the first that falls."""
    for i, x in enumerate(drafted):
        if not stays(p[i, x], q[i, x], r[i]):
            return i
    return len(drafted)


def _all_that_pass(p, q, drafted, r) -> int:
    at = np.arange(len(drafted))
    return int((r * q[at, drafted] < p[at, drafted]).sum())


def _normalised(left: np.ndarray) -> np.ndarray:
    return left / left.sum() if left.sum() > 0 else left


def _residual(p, q, n) -> np.ndarray:
    return _normalised(np.maximum(p[n] - q[n], 0.0))


def _law(p, q, drafted, r, n, fell=_residual, bonus=lambda p, q, n: p[n]) -> np.ndarray:
    """The law (V,) behind the n tokens that stay."""
    return bonus(p, q, n) if n == len(drafted) else fell(p, q, n)


COUNT_MISTAKES = (
    (partial(_accepted, stays=lambda p, q, r: r * p < q),
     "the ratio is reversed: a drafted token stays where r < p / q, so that what the target likes"
     " better than the draft always stays"),
    (_all_that_pass,
     "every token that passes was counted; those behind the first that falls do not count, for"
     " they continue a text that is no more"),
    (partial(_accepted, stays=lambda p, q, r: r >= p / q),
     "this is the other way round: a drafted token falls where r is at least p / q"),
    (partial(_accepted, stays=lambda p, q, r: r * q <= p),
     "a token that the target never writes (p = 0) stayed, at r = 0: use r < p / q, not r <="),
    (partial(_accepted, stays=lambda p, q, r: r < p),
     "r was compared with p alone; the draft's own law counts: r < p / q"),
    (lambda *case: _accepted(*case) + 1,
     "return how many *drafted* tokens stay; the target's own behind them comes on top"),
)  # fmt: skip
LAW_MISTAKES = (
    (partial(_law, fell=lambda p, q, n: p[n]),
     "resampled from p: what the draft proposed and p allowed has already had its chance, so a"
     " correction comes from max(p - q, 0) over its sum"),
    (partial(_law, bonus=lambda p, q, n: p[n - 1]),
     "the bonus is off by one: where all k stay, the target's law behind the last of them is p[k],"
     " not p[k - 1]"),
    (partial(_law, bonus=lambda p, q, n: _normalised(np.maximum(p[n] - q[n - 1], 0.0))),
     "all stayed, so there is nothing to correct: the bonus comes from p[k] as it is"),
    (partial(_law, fell=lambda p, q, n: np.maximum(p[n] - q[n], 0.0)),
     "max(p - q, 0) is no law until it is divided by its sum"),
    (partial(_law, fell=lambda p, q, n: _residual(q, p, n)),
     "the residual is reversed: max(p - q, 0), what the draft proposes too seldom"),
    (partial(_law, fell=lambda p, q, n: q[n]),
     "resampled from the draft's law: what follows is the target's to say"),
    (partial(_law, fell=lambda p, q, n: _normalised(
        np.maximum(p[n + 1] - q[min(n + 1, len(q) - 1)], 0.0))),
     "the residual is off by one: it belongs to the place of the token that fell"),
)  # fmt: skip


def _drafts():
    """Rounds by chance, with laws that nearly agree, differ, or exclude a drafted token."""
    rng = np.random.default_rng(0)
    for k, mixed in ((1, 0.0), (4, 0.5), (4, 0.9), (3, 0.0)) * 10:
        p = rng.dirichlet(np.ones(5), k + 1)
        q = mixed * p[:-1] + (1 - mixed) * rng.dirichlet(np.ones(5), k)
        yield p, q, np.array([rng.choice(5, p=law) for law in q]), rng.random(k)
    p, q = np.array([[0.0, 0.6, 0.4]] * 2), np.array([[0.5, 0.3, 0.2]])
    yield p, q, np.array([0]), np.array([0.0])  # p = 0 and the least r there is


def _about_count(at, p, q, drafted, r) -> str:
    return f"of {len(drafted)} drafted tokens the number that stays in one case"


def _about_law(at, p, q, drafted, r, n) -> str:
    told = "p[k]" if n == len(drafted) else "max(p - q, 0) over its sum"
    return f"{n} of {len(drafted)} stay; then the law is {told}, and the chance of token {at[0]}"


check_accept = Check(
    """Check a function that judges one round of drafted tokens.

    It takes ``(p, q, drafted, r)`` and returns (how many stay, law of the token behind them).
    `p` is (k + 1, V), `q` (k, V), `drafted` (k,) token numbers, `r` (k,) numbers in [0, 1).
    """,
    cases=_drafts,
    parts=[
        Part(
            "how many stay",
            _accepted,
            COUNT_MISTAKES,
            _about_count,
            key="count",
            asked="a whole number, how many stay",
        ),
        Part(
            "a chance in the law",
            _law,
            LAW_MISTAKES,
            _about_law,
            key="law",
            asked="{} numbers, one a token",
        ),
    ],
    success="what stays, what corrects and what comes on top all keep the law p",
)

# -- 2: the best draft length -------------------------------------------------------------------

# alpha, c, v: cheap and expensive drafts, good and poor ones, and two that pay nowhere.
PLACES = (
    (0.8, 0.1, 1.0),
    (0.6, 0.05, 1.0),
    (0.9, 0.02, 1.2),
    (0.5, 0.3, 1.05),
    (0.7, 0.1, 1.6),
    (0.3, 0.4, 1.0),
    (0.02, 0.3, 1.1),
)


def _best(alpha, c, v, most, least=0) -> int:
    """The first length of the largest speedup; 0 is a plain step."""
    lengths = np.arange(least, most + 1)
    gains = np.where(lengths == 0, 1.0, speedup(alpha, lengths, c, v))
    return int(lengths[gains.argmax()])


def _constant(given, wanted, cases) -> str:
    if len(set(given)) > 1:
        return ""
    return f"always {given[0]:.4g}: the best length depends on alpha, c and v"


GAMMA_MISTAKES = (
    (lambda alpha, c, v, most: most,
     "the longest draft there is: with c ignored each further token is free and always helps, but"
     " a draft step costs c"),
    (lambda alpha, c, v, most: _best(alpha, 0.0, v, most),
     "c was ignored: gamma drafted tokens cost gamma c plain steps"),
    (partial(_best, least=1),
     "no draft length pays here, and plain decoding is gamma 0: compare with a speedup of 1"),
    (lambda alpha, c, v, most: _best(alpha, c, 1.0, most),
     "v was ignored: a verification costs v plain steps, and a plain step costs 1"),
    (lambda alpha, c, v, most: _best(alpha, c, v, most) + 1,
     "one too many: off by one, perhaps from counting the lengths from 1"),
    _constant,
)  # fmt: skip


def _about_length(at, alpha, c, v, most) -> str:
    return f"at alpha {alpha:g}, c {c:g} and v {v:g} the best length (0 where none pays)"


check_best_gamma = Check(
    """Check a function that chooses the draft length.

    It takes ``(alpha, c, v, most)`` and returns the length of the largest speedup, from 0 (plain
    decoding, a speedup of exactly 1) to `most`.
    """,
    cases=lambda: [(*place, 20) for place in PLACES],
    parts=[
        Part(
            "the draft length",
            _best,
            GAMMA_MISTAKES,
            _about_length,
            asked="a whole number, the draft length",
        )
    ],
    success="the longest draft that still pays its way, and 0 where none does",
)
