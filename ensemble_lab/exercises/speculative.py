"""Checks of notebook 05: accept and correct by the rule, and the draft length that pays."""

from __future__ import annotations

from functools import partial

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws
from ensemble_lab.tokens.lengths import speedup

# -- 1: accept and correct ----------------------------------------------------------------------


def _accepted(p, q, drafted, r, passes=lambda p, q, r: r * q < p) -> int:
    """How many of the k drafted tokens are accepted: those before the first rejected one."""
    for i, x in enumerate(drafted):
        if not passes(p[i, x], q[i, x], r[i]):
            return i
    return len(drafted)


def _all_that_pass(p, q, drafted, r) -> int:
    at = np.arange(len(drafted))
    return int((r * q[at, drafted] < p[at, drafted]).sum())


def _likeliest_only(p, q, drafted, r) -> int:
    """As greedy decoding has it: a token is accepted where it is the target's first choice."""
    return _accepted(p, q, drafted, p[:-1].argmax(1) == drafted, lambda p, q, same: same)


def _normalised(left: np.ndarray) -> np.ndarray:
    return left / left.sum() if left.sum() > 0 else left


def _residual(p, q, n, *more) -> np.ndarray:
    return _normalised(np.maximum(p[n] - q[n], 0.0))


def _follows(p, q, drafted, r, n, rejected=_residual, bonus=lambda p, q, n: p[n]) -> np.ndarray:
    """The distribution (V,) of the token behind the n accepted ones."""
    return bonus(p, q, n) if n == len(drafted) else rejected(p, q, n, drafted)


COUNT_MISTAKES = (
    (partial(_accepted, passes=lambda p, q, r: r * p < q),
     "which of p and q is divided by the other? Try a token that the target likes twice as much"
     " as the draft: should it ever be rejected?"),
    (_all_that_pass,
     "one token is rejected and the next one would pass: which text does the next one continue?"),
    (partial(_accepted, passes=lambda p, q, r: r >= p / q),
     "does a small r accept or reject? Where p / q is 0.9, nine in ten must be accepted"),
    (partial(_accepted, passes=lambda p, q, r: r * q <= p),
     "can a token with p = 0 be accepted? r may be exactly 0"),
    (partial(_accepted, passes=lambda p, q, r: r < p),
     "where is q? The draft proposes a token more or less often, and that must count"),
    (partial(_accepted, passes=lambda p, q, r: p >= q),
     "where is r? A token with p a little below q must be accepted most of the time, not never"),
    (_likeliest_only,
     "must a token be the target's first choice? That is greedy decoding; here tokens are drawn at"
     " random, by r"),
    (lambda *case: _accepted(*case) + 1,
     "does the token behind the accepted ones count? It was not drafted"),
)  # fmt: skip
DISTRIBUTION_MISTAKES = (
    (partial(_follows, rejected=lambda p, q, n, x: p[n]),
     "a token was rejected and you draw from p. Which tokens then come twice as a candidate, once"
     " from the draft and once from p?"),
    (partial(_follows, rejected=lambda p, q, n, x: _without(p[n], x[n])),
     "you removed the rejected token and kept the others as they are in p. Which of the others had"
     " the draft proposed often enough already?"),
    (partial(_follows, bonus=lambda p, q, n: p[n - 1]),
     "all k were accepted. Which row of p is the target's distribution behind the last of them?"),
    (partial(_follows, bonus=lambda p, q, n: _normalised(np.maximum(p[n] - q[n - 1], 0.0))),
     "all k were accepted. Is there anything to correct?"),
    (partial(_follows, rejected=lambda p, q, n, x: np.maximum(p[n] - q[n], 0.0)),
     "what is the sum of your probabilities after a rejection?"),
    (partial(_follows, rejected=lambda p, q, n, x: _residual(q, p, n)),
     "which tokens does the draft propose too seldom: those with p above q, or below?"),
    (partial(_follows, rejected=lambda p, q, n, x: q[n]),
     "whose text is it? After a rejection you draw from the draft"),
    (partial(_follows, rejected=lambda p, q, n, x: p[n] - q[n]),
     "can a probability be negative? Look at a token with p below q"),
    (partial(_follows, rejected=lambda p, q, n, x: _normalised(np.abs(p[n] - q[n]))),
     "is a token that the draft proposes too often missing in the text? You give it a chance"),
    (partial(_follows, rejected=lambda p, q, n, x: _normalised(
        np.maximum(p[n + 1] - q[min(n + 1, len(q) - 1)], 0.0))),
     "at which place is a token missing: that of the rejected one, or the next?"),
)  # fmt: skip


def _without(p: np.ndarray, x: int) -> np.ndarray:
    """The distribution p where token x cannot be drawn."""
    return _normalised(np.where(np.arange(len(p)) == x, 0.0, p))


