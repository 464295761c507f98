"""Rules over samples: identities, exact enumeration, and the figures of recorded data."""

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import comb, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincc
from scipy.stats import beta
from sklearn.metrics import cohen_kappa_score

import ensemble_lab as lab
from ensemble_lab.answers.committees.counting import count_until
from ensemble_lab.answers.committees.stopping import needed_votes
from ensemble_lab.core.outcomes import Outcomes
from tests.support.strategies import outcomes

TABLES = {
    0.9: [3, 5, 6, 8, 9, 11, 12, 13, 15, 16, 17, 19],
    0.95: [4, 6, 8, 9, 11, 12, 14, 15, 17, 18, 19, 21],
    0.99: [6, 9, 11, 13, 14, 16, 18, 19, 21, 23, 24, 26],
}


def scored(score, **kwargs):
    """Tables in which every confidence is `score`."""
    return outcomes(min_models=1, max_models=5, **kwargs).map(
        lambda t: replace(t, confidence=np.full(t.correct.shape, float(score)), probability=None)
    )


def same(one, other):
    np.testing.assert_array_equal(one.chosen, other.chosen)
    np.testing.assert_array_equal(one.called, other.called)
    np.testing.assert_array_equal(one.answer, other.answer)


# -- the stopping table ----------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", TABLES)
def test_the_stopping_table_is_known(threshold):
    assert lab.stopping_table(threshold).tolist() == TABLES[threshold]


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.75, 0.8, 0.9375, 0.96875, 0.999])
def test_the_stopping_table_is_that_of_the_beta_distribution(threshold):
    """Entry by entry: enough, and one vote less is not."""
    for b, a in enumerate(lab.stopping_table(threshold, 30).tolist()):
        assert betaincc(a + 1, b + 1, 0.5) >= threshold - 1e-12
        assert a == max(b, 1) or betaincc(a, b + 1, 0.5) < threshold
        chance = Fraction(sum(comb(a + b + 1, i) for i in range(a + 1)), 2 ** (a + b + 1))
        assert float(chance) == pytest.approx(beta(a + 1, b + 1).sf(0.5))


def test_a_chance_at_the_threshold_has_reached_it():
    assert lab.stopping_table(0.96875, 0).tolist() == [4]  # P(4, 0) is 31/32 exactly
    assert lab.stopping_table(np.nextafter(0.96875, 1), 0).tolist() == [5]


def test_long_tables_are_quick_and_grow():
    table = lab.stopping_table(0.95, 1000)
    assert (np.diff(table) >= 1).all() and (np.diff(table) <= 2).all()
    assert table[-1] - 1000 == pytest.approx(1.645 * 2000**0.5, rel=0.05)  # the normal quantile


# -- identities ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(outcomes(max_models=6))
def test_threshold_one_asks_everybody_and_one_half_the_first_answer(table):
    whole = lab.AdaptiveConsistency(threshold=1.0).decide(table)
    same(whole, lab.MajorityVote().decide(table))
    first = lab.AdaptiveConsistency(threshold=0.5).decide(table)
    read = np.where(table.answer >= 0, np.arange(len(table.models)), len(table.models)).min(axis=1)
    np.testing.assert_array_equal(first.called.sum(1), np.minimum(read + 1, len(table.models)))
    there = read < len(table.models)
    np.testing.assert_array_equal(first.chosen[there], read[there])
    same(first, lab.EarlyStopping(window=1).decide(table))


@settings(max_examples=40, deadline=None)
@given(outcomes(max_models=6), st.sampled_from([0.7, 0.8, 0.9, 0.95]))
def test_a_higher_threshold_asks_more_and_asking_stops_where_the_rule_says(table, threshold):
    few = lab.AdaptiveConsistency(threshold=threshold).decide(table)
    more = lab.AdaptiveConsistency(threshold=threshold + 0.04).decide(table)
    assert (few.called <= more.called).all()
    need = needed_votes(threshold, len(table.models))
    for row, called in zip(table.answer, few.called, strict=True):
        for asked in range(1, called.sum() + 1):
            counts = sorted(np.bincount(row[:asked][row[:asked] >= 0], minlength=2))[::-1]
            enough = counts[0] >= need[counts[1]]
            assert enough == (asked == called.sum()) or asked == len(row)


