"""The checks of notebook 18 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.exercises.split_inference import check_cut, check_recovery, check_speculation

# -- the best cut ---------------------------------------------------------------------------------


def walked(device, server, sent, bandwidth, round_trip, link=None, behind=None, sizes=None):
    """Every cut, layer by layer; parts may be exchanged."""
    n, best = len(device), (None, float("inf"))
    for cut in range(n + 1):
        clock = sum(device[:cut].tolist())
        if link is not None:
            clock += link(sent, bandwidth, round_trip, cut, n)
        elif cut < n:
            clock += round_trip + (sizes or (lambda b: 8 * b))(sent[cut]) / bandwidth
        clock += sum((behind or (lambda s, cut: s[cut:]))(server, cut).tolist())
        best = min(best, (cut, clock), key=lambda pair: pair[1])
    return best


def test_other_ways_to_the_best_cut_pass():
    assert check_cut(walked)
    assert check_cut(lambda *case: (lab.best_cut(*case), lab.cut_seconds(*case).min()))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"link": lambda s, b, t, p, n: t + 8 * s[p] / b if p < n else t + 8 * s[-1] / b},
         "all layers are on the device"),
        ({"sizes": lambda size: size}, "bandwidth in bits?"),
        ({"link": lambda s, b, t, p, n: 8 * s[p] / b if p < n else 0}, "arrive at once?"),
        ({"link": lambda s, b, t, p, n: t * (p < n)}, "bytes themselves"),
        ({"link": lambda s, b, t, p, n: t + 8 * s[p - 1 if p else 0] / b if p < n else 0},
         "Which layer's input crosses"),
        ({"behind": lambda s, cut: s if cut < len(s) else s[:0]}, "that the device has done?"),
    ],
)  # fmt: skip
def test_wrong_cuts_are_refused_with_their_hint(wrong, hint):
    verdict = check_cut(lambda *case: walked(*case, **wrong))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("pick", "hint"),
    [
        (lambda t, sent: int(np.argmin(sent)), "few bytes at this cut"),
        (lambda t, sent: int(np.argmin(t[:-1])), "the device run all layers"),
        (lambda t, sent: int(np.argmin(t[1:]) + 1), "the server run all layers?"),
        (lambda t, sent: int(np.argmax(t)), "longest"),
    ],
)
def test_a_cut_that_is_not_the_quickest_is_refused(pick, hint):
    def wrong(*case):
        times = lab.cut_seconds(*case)
        return pick(times, case[2]), times.min()

    verdict = check_cut(wrong)
    assert not verdict and hint in verdict.message


def test_the_right_cut_with_wrong_seconds_is_refused():
    verdict = check_cut(lambda *case: (lab.best_cut(*case), 1e3 * lab.cut_seconds(*case).min()))
    assert not verdict and "seconds" in verdict.message


# -- recovery -------------------------------------------------------------------------------------


def replayed(prompt, new, layers, width, itemsize, lost, read=None, row=None, gets=None, who=None):
    """Token by token; parts may be exchanged."""
    resent, again = [0] * len(layers), 0
    for stage, own in enumerate(layers.tolist()):
        for token in range(prompt + new):
            if not (read or (lambda t, p, n: t < p + n - 1))(token, prompt, new):
                continue
            if (gets or (lambda stage, lost: lost[stage]))(stage, lost):
                resent[stage] += (row or (lambda w, size, own: w * size))(width, itemsize, own)
            if (who or (lambda stage, lost: lost[stage]))(stage, lost):
                again += own
    return resent, again


def test_another_way_to_a_recovery_passes():
    assert check_recovery(replayed)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"read": lambda t, p, n: True}, "read it already?"),
        ({"read": lambda t, p, n: t < p}, "only the prompt?"),
        ({"read": lambda t, p, n: t == p + n - 2}, "Is the newest one enough?"),
        ({"row": lambda w, size, own: 2 * own * w * size}, "That is the cache"),
        ({"row": lambda w, size, own: w}, "Are these numbers, or bytes?"),
        ({"row": lambda w, size, own: size}, "token ids"),
        ({"gets": lambda stage, lost: lost[: stage + 1].any()}, "forgotten anything?"),
        ({"gets": lambda stage, lost: True}, "Has every stage forgotten"),
        ({"gets": lambda stage, lost: False}, "a process that died?"),
        ({"gets": lambda stage, lost: stage == lost.argmax()}, "more than one stage"),
        ({"who": lambda stage, lost: True}, "Does the whole model"),
        ({"who": lambda stage, lost: lost[: stage + 1].any()}, "compute anything again?"),
        ({"who": lambda stage, lost: False}, "compute the cache from them?"),
    ],
)
def test_wrong_recoveries_are_refused_with_their_hint(wrong, hint):
    verdict = check_recovery(lambda *case: replayed(*case, **wrong))
    assert not verdict and hint in verdict.message


# -- speculation ----------------------------------------------------------------------------------


def timed(accepted, gamma, draft, verify, step, round_trip, trip=None, drafts=None, gives=None,
          plain=None):  # fmt: skip
    """A clock that runs through all rounds; parts may be exchanged."""
    clock, written = 0.0, 0
    for a, reads in zip(accepted.tolist(), verify.tolist()):
        clock += sum([draft] * (gamma if drafts is None else drafts)) + reads
        clock += (trip or (lambda t, a, g: t))(round_trip, a, gamma)
        written += (gives or (lambda a, g: a + 1))(a, gamma)
    seconds = clock / written
    return seconds, (plain or (lambda s, v, t: s + t))(step, verify.mean(), round_trip) / seconds


def test_other_ways_to_time_a_token_pass():
    assert check_speculation(timed)

    def by_formula(accepted, gamma, draft, verify, step, round_trip):
        seconds = lab.seconds_per_token(
            verify.mean(), round_trip, gamma * draft, accepted.mean() + 1
        )
        return seconds, lab.seconds_per_token(step, round_trip) / seconds

    assert check_speculation(by_formula)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"gives": lambda a, g: a if a else 1e-9}, "token of its own"),
        ({"gives": lambda a, g: g + 1}, "Are all drafted tokens accepted?"),
        ({"trip": lambda t, a, g: 0}, "Where is the link?"),
        ({"trip": lambda t, a, g: t / 2}, "come back without a link?"),
        ({"trip": lambda t, a, g: t * (a + 1)}, "cross the link by itself"),
        ({"trip": lambda t, a, g: t * (g + 1)}, "while it writes?"),
        ({"drafts": 1}, "steps does the draft make"),
        ({"drafts": 0}, "Does the draft take no time?"),
        ({"plain": lambda s, v, t: s}, "cross the link for every token"),
        ({"plain": lambda s, v, t: v + t}, "for one token alone?"),
        ({"plain": lambda s, v, t: t}, "compute nothing?"),
    ],
)
def test_wrong_times_are_refused_with_their_hint(wrong, hint):
    verdict = check_speculation(lambda *case: timed(*case, **wrong))
    assert not verdict and hint in verdict.message


def test_a_mean_over_rounds_is_not_one_over_tokens():
    def wrong(accepted, gamma, draft, verify, step, trip):
        each = np.mean((gamma * draft + verify + trip) / (accepted + 1))
        return each, (step + trip) / each

    assert "over rounds, or over tokens?" in check_speculation(wrong).message
