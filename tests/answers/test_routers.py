"""Routers against plain loops, closed forms and other people's solvers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import ensemble_lab as lab
from ensemble_lab.answers.routing.groups import shrunk_means

WORDS = ("red", "green", "blue")


def table(n=60, m=3, seed=0, cost=(1.0, 2.0, 5.0), groups=True, gaps=0.0):
    """n questions with two embedding numbers and a length; which model is good depends on them."""
    rng = np.random.default_rng(seed)
    where, length = rng.normal(size=(n, 2)), rng.integers(10, 500, n)
    skill = np.array([[1.0, 0.0], [-1.0, 0.5], [0.3, 1.0], [-0.5, -1.0]])[:m]
    chance = 1 / (1 + np.exp(-(where @ skill.T + 0.3)))
    answer = np.where(rng.random((n, m)) < chance, 0, rng.integers(1, 3, (n, m)))
    correct = (answer == 0).astype(float)
    correct[rng.random((n, m)) < gaps] = np.nan
    return lab.Outcomes(
        models=[*"abcd"][:m],
        items=[f"q{i}" for i in range(n)],
        correct=correct,
        answer=answer,
        labels=WORDS,
        truth=np.zeros(n, int),
        confidence=rng.choice([0.2, 0.4, 0.6, 0.8, 1.0], (n, m)),
        cost=np.broadcast_to(np.array(cost)[:m], (n, m)),
        features={
            "embedding_00": where[:, 0], "embedding_01": where[:, 1], "question_chars": length
        },
        group=np.where(where[:, 0] > 0, "east", "west").tolist() if groups else None,
    )  # fmt: skip


def every_router():
    """One of each, unfitted."""
    return [
        lab.RandomRouter(), lab.LengthRouter(), lab.GroupRouter(), lab.ClusterRouter(clusters=4),
        lab.QualityRouter(), lab.GapRouter(), lab.FactorRouter(rank=2), lab.NeighbourRouter(9),
        lab.NeighbourRouter(9, groups=True), lab.SimilarityRouter(), lab.EloRouter(5),
        lab.DynamicSelection(), lab.LabelRouter(first="a"), lab.BudgetRouter(2.0),
        lab.SubsetRouter(2), lab.CachedRouter(),
    ]  # fmt: skip


def named(router):
    return type(router).__name__ + ("+groups" if getattr(router, "groups", 0) is True else "")


@pytest.mark.parametrize("router", every_router(), ids=named)
def test_scores_and_choices_have_the_tables_shape_and_order(router):
    train, test = table(), table(seed=1)
    fitted = router.fit(train)
    scores = fitted.scores(test)
    assert scores.shape == test.correct.shape and np.isfinite(scores).all()
    decision = fitted.decide(test)
    asked = decision.called.sum(axis=1)
    if not isinstance(router, lab.DynamicSelection | lab.SubsetRouter | lab.CachedRouter):
        assert (asked <= 2).all() if isinstance(router, lab.LabelRouter) else (asked == 1).all()
    order = np.random.default_rng(0).permutation(len(test))
    np.testing.assert_allclose(fitted.scores(test.take(order)), scores[order], atol=1e-5)
    moved = test.select(models=["c", "a", "b"])
    np.testing.assert_allclose(fitted.scores(moved), scores[:, [2, 0, 1]], atol=1e-5)
    with pytest.raises(ValueError, match=r"not fitted"):
        router.decide(test)


# -- the knob -------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), cost=st.permutations([1.0, 2.0, 5.0]))
def test_a_higher_weight_on_the_price_never_costs_more(seed, cost):
    router = lab.GroupRouter().fit(table(seed=seed, cost=cost))
    weights = np.linspace(0, 1, 21)
    front = lab.frontier(router, table(seed=seed + 1, cost=cost), cost_weight=weights)
    assert all(later <= before + 1e-12 for before, later in pairwise(front["cost"]))
    assert front["cost"].iloc[-1] == 1.0
    slow = [replace(router, cost_weight=w).decide(table(seed=seed + 1, cost=cost)) for w in weights]
    np.testing.assert_allclose(front["accuracy"], [d.accuracy for d in slow])


@pytest.mark.parametrize(
    "router", [r for r in every_router() if hasattr(r, "cost_weight")], ids=named
)
def test_a_sweep_is_each_settings_own_replay(router):
    """Also for routers that vote, or that pay a first model."""
    fitted, test = router.fit(table()), table(seed=1)
    front = lab.frontier(fitted, test, cost_weight=[0.0, 0.1, 0.3, 1.0])
    for weight, row in zip((0.0, 0.1, 0.3, 1.0), front.itertuples(), strict=True):
        decision = replace(fitted, cost_weight=weight).decide(test)
        assert row.accuracy == pytest.approx(decision.accuracy)
        assert row.cost == pytest.approx(decision.mean_cost)
        assert row.calls == pytest.approx(decision.called.sum(axis=1).mean())


def test_equal_models_go_to_the_cheapest():
    """All models equally good: nothing to choose, so the price decides."""
    good = table(cost=(5.0, 1.0, 2.0))
    good = replace(good, correct=np.ones(good.correct.shape), answer=np.zeros((60, 3), int))
    for router in (lab.GroupRouter(), lab.QualityRouter(), lab.GapRouter(), lab.NeighbourRouter()):
        assert router.fit(good).decide(good).calls == {"a": 0.0, "b": 1.0, "c": 0.0}


# -- each rule ------------------------------------------------------------------------------------


def test_groups_by_hand():
    """Group x: a 2 of 2, b 0 of 2; group y: a 0 of 1. Overall a 2/3, b 1/3; two items are added."""
    four = lab.Outcomes(
        models=["a", "b"],
        items=range(3),
        correct=[[1, 0], [1, 0], [0, 1]],
        group=["x", "x", "y"],
    )
    router = lab.GroupRouter(shrinkage=2.0).fit(four)
    expected = {"x": [(2 + 4 / 3) / 4, (0 + 2 / 3) / 4], "y": [(4 / 3) / 3, (1 + 2 / 3) / 3]}
    np.testing.assert_allclose(router.scores(four), [expected[g] for g in four.group.tolist()])
    new = replace(four, group=["z", None, "x"])
    np.testing.assert_allclose(router.scores(new)[:2], [[2 / 3, 1 / 3]] * 2)
    bare = lab.GroupRouter(shrinkage=0.0).fit(four)
    np.testing.assert_allclose(bare.scores(four), [[1, 0], [1, 0], [0, 1]])


def test_an_empty_group_has_the_overall_mean():
    found = shrunk_means(np.array([[1.0, 0.0]]), np.array([0]), 2, 0.0)
    np.testing.assert_allclose(found.by_group[1], [1.0, 0.0])


def test_neighbours_are_those_of_a_loop():
    train, test = table(80), table(30, seed=3)
    router = lab.NeighbourRouter(7, shrinkage=3.0, features=("embedding_00", "embedding_01"))
    fitted = router.fit(train)
    points = [np.column_stack(list(t.features.values()))[:, :2] for t in (train, test)]
    overall = train.correct.mean(axis=0)
    for i, point in enumerate(points[1]):
        near = np.argsort(((points[0] - point) ** 2).sum(axis=1), kind="stable")[:7]
        expected = overall + (train.correct[near] - overall).sum(axis=0) / 10
        np.testing.assert_allclose(fitted.scores(test)[i], expected, atol=1e-6)


def test_neighbours_correct_the_group():
    train, test = table(80), table(30, seed=3)
    router = lab.NeighbourRouter(7, shrinkage=3.0, groups=True).fit(train)
    base = lab.GroupRouter(shrinkage=5.0).fit(train)
    rest = train.correct - base.scores(train)
    points = [np.column_stack(list(t.features.values()))[:, :2] for t in (train, test)]
    for i, point in enumerate(points[1]):
        near = np.argsort(((points[0] - point) ** 2).sum(axis=1), kind="stable")[:7]
        expected = base.scores(test)[i] + rest[near].sum(axis=0) / 10
        np.testing.assert_allclose(router.scores(test)[i], expected, atol=1e-6)


@pytest.mark.parametrize("m", [2, 3])
def test_weighted_means_order_models_as_fitted_ratings_do(m):
    """RouteLLM's form: Bradley-Terry ratings, fitted to battles weighted by similarity."""
    from sklearn.linear_model import LogisticRegression

    train, test = table(50, m), table(12, m, seed=2)
    router = lab.SimilarityRouter().fit(train)
    scores = router.scores(test)
    space = router.fitted.state.space
    points = [space.points(t) for t in (train, test)]
    unit = [p / np.linalg.norm(p, axis=1, keepdims=True) for p in points]
    for i, point in enumerate(unit[1]):
        weight, rows, won, weights = 10.0 ** (1 + unit[0] @ point), [], [], []
        for row, w in zip(train.correct, weight, strict=True):
            for a in range(m):
                for b in range(a + 1, m):
                    share = (1 + row[a] - row[b]) / 2  # a tie is half a win for each
                    rows += [np.eye(m)[a] - np.eye(m)[b]] * 2
                    won, weights = [*won, 1, 0], [*weights, w * share, w * (1 - share)]
        fit = LogisticRegression(C=1e9, fit_intercept=False, max_iter=2000).fit(
            rows, won, sample_weight=weights
        )
        assert np.argsort(fit.coef_[0]).tolist() == np.argsort(scores[i]).tolist()
        if m == 2:
            chance = 1 / (1 + np.exp(fit.coef_[0, 1] - fit.coef_[0, 0]))
            assert chance == pytest.approx((1 + scores[i, 0] - scores[i, 1]) / 2, abs=1e-4)


