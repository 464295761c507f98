"""The explorer of bandits: the package's policies, sums by hand, true words."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.answers import bandits_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

MODELS = ("GPT-4", "GPT-3.5")
SAME = {replay.THOMPSON: lab.Thompson, replay.UCB: lab.UCB1,
        replay.GREEDY: lambda: lab.EpsilonGreedy(epsilon=0.0)}  # fmt: skip


@pytest.mark.parametrize("policy", replay.POLICIES)
def test_a_run_is_the_policy(policy):
    """Alone it makes the package's choices, draw by draw."""
    _, grades, prices = replay.stream(replay.JUNE)
    chosen, beliefs = replay.replay(grades[:1], prices, policy, 1.0)
    table = lab.Outcomes(models=MODELS, items=range(replay.QUESTIONS), correct=grades[0])
    decision = SAME[policy]().decide(table, seed=replay.SEED)
    np.testing.assert_array_equal(chosen[0], decision.chosen)
    for j in (0, 1):
        mine = grades[0][chosen[0] == j, j]
        assert beliefs[-1][:, j].tolist() == [mine.sum(), (1 - mine).sum()]


def test_a_discounted_run_is_the_policy():
    _, grades, prices = replay.stream(replay.JUNE)
    chosen, beliefs = replay.replay(grades[:1], prices, replay.THOMPSON, 0.98)
    table = lab.Outcomes(models=MODELS, items=range(replay.QUESTIONS), correct=grades[0])
    decision = lab.Thompson(discount=0.98).decide(table, seed=replay.SEED)
    np.testing.assert_array_equal(chosen[0], decision.chosen)
    assert beliefs[-1].sum() == pytest.approx(1 / (1 - 0.98))  # the memory


def test_a_price_is_followed_at_once_and_a_failure_is_not():
    priced = replay.bandits(replay.PRICED, replay.THOMPSON, 1.0)
    fails = replay.bandits(replay.FAILS, replay.THOMPSON, 1.0)
    first = slice(replay.CHANGE, replay.CHANGE + 20)
    assert (priced.chosen[:, first] == 0).mean() < 0.5 < (fails.chosen[:, first] == 0).mean()
    assert fails.accuracy[1, 0] == 0
    assert priced.value[1, 0] == pytest.approx(priced.accuracy[1, 0] - replay.PRICE)


def test_regret_is_a_sum_and_a_share_a_count(shown):
    found = shown.found(shown.state())
    for run in (0, 7):
        lost = [found.value[t // 1000].max() - found.value[t // 1000][arm]
                for t, arm in enumerate(found.chosen[run])]  # fmt: skip
        assert found.regret[run, -1] == pytest.approx(sum(lost))
        assert found.share(1)[run, 11] == (found.chosen[run, 1100:1200] == 1).mean()
    assert found.at_random[-1] == pytest.approx(
        1000 * sum(row.max() - row.mean() for row in found.value)
    )


def test_noticed_is_a_plain_loop(shown):
    found = shown.found(shown.state())
    for run, until in enumerate(found.noticed):
        better = found.chosen[run, 1000:] == 1
        loop = next((t for t in range(100, 1001) if better[t - 100 : t].sum() >= 80), np.nan)
        np.testing.assert_equal(until, loop)


def test_numbers_of_the_series(shown):
    """What the notebook says: memory notices June, and bounds pay for 28 models."""
    forgets = replay.bandits(replay.JUNE, replay.THOMPSON, 0.99)
    keeps = replay.bandits(replay.JUNE, replay.THOMPSON, 1.0)
    assert np.isfinite(forgets.noticed).all() and np.nanmedian(forgets.noticed) < 400
    assert np.isfinite(keeps.noticed).mean() < 0.5
    assert keeps.regret[:, 999].mean() < forgets.regret[:, 999].mean()  # in March
    pool = [replay.bandits(replay.POOL, p, 1.0).regret[:, -1] for p in replay.POLICIES[:2]]
    assert pool[1].mean() > 2 * pool[0].mean()


def test_beliefs_are_beta_densities(shown):
    from scipy.stats import beta

    state = shown.state()
    lines, found = named(shown.drawn(state)), shown.found(state)
    right, wrong = found.beliefs[9]
    for j, name in ((0, "belief, model 1"), (1, "belief, model 2")):
        x = np.array(lines[name]["x"])
        density = beta(1 + right[j], 1 + wrong[j]).pdf(x)
        np.testing.assert_allclose(lines[name]["y"], density / density.max(), atol=1e-4)


def test_presets_show_what_they_promise(shown):
    assert isinstance(shown.presets["never forgets"], Failing)
    kept = shown.found(shown.preset("never forgets"))
    assert kept.share(1)[:, -1].mean() < 0.5
    still, keeps = (shown.found(shown.state(stream=replay.STILL, discount=d)) for d in (0.9, 1.0))
    assert isinstance(shown.presets["nothing changes"], Failing)
    assert still.regret[:, -1].mean() > keeps.regret[:, -1].mean() + 50
    greedy = shown.found(shown.state(policy=replay.GREEDY))
    assert np.isfinite(greedy.noticed).sum() < 5  # what it does not ask, it never learns
    assert "28 models" not in shown.drawn(shown.state()).finding
    assert (
        "right answers lost (250 at random)" in shown.drawn(shown.preset("never forgets")).finding
    )