@settings(max_examples=40, deadline=None)
@given(outcomes(max_models=5), st.integers(1, 7))
def test_windows_of_all_are_a_vote(table, extra):
    members = len(table.models)
    same(lab.EarlyStopping(window=members + extra).decide(table), lab.MajorityVote().decide(table))


@settings(max_examples=40, deadline=None)
@given(scored(0.5))
def test_constant_scores_are_plurality_or_the_first_answer(table):
    same(lab.WeightedBestOfN().decide(table), lab.MajorityVote().decide(table))
    same(replace_called(lab.BestOfN().decide(table)), replace_called(first_answer(table)))


def first_answer(table):
    return lab.AdaptiveConsistency(threshold=0.5).decide(table)


def replace_called(decision):
    """The decision alone: best of n asks all, the first answer one."""
    return replace(decision, called=np.zeros_like(decision.called))


@settings(max_examples=40, deadline=None)
@given(outcomes(max_models=5, with_confidence=True))
def test_best_of_one_is_that_one(table):
    name = table.models[-1]
    alone = lab.MajorityVote((name,)).decide(table)
    same(lab.BestOfN((name,)).decide(table), alone)
    same(lab.AdaptiveConsistency((name,)).decide(table), alone)
    same(lab.EarlyStopping((name,)).decide(table), alone)


@settings(max_examples=40, deadline=None)
@given(outcomes(max_models=5), st.randoms(use_true_random=False))
def test_zero_and_one_as_scores_are_the_plurality_of_what_is_accepted(table, random):
    rng = np.random.default_rng(random.randrange(2**32))
    accepted = rng.random(table.correct.shape) < 0.5
    weighted = lab.WeightedBestOfN().decide(replace(table, confidence=accepted * 1.0))
    kept = replace(table, answer=np.where(accepted | (table.answer < 0), table.answer, -1))
    voted, some = lab.MajorityVote().decide(kept), (kept.answer >= 0).any(axis=1)
    tied = [sorted(np.bincount(row[row >= 0], minlength=2))[-2:] for row in kept.answer]
    clear = some & np.array([low < high for low, high in tied])
    np.testing.assert_array_equal(weighted.answer[clear], voted.answer[clear])
    none = ~(kept.answer >= 0).any(axis=1) & (table.answer >= 0).any(axis=1)
    assert weighted.abstained[none].all()


@settings(max_examples=40, deadline=None)
@given(outcomes(min_models=2, max_models=4))
def test_a_copy_of_a_member_is_a_doubled_weight(table):
    name = table.models[0]
    copied = Outcomes(
        models=[*table.models, "copy"],
        items=table.items,
        correct=np.c_[table.correct, table.correct[:, 0]],
        answer=np.c_[table.answer, table.answer[:, 0]],
        labels=table.labels,
    )
    order = (name, "copy", *table.models[1:])
    doubled = dict.fromkeys(table.models, 1.0) | {name: 2.0}
    whole = lab.AdaptiveConsistency(order, threshold=1.0).decide(copied)
    weighted = lab.WeightedVote(weights=doubled).decide(table)
    np.testing.assert_array_equal(whole.answer, weighted.answer)


@settings(max_examples=30, deadline=None)
@given(outcomes(min_models=3, max_models=5), st.randoms(use_true_random=False))
def test_members_in_another_order_change_only_ties(table, random):
    order = list(table.models)
    random.shuffle(order)
    one, other = (lab.AdaptiveConsistency(way, threshold=1.0).decide(table)
                  for way in (table.models, order))  # fmt: skip
    for row, a, b in zip(table.answer, one.answer, other.answer, strict=True):
        counts = np.sort(np.bincount(row[row >= 0], minlength=2))[::-1]
        assert a == b or counts[0] == counts[1]