def test_elo_is_that_of_a_loop():
    train, test = table(40, 2), table(10, 2, seed=4)
    router = lab.EloRouter(neighbours=3, local=0.25, step=24.0).fit(train)

    def played(rating, grades):
        expected = 1 / (1 + 10 ** ((rating[1] - rating[0]) / 400))
        change = 24.0 * ((1 + grades[0] - grades[1]) / 2 - expected)
        return rating[0] + change, rating[1] - change

    overall = (0.0, 0.0)
    for grades in train.correct:
        overall = played(overall, grades)
    points = [np.column_stack(list(t.features.values()))[:, :2] for t in (train, test)]
    for i, point in enumerate(points[1]):
        local = overall
        for j in np.argsort(((points[0] - point) ** 2).sum(axis=1), kind="stable")[:3][::-1]:
            local = played(local, train.correct[j])
        rating = 0.25 * np.array(local) + 0.75 * np.array(overall)
        chance = 1 / (1 + 10 ** ((rating.mean() - rating) / 400))
        np.testing.assert_allclose(router.scores(test)[i], chance, atol=1e-6)


def test_knora_e_is_that_of_a_loop():
    train, test = table(50, 4, cost=(1, 1, 1, 1)), table(30, 4, seed=5, cost=(1, 1, 1, 1))
    decision = lab.DynamicSelection(neighbours=5).fit(train).decide(test)
    points = [np.column_stack(list(t.features.values()))[:, :2] for t in (train, test)]
    for i, point in enumerate(points[1]):
        near = np.argsort(((points[0] - point) ** 2).sum(axis=1), kind="stable")[:5]
        for k in range(5, -1, -1):  # k = 0: every model is right on nothing
            fit = [j for j in range(4) if train.correct[near[:k], j].all()]
            if fit:
                break
        assert decision.called[i].nonzero()[0].tolist() == fit
        votes = [test.answer[i, j] for j in fit]
        assert votes.count(decision.answer[i]) == max(map(votes.count, votes))


