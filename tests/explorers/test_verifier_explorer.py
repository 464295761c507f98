"""The explorer of verifiers: curves of the rules, groups of loops, words that are true."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.answers import verifier_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views

BITS = lab.load_solutions()
N = list(replay.SAMPLES)


def kept(left_out):
    rank = np.random.default_rng(0).random(len(BITS.true))
    return BITS.only(BITS.true | (rank >= left_out / 100))


@pytest.mark.parametrize("left_out", [0, 75, 100])
def test_the_last_points_are_those_of_all_samples(left_out):
    found, bits = replay.by_tests(left_out), kept(left_out)
    best = [bits.accuracy(lab.best_of_n(bits.passed(), n)).mean() for n in N]
    assert found.best == pytest.approx(best)
    dual, vote = lab.dual_agreement(bits), lab.largest_group(bits, passing=True)
    assert found.agreement[-1] == pytest.approx(bits.accuracy(dual).mean())
    assert found.vote[-1] == pytest.approx(bits.accuracy(vote).mean())
    assert found.wrong == pytest.approx(1 - np.repeat(bits.true, bits.times).mean())


def test_fewer_samples_are_subsets_that_a_loop_draws():
    """The mean over windows of one order is near the mean over subsets drawn anew."""
    found, bits, rng = replay.by_tests(0), kept(0), np.random.default_rng(1)
    for n in (5, 20):
        runs = []
        for _ in range(5):
            take = np.argsort(rng.random(100))[:n]
            few = lab.Solutions(bits.passes[:, take], bits.problem, bits.correct[:, take],
                                times=bits.times)  # fmt: skip
            runs.append(few.accuracy(lab.dual_agreement(few)).mean())
        assert found.agreement[N.index(n)] == pytest.approx(np.mean(runs), abs=0.03)


def test_groups_of_a_window_are_counted_as_by_hand(monkeypatch):
    small = lab.Solutions([[1, 1, 0, 0], [0, 0, 1, 0]], [0, 0], [[1, 1, 0, 1]])
    monkeypatch.setattr(replay, "recorded", lambda: small)
    monkeypatch.setattr(replay, "SAMPLES", (1, 3, 4))
    monkeypatch.setattr(replay, "WINDOWS", 4)
    groups = replay.Groups(small.behaviour())
    # All four: the pair wins. Three: in two windows the pair is whole; where one of it is gone all
    # three are alone, and two of the three are right.
    order = groups.order[0].tolist()
    whole = [[order[(i + j) % 4] for j in range(3)] for i in range(4)]
    by_hand = [1.0 if {0, 1} <= {*one} else np.mean([i != 2 for i in one]) for one in whole]
    found = groups.right(groups.size, np.ones((1, 4)))
    assert found == pytest.approx([0.75, np.mean(by_hand), 1.0])
    nothing = groups.right(groups.sums(np.zeros((1, 4))), np.ones((1, 4)))
    assert nothing == pytest.approx([0.75] * 3)  # no vote: any sample


@pytest.mark.parametrize("rates", [(0, 0), (6, 10), (50, 75)])
def test_verified_curves_are_those_of_the_rule(rates):
    found, (f, g) = replay.by_verifier(*rates), (rate / 100 for rate in rates)
    wanted = [lab.verified_subsets(BITS.correct, n, f, g).mean() for n in N]
    assert found.best == pytest.approx(wanted)
    vote = lab.best_group(BITS.behaviour(), lab.verdicts(BITS.correct, f, g))
    assert found.vote[-1] == pytest.approx(BITS.accuracy(vote).mean())
    accepted = [lab.verdicts(BITS.correct, f, g, seed).mean() for seed in range(5)]
    assert found.accepted == pytest.approx(np.mean(accepted), abs=0.01)
    if rates == (0, 0):
        assert found.best[-1] == pytest.approx(BITS.correct.any(axis=1).mean())


def test_marks_are_the_curves_and_the_groups(shown):
    for state in views(shown):
        found, trace = shown.found(state), named(shown.drawn(state))
        at = N.index(state["n"])
        for name, curve in (
            ("best of n by tests", found.tested.best),
            ("dual agreement", found.tested.agreement),
            ("vote of groups", found.tested.vote),
            ("best of n by the verifier", found.verified.best),
            ("vote of the accepted", found.verified.vote),
            ("any of n", found.any),
        ):
            assert trace[name]["y"] == pytest.approx(curve, abs=1e-5)
        assert trace["by tests, here"]["y"][0] == pytest.approx(found.tested.best[at], abs=1e-5)
        bits, p = kept(state["left_out"]), state["problem"]
        passes = bits.passes[bits.problem == p]
        groups = {}
        for i in range(100):
            if passes[:, i].any():
                groups.setdefault(passes[:, i].tobytes(), []).append(i)
        wanted = {"right": [], "wrong": []}
        for its in groups.values():
            side = "right" if bits.correct[p, its].mean() > 0.5 else "wrong"
            wanted[side].append((int(bits.passed()[p, its[0]]), len(its)))
        for side, places in wanted.items():
            assert sorted(zip(trace[side]["x"], trace[side]["y"])) == sorted(places)


def test_the_ring_is_agreement_s_choice(shown):
    for problem in (5, 24, 163):
        trace = named(shown.drawn(shown.state(problem=problem)))["agreement's choice"]
        chosen = np.flatnonzero(lab.dual_agreement(BITS)[problem])
        assert trace["y"] == [len(chosen)]
        assert trace["x"] == [BITS.passed()[problem, chosen[0]]]


def test_a_problem_without_tests_has_no_group(shown):
    picture = shown.drawn(shown.state(problem=30))
    assert named(picture)["right"]["x"] == named(picture)["wrong"]["x"] == []
    assert "They form" not in picture.text


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        row, best = picture.table().loc[state["n"]], picture.table()["best of n by tests"]
        assert f"Best of {state['n']} by tests is right on {row.iloc[0]:.1%}" in picture.finding
        if state["n"] != best.idxmax():
            assert f"of {best.idxmax()} on {best.max():.1%}" in picture.finding
        assert f"Agreement: {row['dual agreement']:.1%}" in picture.finding
        assert f"By the verifier {row['best of n by the verifier']:.1%}" in picture.finding
        assert f"any of {state['n']} is right on {row['any of n']:.1%}" in picture.finding


def test_presets_show_what_they_promise(shown):
    def row(title):
        state = shown.preset(title)
        return shown.drawn(state).table().loc[state["n"]]

    assert row("five samples").iloc[0] == shown.drawn(shown.state()).table().iloc[:, 0].max()
    assert row("true tests only").iloc[0] > 0.53
    assert row("strict verifier")["best of n by the verifier"] > 0.6
    assert row("wrong tests").iloc[0] < BITS.correct.mean()
    held = row("false positives")
    assert held["vote of what it accepts"] - held["best of n by the verifier"] > 0.08
    assert all(
        isinstance(shown.presets[t], Failing)
        for t in ("wrong tests", "false positives", "a wrong crowd")
    )
    assert BITS.accuracy(lab.dual_agreement(BITS))[24] == 0 and BITS.correct[24].mean() == 0.23


def test_leaving_out_more_keeps_what_less_keeps():
    shares = [replay.by_tests(left_out).wrong for left_out in replay.LEFT_OUT]
    assert shares == sorted(shares, reverse=True) and shares[-1] == 0
    best = [replay.by_tests(left_out).best[-1] for left_out in replay.LEFT_OUT]
    assert best == sorted(best)