def test_streams_are_counted_apart():
    """Many streams at once give what each gives alone, ties by the first."""
    rng = np.random.default_rng(0)
    slots = rng.integers(-2, 4, (9, 500))
    for need in (needed_votes(0.8, 9), needed_votes(1.0, 9), np.full(10, 2)):
        asked, winner = count_until(slots, 4, need)
        for i in range(500):
            alone = count_until(slots[:, [i]], 4, need)
            assert (asked[i], winner[i]) == (alone[0][0], alone[1][0])
            seen = slots[: asked[i], i]
            counts = np.bincount(seen[seen >= 0], minlength=4)
            most = np.flatnonzero((counts == counts.max()) & (counts > 0))
            first = [int(np.flatnonzero(seen == slot)[0]) for slot in most]
            assert winner[i] == min(first, default=-1)


# -- closed forms beside enumeration ---------------------------------------------------------------


@pytest.mark.parametrize(("window", "most"), [(1, 4), (2, 6), (3, 6), (2, 5), (4, 3), (3, 7)])
@pytest.mark.parametrize("p", [(1.0,), (0.5, 0.5), (0.7, 0.2, 0.1)])
def test_expected_samples_are_those_of_every_sequence(window, most, p):
    """By every sequence of answers, and by the policy on a table of all of them."""
    sequences = list(product(range(len(p)), repeat=most))
    chance = [float(np.prod([p[a] for a in sequence])) for sequence in sequences]
    table = Outcomes(
        models=[f"m{j}" for j in range(most)],
        items=range(len(sequences)),
        correct=np.zeros((len(sequences), most)),
        answer=np.array(sequences),
        labels=[*"abc"],
    )
    asked = lab.EarlyStopping(window=window).decide(table).called.sum(axis=1)
    assert lab.expected_samples(p, window, most) == pytest.approx(float(np.dot(chance, asked)))


def test_expected_samples_of_answers_that_never_agree():
    many = np.full(1000, 1e-3)
    assert lab.expected_samples(many, 8, 40) == pytest.approx(40)
    assert lab.expected_samples(many, 8, 43) == pytest.approx(43)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_pass_at_k_grows_with_k_up_to_any(n, data):
    c = data.draw(st.integers(0, n))
    curve = lab.pass_at_k(n, c, np.arange(1, n + 1))
    assert curve[0] == pytest.approx(c / n) and curve[-1] == float(c > 0)
    assert (np.diff(curve) >= 0).all()
    k = data.draw(st.integers(1, n))
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert curve[k - 1] == float(exact)


def test_pass_at_k_is_unbiased():
    """The mean over every outcome of n samples is the chance that one of k is right."""
    p, n = Fraction(3, 10), 7
    for k in range(1, n + 1):
        mean = sum(
            comb(n, c) * p**c * (1 - p) ** (n - c) * (1 - Fraction(comb(n - c, k), comb(n, k)))
            for c in range(n + 1)
        )
        assert mean == 1 - (1 - p) ** k
        found = sum(
            float(comb(n, c) * p**c * (1 - p) ** (n - c)) * lab.pass_at_k(n, c, k)
            for c in range(n + 1)
        )
        assert found == pytest.approx(float(mean))


GRID = [0, 0.05, 0.2, 0.4, 0.45, 0.5, 0.55, 0.6, 0.85, 0.99, 1]


@pytest.mark.parametrize("hard", [0, 0.1, 0.3, 0.5, 0.7, 0.95, 1])
def test_best_calls_are_those_of_brute_force(hard):
    """Every setting, by exact fractions over odd numbers up to 199."""
    numbers = np.arange(1, 200, 2)
    for p_easy, p_hard in product(GRID, GRID):
        curve = lab.vote_curve(numbers, hard, p_easy, p_hard)
        best = lab.best_calls(hard, p_easy, p_hard)
        first = int(np.argmax(curve >= curve.max() - 1e-12))
        if best == inf:  # the last is best, or not yet: the hard items fall first
            kinds = [(p > 0.5) + 0.5 * (p == 0.5) for p in (p_easy, p_hard)]
            end = (1 - hard) * kinds[0] + hard * kinds[1]
            assert end > curve[0] and end >= curve.max() - 1e-9, (p_easy, p_hard)
        elif best > numbers[-1]:
            assert (np.diff(curve) > -1e-12).all()
        else:
            assert best == numbers[first], (hard, p_easy, p_hard)