def test_full_rank_is_ridge_and_a_lower_rank_is_the_best_of_its_rank():
    from sklearn.linear_model import Ridge

    train, test = table(100, 4, cost=(1,) * 4), table(20, 4, seed=6, cost=(1,) * 4)
    full = lab.FactorRouter(rank=4, penalty=3.0, groups=False).fit(train)
    space = full.fitted.state[0]
    gaps = train.correct - train.correct.mean(axis=1, keepdims=True)
    ridge = Ridge(alpha=3.0).fit(space.points(train), gaps)
    np.testing.assert_allclose(full.scores(test), ridge.predict(space.points(test)), atol=1e-8)
    one = lab.FactorRouter(rank=1, penalty=3.0, groups=False).fit(train)
    target = full.scores(train) - full.scores(train).mean(axis=0)
    left = np.linalg.svd(target, compute_uv=False)
    error = np.linalg.norm(target - (one.scores(train) - one.scores(train).mean(axis=0)))
    assert error == pytest.approx(np.sqrt((left[1:] ** 2).sum()), abs=1e-8)


def test_the_label_router_is_a_table_of_cells():
    train, test = table(300), table(50, seed=7)
    router = lab.LabelRouter(first="b", bins=2, shrinkage=1.0, cost_weight=0.1).fit(train)
    edge = np.quantile(train.confidence[:, 1], 0.5)
    decision = router.decide(test)
    overall, price = train.correct.mean(axis=0), np.array([1.0, 2.0, 5.0]) / 5
    for i in range(len(test)):
        cell = (train.answer[:, 1] == test.answer[i, 1]) & (
            (train.confidence[:, 1] >= edge) == (test.confidence[i, 1] >= edge)
        )
        score = (train.correct[cell].sum(axis=0) + overall) / (cell.sum() + 1)
        best = int(np.argmax(0.9 * score - 0.1 * price))
        assert decision.chosen[i] == best
        assert decision.called[i].nonzero()[0].tolist() == sorted({1, best})


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), budget=st.floats(1.0, 5.0))
def test_a_budget_is_spent_as_highs_would_spend_it(seed, budget):
    """One weight on the price is optimal, up to one item."""
    train = table(40, seed=seed)
    router = lab.BudgetRouter(budget).fit(train)
    scores, price = router.scores(train), np.array([1.0, 2.0, 5.0])
    chosen = router.decide(train).chosen
    assert price[chosen].mean() <= budget + 1e-6
    n, m = scores.shape
    best = linprog(
        -scores.ravel(),
        A_ub=[np.tile(price, n)], b_ub=[budget * n],
        A_eq=np.kron(np.eye(n), np.ones(m)), b_eq=np.ones(n), bounds=(0, 1), method="highs",
    )  # fmt: skip
    ours = scores[np.arange(n), chosen].sum()
    assert ours <= -best.fun + 1e-6
    assert -best.fun - ours <= (scores.max(axis=1) - scores.min(axis=1)).max() + 1e-6


