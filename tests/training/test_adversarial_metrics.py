"""What generated rows are judged by: hand cases, brute force, closed forms, `prdc`."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.stats import entropy

from ensemble_lab.training import (
    Ring,
    best_discriminator,
    frechet_distance,
    modes_covered,
    precision_recall,
    small_digits,
)
from ensemble_lab.training.adversarial import metrics

seeds = st.integers(0, 2**32 - 1)


# -- data ------------------------------------------------------------------------------------------


def test_a_ring_is_a_mixture_of_its_gaussians():
    ring = Ring(modes=5, radius=3.0, sd=0.1)
    assert np.allclose(np.hypot(*ring.centres.T), 3)
    assert np.allclose(ring.centres.mean(0), 0)
    rows = ring.sample(20_000, rng=0)
    apart = (
        rows
        - ring.centres[nearest := np.linalg.norm(rows[:, None] - ring.centres, axis=-1).argmin(1)]
    )
    assert np.allclose(np.bincount(nearest) / 20_000, 0.2, atol=0.015)
    assert np.allclose(np.cov(apart.T), 0.01 * np.eye(2), atol=5e-4)
    side = np.linspace(-4, 4, 801)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    assert math.isclose(ring.density(grid).sum() * 0.01**2, 1, rel_tol=1e-6)
    assert math.isclose(ring.density(ring.centres[2]), 1 / (5 * 2 * np.pi * 0.01))
    assert np.array_equal(ring.sample(3, rng=1), ring.sample(3, np.random.default_rng(1)))


def test_digits_are_between_minus_one_and_one():
    X, y = small_digits()
    assert X.shape == (1797, 64) and X.min() == -1 and X.max() == 1
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


# -- modes -----------------------------------------------------------------------------------------


def test_modes_of_a_perfect_a_collapsed_and_a_useless_generator():
    ring = Ring()
    perfect = modes_covered(ring.sample(2500, rng=0), ring.centres, ring.sd)
    assert perfect.covered == 8
    # In two dimensions a Gaussian is within 3 standard deviations with 1 - exp(-9 / 2).
    assert abs(perfect.good - (1 - math.exp(-4.5))) < 4 * 0.0021
    assert 0 < perfect.divergence < 0.01
    collapsed = modes_covered(np.repeat(ring.centres[:1], 9, 0), ring.centres, ring.sd)
    assert (collapsed.covered, collapsed.good) == (1, 1.0)
    assert math.isclose(collapsed.divergence, math.log(8))
    useless = modes_covered(np.zeros((9, 2)), ring.centres, ring.sd)
    assert useless[:2] == (0, 0.0) and math.isnan(useless.divergence)


def test_three_standard_deviations_are_good_and_more_are_not():
    found = modes_covered([[0.75], [0.7501], [-0.75]], [[0.0], [10.0]], sd=0.25)
    assert found.counts.tolist() == [2, 0] and found.good == 2 / 3


@given(seeds)
def test_modes_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    centres, samples = rng.normal(size=(rng.integers(1, 5), 3)), rng.normal(size=(40, 3))
    counts = [0] * len(centres)
    for row in samples:
        apart = [math.dist(row, centre) for centre in centres]
        if min(apart) <= 3 * 0.4:
            counts[apart.index(min(apart))] += 1
    found = modes_covered(samples, centres, 0.4)
    assert found.counts.tolist() == counts and found.covered == sum(c > 0 for c in counts)
    assert found.good == sum(counts) / 40
    if sum(counts):
        assert math.isclose(found.divergence, entropy(counts, [1] * len(counts)), abs_tol=1e-12)


# -- Fréchet distance ------------------------------------------------------------------------------


def with_moments(mean, covariance, n=50):
    """Rows whose mean and unbiased covariance are exactly these."""
    rows = np.random.default_rng(0).normal(size=(n, len(mean)))
    rows -= rows.mean(0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return rows @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_two_gaussians_by_hand():
    X, Y = with_moments([0, 0], np.diag([1.0, 4.0])), with_moments([3, 4], np.diag([9.0, 1.0]))
    assert math.isclose(frechet_distance(X, Y), 25 + (1 - 3) ** 2 + (2 - 1) ** 2)
    assert frechet_distance(X, X) < 1e-12
    # Not along the axes: the eigenvalues of S_X S_Y = [[2, 1], [1, 2]] are 1 and 3.
    Y = with_moments([0, 0], np.array([[2.0, 1.0], [1.0, 2.0]]))
    X = with_moments([0, 0], np.eye(2))
    assert math.isclose(frechet_distance(X, Y), 2 + 4 - 2 * (1 + math.sqrt(3)))


@given(seeds)
@settings(max_examples=30)
def test_frechet_distance_is_that_of_a_matrix_square_root(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 6))
    X, Y = (rng.normal(size=(30, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d) for _ in "XY")
    S_X, S_Y = np.cov(X.T), np.cov(Y.T)
    root = sqrtm(S_X @ S_Y).real.trace()
    expected = ((X.mean(0) - Y.mean(0)) ** 2).sum() + S_X.trace() + S_Y.trace() - 2 * root
    found = frechet_distance(X, Y)
    assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(found, frechet_distance(Y, X), abs_tol=1e-9)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert math.isclose(found, frechet_distance(X @ turn + 5, Y @ turn + 5), abs_tol=1e-8)


def test_frechet_distance_with_fewer_rows_than_columns_is_real():
    X, _ = small_digits()
    found = frechet_distance(X[:10], X[10:20])  # covariances of rank 9 of 64, constant pixels
    assert isinstance(found, float) and 0 < found < 100
    assert frechet_distance(X[:10], X[:10]) < 1e-9
    assert frechet_distance([[1.0, 2.0]] * 3, [[1.0, 5.0]] * 2) == 9.0


def test_frechet_distance_of_real_rows_from_real_rows_falls_with_their_number():
    rng = np.random.default_rng(0)

    def floor(n):
        return np.mean([frechet_distance(*rng.normal(size=(2, n, 5))) for _ in range(40)])

    few, more, many = floor(20), floor(80), floor(320)
    # Each is biased upwards, by about a quarter with four times as many rows.
    assert 3 < few / more < 6 and 3 < more / many < 6
    # The means alone give 2 d / n.
    assert few > 2 * 5 / 20


# -- precision and recall --------------------------------------------------------------------------

# By `compute_prdc` of prdc 0.2: n real rows, m fake ones, d columns, k neighbours; then precision,
# recall, density and coverage of the rows that `two_kinds` draws with the seed.
BY_PRDC = [
    ((0, 60, 50, 2, 3), (1.0, 0.85, 1.2266666666666666, 0.8166666666666667)),
    ((1, 40, 80, 5, 1), (0.5375, 0.6, 0.75, 0.525)),
    ((2, 100, 100, 1, 7), (1.0, 0.96, 1.0542857142857143, 0.97)),
]


def two_kinds(seed, n, m, d):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), 0.7 * rng.standard_normal((m, d)) + 0.3


@pytest.mark.parametrize(("case", "expected"), BY_PRDC)
def test_precision_and_recall_are_those_that_prdc_gave(case, expected):
    assert np.allclose(precision_recall(*two_kinds(*case[:4]), case[4]), expected, 0, 1e-12)


@given(seeds, st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_precision_and_recall_are_those_of_prdc(seed, k):
    real, fake = two_kinds(seed, 30, 20, 3)
    expected = compute_prdc(real, fake, nearest_k=k)
    assert precision_recall(real, fake, k)._asdict() == pytest.approx(expected)


def by_definition(real, fake, k):
    """Naeem et al., section 3, with balls in loops."""

    def balls(rows):
        found = []
        for i, row in enumerate(rows):
            others = [math.dist(row, other) for j, other in enumerate(rows) if j != i]
            found.append((row, sorted(others)[k - 1]))
        return found

    def inside(row, ball):
        return math.dist(row, ball[0]) < ball[1]

    of_real, of_fake = balls(real), balls(fake)
    return (
        np.mean([any(inside(y, ball) for ball in of_real) for y in fake]),
        np.mean([any(inside(x, ball) for ball in of_fake) for x in real]),
        np.mean([sum(inside(y, ball) for ball in of_real) for y in fake]) / k,
        np.mean([any(inside(y, ball) for y in fake) for ball in of_real]),
    )


@given(seeds, st.integers(1, 4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_precision_and_recall_are_those_of_the_definition(seed, k, ties):
    real, fake = two_kinds(seed, 12, 9, 2)
    if ties:  # rows that are repeated, and distances that are equal
        real, fake = real.round(), fake.round()
    assert np.allclose(precision_recall(real, fake, k), by_definition(real, fake, k))


def test_many_rows_are_compared_in_slabs(monkeypatch):
    real, fake = two_kinds(3, 50, 40, 2)
    whole = precision_recall(real, fake)
    monkeypatch.setattr(metrics, "SLAB", 7)
    assert precision_recall(real, fake) == whole


def test_what_each_number_sees():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(0, 1, (200, 2)), rng.normal(20, 1, (200, 2))])
    collapsed = rng.normal(0, 1, (400, 2))
    found = precision_recall(real, collapsed)
    assert found.precision > 0.9 and found.recall < 0.55 and 0.4 < found.coverage < 0.55
    # An outlier among the real rows has a large ball: precision believes it, density less so.
    with_outlier = np.concatenate([real, [[500.0, 500.0]]])
    far = precision_recall(with_outlier, rng.normal(300, 1, (400, 2)))
    assert far.precision == 1 and far.density < 0.5 and far.coverage < 0.01
    point = precision_recall(real, np.repeat(real[:1], 50, 0))  # all fakes are one real row
    assert point.precision == 1 and point.recall == 0


# -- the best discriminator ------------------------------------------------------------------------

shares = st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda p: sum(p) > 1e-3)


@given(shares, shares)
def test_no_discriminator_beats_the_best_and_its_value_is_the_divergence(p, q):
    p, q = np.array(p) / sum(p), np.array(q) / sum(q)
    found = best_discriminator(p, q)
    middle = (p + q) / 2
    divergence = (entropy(p, middle) + entropy(q, middle)) / 2
    assert math.isclose(found.divergence, divergence, abs_tol=1e-12)
    assert math.isclose(found.value, -math.log(4) + 2 * divergence, abs_tol=1e-9)
    side = np.linspace(1e-6, 1 - 1e-6, 500)
    best = sum((a * np.log(side) + b * np.log1p(-side)).max() for a, b in zip(p, q))
    assert best <= found.value + 1e-9


def test_outcomes_that_one_side_lacks():
    found = best_discriminator([0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0])
    assert found.probability[:3].tolist() == [1, 0.5, 0] and np.isnan(found.probability[3])
    apart = best_discriminator([1.0, 0.0], [0.0, 1.0])
    assert apart.value == 0 and math.isclose(apart.divergence, math.log(2))


def test_a_discriminator_that_learns_comes_to_the_best():
    torch = pytest.importorskip("torch")
    from ensemble_lab.training.adversarial.losses import discriminator_loss

    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0]).double(), torch.tensor([0.1, 0.3, 0.2, 0.4]).double()
    best = best_discriminator(p, q)
    score = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([score], max_iter=500, tolerance_grad=1e-12)

    def loss():
        optimiser.zero_grad()
        each = torch.stack([discriminator_loss(s[None], s[None] - 1e9) for s in score])
        fake = torch.stack([discriminator_loss(s[None] + 1e9, s[None]) for s in score])
        value = (p * each + q * fake).sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert abs(-loss().item() - best.value) < 1e-6
    assert np.allclose(score.detach().sigmoid()[:3], best.probability[:3], atol=1e-4)


# -- the penalty -----------------------------------------------------------------------------------


def test_the_penalty_of_a_linear_critic_is_its_slope_minus_one_squared():
    torch = pytest.importorskip("torch")
    from ensemble_lab.training import gradient_penalty

    x = torch.randn(3, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for w in ([3.0, 0.0, 4.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]):
        w = torch.tensor(w, dtype=torch.float64, requires_grad=True)
        found = gradient_penalty(lambda x, w=w: x @ w + 7, x)
        assert torch.equal(found, ((w.norm() - 1) ** 2).expand(3))
        (slope,) = torch.autograd.grad(found.sum(), w)
        assert slope.isfinite().all()  # also at 0, where the norm has no slope


def test_the_penalty_is_of_each_row_and_does_not_reach_the_rows():
    torch = pytest.importorskip("torch")
    from ensemble_lab.training import gradient_penalty

    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    found = gradient_penalty(lambda x: (x**2).sum(-1, keepdim=True) / 2, x)  # its slope is x
    norms = x.detach().norm(dim=1)
    assert torch.isclose(found, ((norms - 1) ** 2).mean())
    assert torch.autograd.grad(found, x, allow_unused=True) == (None,)


# -- the generator's losses ------------------------------------------------------------------------


def test_minimax_is_flat_where_the_discriminator_is_sure_and_the_other_is_steep():
    torch = pytest.importorskip("torch")
    from ensemble_lab.training.adversarial import losses

    for sure, minimax, other in ((-10.0, 4.5398e-5, 0.9999546), (0.0, 0.5, 0.5)):
        score = torch.full((2, 4), sure, dtype=torch.float64, requires_grad=True)
        for loss, slope in ((losses.minimax_loss, minimax), (losses.non_saturating_loss, other)):
            (found,) = torch.autograd.grad(loss(score).sum(), score)
            assert torch.allclose(found, torch.full_like(score, -slope / 4), rtol=1e-4)
    for loss in (losses.minimax_loss, losses.non_saturating_loss):  # no log of 0
        assert loss(torch.tensor([[-1e4, 1e4]])).isfinite().all()


# -- what would be wrong in silence ---------------------------------------------------------------


def test_numbers_whose_squares_are_infinite_are_refused():
    X, Y = np.random.default_rng(0).normal(size=(2, 20, 3))
    for judge in (frechet_distance, precision_recall, lambda X, Y: modes_covered(X, Y, 1.0)):
        with pytest.raises(ValueError, match="divide all rows by one number"):
            judge(1e160 * X, 1e160 * Y)


def test_frames_in_another_order_are_refused():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=list("abc"))
    other = X[list("cab")]
    for judge in (frechet_distance, precision_recall, lambda X, Y: modes_covered(Y, X, 1.0)):
        judge(X, X), judge(X, X.to_numpy()), judge(X, X.rename(columns={"a": "d"}))
        with pytest.raises(ValueError, match=r"in another order: give \w+\[\w+.columns\]"):
            judge(X, other)
    p = pd.Series([0.2, 0.8], index=["a", "b"])
    assert best_discriminator(p, p).divergence == 0
    with pytest.raises(ValueError, match=r"give p_generator.loc\[p_data.index\]"):
        best_discriminator(p, p[::-1])


def test_equal_centres_are_refused():
    with pytest.raises(ValueError, match="two centres are equal"):
        modes_covered([[0.0]], [[1.0], [0.0], [1.0]], 1.0)