def test_a_vote_curve_is_a_count_of_every_vote():
    for calls in (1, 2, 3, 4):
        for p in (0.2, 0.7):
            worth = 0.0
            for votes in product([0, 1], repeat=calls):
                right = sum(votes)
                score = float(2 * right > calls) + 0.5 * (2 * right == calls)
                worth += p**right * (1 - p) ** (calls - right) * score
            assert lab.vote_curve(calls, 0, p, 0) == pytest.approx(worth)
            assert lab.vote_curve(calls, 1, 0, p) == pytest.approx(worth)


# -- judges and chains -----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_kappa_is_scikit_learn_s(pairs):
    one, other = zip(*pairs, strict=True)
    if len({*one, *other}) > 1:
        assert lab.kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))
    assert lab.kappa(one, other) == pytest.approx(lab.kappa(other, one), nan_ok=True)


def test_a_jury_of_one_is_that_judge():
    verdicts = np.random.default_rng(0).integers(0, 2, (1, 30, 4)).astype(float)
    np.testing.assert_array_equal(lab.verifier_votes(verdicts), verdicts[0])


def test_a_judge_of_the_position_flips_every_verdict():
    assert lab.flipped_verdicts(["a"] * 5, ["b"] * 5) == 1  # always the first that it sees
    assert lab.flipped_verdicts([*"abab"], [*"abab"]) == 0


@settings(max_examples=40, deadline=None)
@given(outcomes(min_models=2, max_models=3, complete=True, min_items=4, max_items=30))
def test_a_chain_keeps_its_shares_and_its_items(table):
    chain = lab.ChainEnsemble(table.models).fit(table)
    decision = chain.decide(table)
    called = decision.called
    assert called[:, 0].all() and (called[:, 1:] <= called[:, :-1]).all()
    for link, keep in enumerate(chain.keep):
        stopped = called[:, link] & ~called[:, link + 1]
        assert stopped.sum() >= keep * called[:, link].sum() - 1  # ties of confidence stop as well
    alone = lab.ChainEnsemble(table.models[:1]).fit(table).decide(table)
    np.testing.assert_array_equal(alone.chosen, 0)


def test_a_chain_of_services_costs_half_and_is_less_right_than_its_second_link():
    """Spoken digits, five random halves: no gain, though half the items stay with the cheap one."""
    for seed in range(5):
        fit, shown = lab.load_outcomes("audiomnist-services").split(0.5, seed=seed)
        decision = lab.ChainEnsemble(("DeepSpeech", "Microsoft")).fit(fit).decide(shown)
        best = shown.select(models=["Microsoft"])
        assert (decision.called.sum(axis=1) == 1).mean() == pytest.approx(0.5, abs=0.02)
        assert decision.mean_cost == pytest.approx(0.5 * best.cost.mean(), rel=0.05)
        assert -0.008 < decision.accuracy - best.accuracy()[0] < 0


SERVICES = ("audiomnist", "expw", "fluent", "imdb", "rafdb", "shop", "waimai")


@pytest.mark.parametrize("name", SERVICES)
def test_a_chain_of_four_services_ends_a_fourth_at_each(name):
    """From cheap to expensive, fitted on one half; equal confidences stay together and end sooner.

    On six of the seven tables the best service alone is right more often, for more money.
    """
    fit, shown = lab.load_outcomes(f"{name}-services").split(0.5, seed=0)
    cheap_first = np.argsort(np.nanmean(fit.cost, axis=0), kind="stable")
    chain = lab.ChainEnsemble([shown.models[j] for j in cheap_first]).fit(fit)
    decision = chain.decide(shown)
    reached = decision.called[:, cheap_first].mean(axis=0)
    planned = np.array([1, 0.75, 0.5, 0.25])
    assert (reached <= planned + 0.03).all()
    if name not in ("shop", "waimai"):  # their first link gives few different confidences
        assert reached == pytest.approx(planned, abs=0.04)
    assert decision.mean_cost < 0.75 * np.nanmean(shown.cost, axis=0).sum()
    better = decision.accuracy > shown.best_single().accuracy
    assert better == (name == "rafdb")


# -- recorded data ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gsm8k():
    table = lab.load_outcomes("gsm8k-44-llms")
    return table.select(models=np.array(table.models)[~table.absent.any(axis=0)].tolist())


