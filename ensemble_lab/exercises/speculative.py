"""Checks of notebook 05: accept and correct by the rule, and the draft length that pays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import array, judged, parts, returned, whole
from ensemble_lab.tokens.lengths import speedup

# -- 1: accept and correct ----------------------------------------------------------------------


def _accepted(p, q, drafted, r, stays=lambda p, q, r: r * q < p) -> int:
    """How many of the k drafted tokens stay: those before the first that falls."""
    for i, x in enumerate(drafted):
        if not stays(p[i, x], q[i, x], r[i]):
            return i
    return len(drafted)


def _residual(p, q) -> np.ndarray:
    left = np.maximum(p - q, 0.0)
    return left / left.sum() if left.sum() > 0 else p


def _round(p, q, drafted, r) -> tuple[int, np.ndarray]:
    n = _accepted(p, q, drafted, r)
    return n, p[n] if n == len(drafted) else _residual(p[n], q[n])


def _reversed(p, q, drafted, r) -> tuple[int, np.ndarray]:
    n = _accepted(p, q, drafted, r, lambda p, q, r: r * p < q)
    return n, p[n] if n == len(drafted) else _residual(p[n], q[n])


def _all_that_pass(p, q, drafted, r) -> int:
    at = np.arange(len(drafted))
    return int((r * q[at, drafted] < p[at, drafted]).sum())


# Name of the mistake's part, what people write at first, and what to say to it.
COUNT_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda *case: _reversed(*case)[0],
        "the ratio is reversed: a drafted token stays where r < p / q, so that what the target"
        " likes better than the draft always stays",
    ),
    (
        _all_that_pass,
        "every token that passes was counted; those behind the first that falls do not count,"
        " for they continue a text that is no more",
    ),
    (
        lambda p, q, drafted, r: _accepted(p, q, drafted, r, lambda p, q, r: r >= p / q),
        "this is the other way round: a drafted token falls where r is at least p / q",
    ),
    (
        lambda p, q, drafted, r: _accepted(p, q, drafted, r, lambda p, q, r: r * q <= p),
        "a token that the target never writes (p = 0) stayed, at r = 0: use r < p / q, not r <=",
    ),
    (
        lambda p, q, drafted, r: _accepted(p, q, drafted, r, lambda p, q, r: r < p),
        "r was compared with p alone; the draft's own law counts: r < p / q",
    ),
    (
        lambda *case: _round(*case)[0] + 1,
        "return how many *drafted* tokens stay; the target's own behind them comes on top",
    ),
)
LAW_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda p, q, n, k: p[n] if n < k else None,
        "resampled from p: what the draft proposed and p allowed has already had its chance, so a"
        " correction comes from max(p - q, 0) over its sum",
    ),
    (
        lambda p, q, n, k: p[n - 1] if n == k else None,
        "the bonus is off by one: where all k stay, the target's law behind the last of them is"
        " p[k], not p[k - 1]",
    ),
    (
        lambda p, q, n, k: _residual(p[n], q[n - 1]) if n == k else None,
        "all stayed, so there is nothing to correct: the bonus comes from p[k] as it is",
    ),
    (
        lambda p, q, n, k: np.maximum(p[n] - q[n], 0) if n < k else None,
        "max(p - q, 0) is no law until it is divided by its sum",
    ),
    (
        lambda p, q, n, k: _residual(q[n], p[n]) if n < k else None,
        "the residual is reversed: max(p - q, 0), what the draft proposes too seldom",
    ),
    (
        lambda p, q, n, k: q[n] if n < k else None,
        "resampled from the draft's law: what follows is the target's to say",
    ),
    (
        lambda p, q, n, k: _residual(p[n + 1], q[min(n + 1, k - 1)]) if n < k else None,
        "the residual is off by one: it belongs to the place of the token that fell",
    ),
)


@judged
def check_accept(answer_function: Callable) -> Verdict:
    """Check a function that judges one round of drafted tokens.

    Parameters
    ----------
    answer_function : callable
        ``(p, q, drafted, r)`` to (how many stay, law of the token behind them). `p` is
        (k + 1, V), `q` (k, V), `drafted` (k,) token numbers, `r` (k,) numbers in [0, 1).

    Returns
    -------
    Verdict
    """
    cases, answers = list(_cases()), []
    for case in cases:
        given = [part.copy() for part in case]
        got = returned(answer_function, *given, wanted="(how many stay, law)")
        answers.append(_read(got, tokens=case[0].shape[1]))
    if hint := _count_hint([n for n, _ in answers], cases):
        return Verdict(False, hint)
    if hint := _law_hint([law for _, law in answers], cases):
        return Verdict(False, hint)
    return Verdict(True, "what stays, what corrects and what comes on top all keep the law p")


def _read(got, tokens: int) -> tuple[int, np.ndarray]:
    """How many stay, and the law behind them."""
    count, law = parts(got, ("count", "law"), "how many stay and a law")
    wanted = f"a law of {tokens} numbers, one a token"
    return whole(count, "how many stay"), array(law, (tokens,), "a chance in the law", wanted)


def _cases():
    """Rounds by chance, with laws that nearly agree, differ, or exclude a drafted token."""
    rng = np.random.default_rng(0)
    for k, mixed in ((1, 0.0), (4, 0.5), (4, 0.9), (3, 0.0)) * 10:
        p = rng.dirichlet(np.ones(5), k + 1)
        q = mixed * p[:-1] + (1 - mixed) * rng.dirichlet(np.ones(5), k)
        yield p, q, np.array([rng.choice(5, p=law) for law in q]), rng.random(k)
    p, q = np.array([[0.0, 0.6, 0.4]] * 2), np.array([[0.5, 0.3, 0.2]])
    yield p, q, np.array([0]), np.array([0.0])  # p = 0 and the least r there is


def _count_hint(counts: list[int], cases: list[tuple]) -> str:
    """Which mistake made these counts; empty where all are right."""
    right = [_round(*case)[0] for case in cases]
    if counts == right:
        return ""
    for wrong, hint in COUNT_MISTAKES:
        if counts == [wrong(*case) for case in cases]:
            return hint
    at = next(i for i, (a, b) in enumerate(zip(counts, right, strict=True)) if a != b)
    told = f"of {len(cases[at][2])} drafted tokens {right[at]} stay in one case"
    return f"{told}, not {shown(counts[at], 20)}"


def _law_hint(laws: list[np.ndarray], cases: list[tuple]) -> str:
    """The same for the laws, where the counts are right."""
    right = [_round(*case) for case in cases]
    if all(np.allclose(law, one) for law, (_, one) in zip(laws, right, strict=True)):
        return ""
    for make, hint in LAW_MISTAKES:
        made = [make(p, q, n, len(x)) for (p, q, x, _), (n, _) in zip(cases, right, strict=True)]
        wrong = [one if m is None else m for m, (_, one) in zip(made, right, strict=True)]
        if all(np.allclose(law, other) for law, other in zip(laws, wrong, strict=True)):
            return hint
    at = next(i for i, law in enumerate(laws) if not np.allclose(law, right[i][1]))
    count, law = right[at]
    told = "p[k]" if count == len(cases[at][2]) else "max(p - q, 0) over its sum"
    return f"{count} of {len(cases[at][2])} stay; then the law is {told}, {shown(np.round(law, 3))}"


# -- 2: the best draft length -------------------------------------------------------------------

# alpha, c, v: cheap and dear drafts, good and poor ones, and two that pay nowhere.
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


GAMMA_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda alpha, c, v, most: most,
        "the longest draft there is: with c ignored each further token is free and always helps,"
        " but a draft step costs c",
    ),
    (
        lambda alpha, c, v, most: _best(alpha, 0.0, v, most),
        "c was ignored: gamma drafted tokens cost gamma c plain steps",
    ),
    (
        lambda alpha, c, v, most: _best(alpha, c, v, most, least=1),
        "no draft length pays here, and plain decoding is gamma 0: compare with a speedup of 1",
    ),
    (
        lambda alpha, c, v, most: _best(alpha, c, 1.0, most),
        "v was ignored: a verification costs v plain steps, and a plain step costs 1",
    ),
    (
        lambda alpha, c, v, most: _best(alpha, c, v, most) + 1,
        "one too many: off by one, perhaps from counting the lengths from 1",
    ),
)


@judged
def check_best_gamma(answer_function: Callable) -> Verdict:
    """Check a function that chooses the draft length.

    Parameters
    ----------
    answer_function : callable
        ``(alpha, c, v, most)`` to the length of the largest speedup, from 0 (plain decoding, a
        speedup of exactly 1) to `most`.

    Returns
    -------
    Verdict
    """
    given = []
    for place in PLACES:
        got = returned(answer_function, *place, 20, wanted="a whole number, the draft length")
        given.append(whole(got, "the draft length"))
    right = [_best(*place, 20) for place in PLACES]
    if given == right:
        return Verdict(True, "the longest draft that still pays its way, and 0 where none does")
    return Verdict(False, _gamma_hint(given, right))


def _gamma_hint(given: list[int], right: list[int]) -> str:
    for mistake, hint in GAMMA_MISTAKES:
        if given == [mistake(*place, 20) for place in PLACES]:
            return hint
    if len(set(given)) == 1:
        return f"always {shown(given[0], 20)}: the best length depends on alpha, c and v"
    at = next(i for i, (a, b) in enumerate(zip(given, right, strict=True)) if a != b)
    alpha, c, v = PLACES[at]
    best = f"the best is {right[at]}" if right[at] else "no draft length pays: 0"
    where = f"at alpha {alpha:g}, c {c:g} and v {v:g}"
    return f"{where} {best}, not {shown(given[at], 20)}"