def test_a_subset_votes_with_the_log_odds_of_its_members():
    train, test = table(200, 4, cost=(1,) * 4), table(40, 4, seed=8, cost=(1,) * 4)
    router = lab.SubsetRouter(size=3, of=lab.GroupRouter()).fit(train)
    scores, decision = router.scores(test), router.decide(test)
    for i, row in enumerate(scores):
        members = sorted(np.argsort(-row, kind="stable")[:3])
        assert decision.called[i].nonzero()[0].tolist() == members
        votes = dict.fromkeys(range(3), 0.0)
        for j in members:
            votes[test.answer[i, j]] += max(np.log(row[j] / (1 - row[j])), 0.01)
        assert votes[decision.answer[i]] == pytest.approx(max(votes.values()))
    one = lab.SubsetRouter(size=1, of=lab.GroupRouter()).fit(train)
    np.testing.assert_array_equal(one.decide(test).chosen, one.of.decide(test).chosen)


def test_a_cache_answers_what_it_knows_and_its_own_errors_are_seen():
    train = table(40)
    cached = lab.CachedRouter(radius=0.0, of=lab.GroupRouter()).fit(train)
    again = cached.decide(train)
    assert cached.hits(train).all() and not again.called.any() and again.mean_cost == 0
    np.testing.assert_array_equal(again.answer, cached.of.decide(train).answer)
    other = replace(train, truth=np.ones(40, int), correct=(train.answer == 1).astype(float))
    wrong = cached.decide(other)  # the same features, another question: the old answer is given
    np.testing.assert_array_equal(wrong.correct, (again.answer == 1).astype(float))
    far = table(40, seed=9)
    assert not cached.hits(far).any()
    np.testing.assert_array_equal(cached.decide(far).chosen, cached.of.decide(far).chosen)
    wide = replace(cached, radius=100.0)
    assert wide.hits(far).all() and not wide.decide(far).called.any()


def test_an_equal_embedding_is_not_an_equal_question():
    """The numbers of the docstring: the same words with other options have another letter."""
    table = lab.load_outcomes("mmlu-pro-29-llms")
    whole = [m for m, share in zip(table.models, table.coverage(), strict=True) if share > 0.99]
    train, test = table.select(models=whole).split(0.5, 0)
    cached = lab.CachedRouter(0.0, lab.GroupRouter(shrinkage=20.0)).fit(train)
    hit = cached.hits(test)
    assert hit.mean() == pytest.approx(0.04, abs=0.005)
    right = [np.nanmean(p.decide(test).correct[hit]) for p in (cached, cached.of)]
    assert right == pytest.approx([0.32, 0.73], abs=0.005)