def test_six_of_43_give_the_answer_of_all(gsm8k):
    replay = lab.replay_stopping(gsm8k, orders=100)
    assert replay.asked.shape == (100, 1319)
    assert replay.asked.mean() == pytest.approx(6.4, abs=0.1)
    assert 0.998 < replay.same.mean() < 0.9995
    assert replay.correct.mean() == pytest.approx(0.9695, abs=0.001)
    assert gsm8k.best_single().accuracy == pytest.approx(0.9666, abs=1e-4)
    vote = lab.MajorityVote().decide(gsm8k)
    gain = vote.correct - gsm8k.correct[:, gsm8k.models.index(gsm8k.best_single().model)]
    assert abs(gain.mean()) < 1.96 * gain.std() / len(gain) ** 0.5 + 1e-3  # no more than chance


def test_ten_weak_models_gain_ten_points(gsm8k):
    weakest = np.argsort(gsm8k.accuracy())[:10]
    weak = gsm8k.select(models=[gsm8k.models[j] for j in weakest])
    replay = lab.replay_stopping(weak, orders=100)
    assert weak.best_single().accuracy == pytest.approx(0.817, abs=1e-3)
    assert replay.correct.mean() == pytest.approx(0.919, abs=1e-3)
    assert replay.asked.mean() == pytest.approx(6.8, abs=0.1)


def test_a_replay_is_the_policy_in_each_order(gsm8k):
    """Order by order: asked, right and the answer of all, ties and unread replies included."""
    few = gsm8k.take(np.arange(0, 1319, 9)).select(models=gsm8k.models[:9])
    replay, rng = lab.replay_stopping(few, 0.8, orders=6, seed=3), np.random.default_rng(3)
    for asked, correct, agrees in zip(replay.asked, replay.correct, replay.same, strict=True):
        order = np.array(few.models)[rng.permutation(9)].tolist()
        decision = lab.AdaptiveConsistency(order, threshold=0.8).decide(few)
        whole = lab.MajorityVote(order).decide(few)
        np.testing.assert_array_equal(asked, decision.called.sum(axis=1))
        np.testing.assert_array_equal(correct, decision.correct)
        np.testing.assert_array_equal(agrees, decision.answer == whole.answer)


def test_calls_are_votes_of_the_models_that_were_drawn(gsm8k):
    few, rng = gsm8k.take(np.arange(0, 1319, 9)), np.random.default_rng(5)
    replay = lab.replay_calls(few, [1, 4, 9], draws=3, seed=5)
    for right in replay:
        order = np.array(few.models)[rng.permutation(43)].tolist()
        for calls, found in zip((1, 4, 9), right, strict=True):
            vote = lab.MajorityVote(order[:calls]).decide(few)
            np.testing.assert_array_equal(found, vote.correct)
    again = lab.replay_calls(few, [43], draws=20, again=True).mean()
    assert abs(again - lab.replay_calls(few, [43], draws=1).mean()) < 0.02


def test_more_calls_are_better_in_every_subject_of_mmlu_pro():
    """Votes of 1, 5, 15 and 51 calls: no subject falls, although its hard items do."""
    table = lab.load_outcomes("mmlu-pro-29-llms")
    right = lab.replay_calls(table, [1, 5, 15, 51], draws=8, again=True)
    right = np.nan_to_num(right).mean(axis=0)
    for subject in set(table.group.tolist()):
        assert (np.diff(right[:, table.group == subject].mean(axis=1)) > 0).all(), subject
    votes = np.array([np.bincount(row[row >= 0], minlength=11) for row in table.answer])
    hard = votes.max(axis=1) > votes[np.arange(len(table)), table.truth]
    assert right[3, hard].mean() < right[2, hard].mean() < right[1, hard].mean()


def test_answers_that_differ_though_right_leave_nothing_to_vote_on():
    """Game of 24: any of 100 samples is often right, and no answer code repeats a formula."""
    table = lab.load_outcomes("game-of-24")
    assert table.answer is None
    with pytest.raises(ValueError, match="needs 'answer'"):
        lab.AdaptiveConsistency().decide(table)
