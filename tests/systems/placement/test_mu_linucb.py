"""The bandit of cuts: it finds the best one, and only forced frames leave the device again."""

import numpy as np
import pytest

from ensemble_lab.systems import MuLinUCB

FRONT = np.array([0.0, 0.3, 0.6, 1.0])  # seconds on the device before each cut
BYTES = np.array([1.0, 0.5, 0.25, 0.0])  # Mbit at each cut
BEHIND = np.array([1.0, 0.7, 0.4, 0.0])  # seconds on the device of what is behind
CONTEXT = np.stack([BYTES, BEHIND, [1.0, 1.0, 1.0, 0.0]], axis=1)
FRAMES, CHANGE = 1200, 200


def behind(bandwidth, noise=0.0):
    """Seconds of link and server behind each cut; the server is ten times as fast."""
    found = BYTES / bandwidth + BEHIND / 10 + 0.02 * (BYTES > 0)
    return np.maximum(found + noise * (BYTES > 0), 0)


def played(mu, bandwidths, seed):
    """The cut of every frame."""
    rng = np.random.default_rng(seed)
    bandit = MuLinUCB(FRONT, CONTEXT, horizon=len(bandwidths), mu=mu, alpha=0.3)
    cuts = []
    for bandwidth in bandwidths:
        cuts.append(bandit.choose())
        bandit.learn(cuts[-1], behind(bandwidth, 0.02 * rng.normal())[cuts[-1]])
    return np.array(cuts)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bandwidth", [0.3, 1.5, 20.0])
def test_on_a_steady_link_it_finds_the_best_cut(bandwidth, seed):
    best = int(np.argmin(FRONT + behind(bandwidth)))
    cuts = played(0.25, [bandwidth] * FRAMES, seed)
    assert (cuts[-100:] == best).mean() > (0.75 if best == 3 else 0.9)


@pytest.mark.parametrize("seed", range(5))
def test_after_the_link_gets_fast_only_forced_frames_leave_the_device(seed):
    link = [0.2] * CHANGE + [20.0] * (FRAMES - CHANGE)
    plain, forced = (played(mu, link, seed)[CHANGE:] for mu in (None, 0.25))
    assert (plain == 3).all()  # the device for ever, six times slower than it need be
    left = np.flatnonzero(forced != 3)
    assert left[0] <= round(FRAMES**0.25)
    # Frames of the slow link still weigh in, so the best cut of all comes later.
    took = (FRONT + behind(20.0))[forced[-100:]]
    assert took.mean() < 0.7 * FRONT[-1] and (forced[-100:] != 3).all()


def test_forced_frames_come_in_fixed_steps_and_skip_the_device():
    bandit = MuLinUCB([9.0, 0.0], [[1.0], [0.0]], horizon=625, mu=0.25, alpha=0.0)
    chosen = [bandit.choose() for _ in range(25)]
    assert [t for t, cut in enumerate(chosen, 1) if cut == 0] == [5, 10, 15, 20, 25]


def test_nothing_is_tried_on_a_frame_of_weight_one():
    """The unknown arm looks best only through its uncertainty."""
    bandit = MuLinUCB([0.5, 0.4], [[1.0], [0.0]], horizon=10, mu=None, alpha=1.0)
    assert bandit.choose(weight=1.0) == 1 and bandit.choose(weight=0.0) == 0


def test_the_device_teaches_nothing_and_the_estimate_is_ridge_regression():
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(size=(4, 3)), np.zeros(3)])
    bandit, seen, y = MuLinUCB(np.zeros(5), x, horizon=9, ridge=0.5), [], []
    for cut, seconds in zip([0, 2, 4, 3, 0, 1], rng.random(6)):
        bandit.learn(cut, seconds)
        seen.append(x[cut])
        y.append(seconds)
    seen = np.array(seen)
    wanted = np.linalg.inv(seen.T @ seen + 0.5 * np.eye(3)) @ seen.T @ y
    np.testing.assert_allclose(bandit.theta, wanted)
    bandit.learn(4, 100.0)
    np.testing.assert_allclose(bandit.theta, wanted)