def test_random_scores_are_uniform_and_belong_to_the_item():
    big = table(4000)
    router = lab.RandomRouter().fit(big)
    scores = router.scores(big)
    assert abs(scores.mean() - 0.5) < 0.01 and abs(scores.var() - 1 / 12) < 0.005
    assert abs(np.corrcoef(scores.T)[np.triu_indices(3, 1)]).max() < 0.05
    np.testing.assert_array_equal(router.scores(big.take([7, 3])), scores[[7, 3]])
    assert (replace(router, seed=1).scores(big) != scores).all()


def test_the_longest_questions_go_to_the_most_expensive_model():
    train = table(cost=(5.0, 1.0, 2.0))
    router = lab.LengthRouter().fit(train)
    order = np.argsort(train.features["question_chars"], kind="stable")
    price = np.array([5.0, 1.0, 2.0])[router.decide(train).chosen[order]]
    assert (np.diff(price) >= 0).all() and set(price) == {1.0, 2.0, 5.0}


# -- what is wrong --------------------------------------------------------------------------------


def test_what_is_wrong_is_named():
    train = table()
    gap = np.where(np.arange(60) == 7, np.nan, train.features["embedding_00"])
    holed = replace(train, features=dict(train.features) | {"embedding_00": gap})
    with pytest.raises(ValueError, match="feature 'embedding_00' is not known for item 'q7'"):
        lab.NeighbourRouter().fit(holed)
    with pytest.raises(ValueError, match="feature 'embedding_00' is not known for item 'q7'"):
        lab.NeighbourRouter().fit(train).decide(holed)
    fitted = lab.QualityRouter().fit(train)
    with pytest.raises(ValueError, match=r"fitted on 'c'.*replace\(router, models=\('a', 'b'\)\)"):
        fitted.decide(train.select(models=["a", "b"]))
    left = replace(fitted, models=("a", "b")).decide(train.select(models=["a", "b"]))
    assert set(left.chosen) <= {0, 1}
    four = table(m=4, cost=(1, 2, 5, 9))
    assert fitted.decide(four).calls["d"] == 0.0  # joined after the fit: never asked
    with pytest.raises(ValueError, match="'d' joined after the fit"):
        replace(fitted, models=("a", "d")).decide(four)
    with pytest.raises(ValueError, match=r"the price of 'a' is not known"):
        replace(fitted, cost_weight=0.5, prices={"b": 1.0, "c": 2.0}).decide(train)
    with pytest.raises(
        KeyError, match="no model 'A' in the pool, but in prices; known are a, b, c"
    ):
        lab.GroupRouter(prices={"A": 1.0}).fit(train)
    with pytest.raises(ValueError, match="below the cheapest model's price, 'a' at 1"):
        lab.BudgetRouter(0.5).fit(train)
    with pytest.raises(ValueError, match="BudgetRouter without prices needs 'cost'"):
        lab.BudgetRouter(0.5).fit(replace(train, cost=None))
    with pytest.raises(ValueError, match="have no groups"):
        lab.GroupRouter().fit(replace(train, group=None))
    with pytest.raises(ValueError, match="have no group, and this router was fitted with groups"):
        lab.QualityRouter().fit(train).decide(replace(train, group=None))
    with pytest.raises(ValueError, match="all 60 items have the same"):
        same = {name: np.zeros(60) for name in train.features}
        lab.CachedRouter(of=lab.GroupRouter()).fit(replace(train, features=same))
    with pytest.raises(ValueError, match="no answer of 'b' is graded"):
        ungraded = np.where(np.arange(3) == 1, np.nan, train.correct)
        lab.GroupRouter().fit(replace(train, correct=ungraded))
    with pytest.raises(ValueError, match="ends in '_chars', so no length is known"):
        lab.LengthRouter().fit(replace(train, features={"embedding_00": np.arange(60)}))
    with pytest.raises(KeyError, match="no model 'z'"):
        lab.LabelRouter(first="z").fit(train)
    with pytest.raises(ValueError, match="first='c' is not among models"):
        lab.LabelRouter(first="c", models=("a", "b")).fit(train)
    with pytest.raises(ValueError, match="DynamicSelection needs 'answer'"):
        bare = replace(train, answer=None, labels=(), truth=None)
        lab.DynamicSelection().fit(bare).decide(bare)
    with pytest.raises(ValueError, match="budget is what fit reads"):
        lab.frontier(lab.BudgetRouter(2.0).fit(train), train, budget=[1.0, 2.0])