def _drafts():
    """Random rounds; p and q nearly agree, differ, or p excludes a drafted token."""
    rng = draws(0)
    for k, mixed in ((1, 0.0), (4, 0.5), (4, 0.9), (3, 0.0)) * 10:
        p = rng.dirichlet(np.ones(5), k + 1)
        q = mixed * p[:-1] + (1 - mixed) * rng.dirichlet(np.ones(5), k)
        yield p, q, np.array([rng.choice(5, p=row) for row in q]), rng.random(k)
    p, q = np.array([[0.0, 0.6, 0.4]] * 2), np.array([[0.5, 0.3, 0.2]])
    yield p, q, np.array([0]), np.array([0.0])  # p = 0 and the least r there is


def _about_count(at, p, q, drafted, r) -> str:
    rows = np.arange(len(drafted))
    ratios = np.round(p[rows, drafted] / q[rows, drafted], 2).tolist()
    return f"where p / q is {ratios} and r is {np.round(r, 2).tolist()}, the number accepted"


def _about_distribution(at, p, q, drafted, r, n) -> str:
    many = f"where {n} of {len(drafted)} tokens are accepted,"
    rows = f"p[{n}] is {np.round(p[n], 2).tolist()}"
    if n < len(drafted):
        rows += f" and q[{n}] is {np.round(q[n], 2).tolist()}"
    return f"{many} {rows}, the probability of token {at[0]}"


check_accept = Check(
    """Check a function that judges one round of drafted tokens.

    It takes ``(p, q, drafted, r)`` and returns (how many are accepted, distribution of the token
    behind them). `p` is (k + 1, V), `q` (k, V), `drafted` (k,) token numbers, `r` (k,) numbers in
    [0, 1).
    """,
    cases=_drafts,
    parts=[
        Part(
            "how many are accepted",
            _accepted,
            COUNT_MISTAKES,
            _about_count,
            key="count",
            asked="a whole number, how many are accepted",
        ),
        Part(
            "a probability",
            _follows,
            DISTRIBUTION_MISTAKES,
            _about_distribution,
            key="distribution",
            asked="{} numbers, one a token",
        ),
    ],
    success="accepted tokens, corrections and the bonus together follow p",
)

# -- 2: the best draft length -------------------------------------------------------------------

# alpha, c, v: cheap and expensive drafts, good and poor ones, and three that pay nowhere.
PLACES = (
    (0.8, 0.1, 1.0),
    (0.6, 0.05, 1.0),
    (0.9, 0.02, 1.2),
    (0.5, 0.3, 1.05),
    (0.7, 0.1, 1.6),
    (0.3, 0.4, 1.0),
    (0.3, 0.9, 1.2),
    (0.02, 0.3, 1.1),
)


def _best(alpha, c, v, most, least=0, gain=speedup) -> int:
    """The first length of the largest speedup; 0 is a plain step."""
    lengths = np.arange(least, most + 1)
    gains = np.where(lengths == 0, 1.0, gain(alpha, lengths, c, v))
    return int(lengths[gains.argmax()])


def _written(alpha, gamma):
    """Tokens a round, 1 + alpha + … + alpha^gamma."""
    return (1 - alpha ** (gamma + 1)) / (1 - alpha)


def _constant(given, wanted, cases) -> str:
    if len(set(given)) > 1:
        return ""
    return "your length is the same everywhere. What should happen where a draft step costs more?"


GAMMA_MISTAKES = (
    (lambda alpha, c, v, most: most,
     "you always draft as many as you may. What does one more drafted token cost?"),
    (lambda alpha, c, v, most: _best(alpha, 0.0, v, most),
     "what do gamma drafted tokens cost? Your lengths do not change with c"),
    (partial(_best, least=1),
     "what is the speedup of plain decoding? Some draft lengths are all worse than that"),
    (lambda alpha, c, v, most: _best(alpha, c, 1.0, most),
     "does reading gamma + 1 tokens cost exactly a plain step? Your lengths do not change with v"),
    (partial(_best, gain=lambda a, g, c, v: _written(a, g - 1) / (g * c + v)),
     "how many tokens does a round write in which nothing is accepted? The target's own counts"),
    (partial(_best, gain=lambda a, g, c, v: (1 + a * g) / (g * c + v)),
     "can the third drafted token be accepted where the second was rejected?"),
    (partial(_best, gain=lambda a, g, c, v: _written(a, g) / (a * c + v)),
     "how many draft steps does a round pay for? It is not alpha of them"),
    (partial(_best, gain=lambda a, g, c, v: _written(a, g) / (np.maximum(g, 1) * (c + v))),
     "how often does the target read in a round: once, or once a drafted token?"),
    (lambda alpha, c, v, most: _best(alpha, c, v, most) + 1,
     "where does your list of lengths begin? You return one more than the best"),
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
    success="the length with the largest speedup, and 0 where no length pays",
)