def test_one_model_is_always_asked():
    one = table(m=1)
    for router in every_router():
        if not isinstance(router, lab.LabelRouter | lab.CachedRouter):
            assert router.fit(one).decide(one).calls == {"a": 1.0}


def test_gaps_in_grades_and_prices_do_not_reach_the_scores():
    train = table(200, gaps=0.2)
    holed = np.where(np.arange(200)[:, None] % 5 == 0, np.nan, train.cost)
    train = replace(train, cost=holed)
    for router in every_router():
        fitted = router.fit(train)
        assert np.isfinite(fitted.scores(table(seed=2))).all(), type(router).__name__
    assert lab.GroupRouter().fit(train).price().tolist() == [1.0, 2.0, 5.0]


def test_a_grade_between_right_and_wrong_is_a_part_of_each():
    """Grades 0.25 everywhere: the predicted quality is 0.25, not 0."""
    train = table(100)
    graded = replace(train, correct=np.full((100, 3), 0.25) + 0.5 * (np.arange(100) % 2)[:, None])
    assert lab.QualityRouter().fit(graded).scores(graded).mean() == pytest.approx(0.5, abs=0.01)


# -- live -----------------------------------------------------------------------------------------


def test_route_says_which_model_and_why():
    train = table()
    known = {"embedding_00": 1.5, "embedding_01": 0.0, "question_chars": 900}
    found = lab.GroupRouter().fit(train).route("why?", group="east")
    assert found.model == max(found.scores, key=found.scores.get)
    assert found.why.startswith("group east, ")
    assert "not in the fit" in lab.GroupRouter().fit(train).route("why?", group="north").why
    found = lab.LengthRouter().fit(train).route("why?" * 225, features=known)
    assert "above all of the fit" in found.why and found.model == "c"
    asked = []

    def features(texts):
        asked.extend(texts)
        return {name: [value] for name, value in known.items()}

    found = lab.NeighbourRouter(9).fit(train).route("why?", features=features)
    assert asked == ["why?"] and "9 nearest questions" in found.why
    cheap = lab.GroupRouter(cost_weight=0.9).fit(train).route("why?", group="west")
    assert cheap.model == "a" and cheap.scores["a"] < max(cheap.scores.values())
    assert cheap.why.endswith("; a costs less (cost_weight 0.9)")
    assert lab.LabelRouter(first="b").fit(train).route("why?").asked == ("b",)
    pair = lab.SubsetRouter(2, lab.GroupRouter()).fit(train).route("why?", group="east")
    assert pair.model is None and len(pair.asked) == 2
    cache = lab.CachedRouter(1e6, lab.GroupRouter()).fit(train)
    stored = cache.route("why?", features=known, group="east")
    assert stored.model is None and stored.asked == () and "is stored" in stored.why
    for bad in ("", "  ", None, 7):
        with pytest.raises(ValueError, match="give a text that is not empty"):
            lab.GroupRouter().fit(train).route(bad, group="east")
    with pytest.raises(KeyError, match="no feature 'embedding_00'"):
        lab.NeighbourRouter(9).fit(train).route("why?", features={"embedding_0": 1})


def test_run_asks_the_chosen_model_alone():
    train = table()
    router = lab.NeighbourRouter(9, features=("embedding_00",)).fit(train)
    asked = []
    models = {name: lambda item, name=name: asked.append(name) or "red" for name in "abc"}
    decision = lab.run(router, models, "why?", features={"embedding_00": 2.0})
    assert asked == [models_name(decision)] and decision.answers == ["red"]
    decision = lab.run(lab.GroupRouter().fit(train), models, "why?", group="west")
    assert decision.called.sum() == 1
    embed = {"embedding_00": [2.0]}
    again = lab.run(router, models, "why?", features=lambda texts: embed)
    assert models_name(again) == asked[0]


def models_name(decision):
    return decision.models[int(decision.chosen[0])]
