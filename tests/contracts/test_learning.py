"""What is fitted: by name, by label and without a unit; where it is exact, equal to enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts import plain
from tests.contracts.compare import close
from tests.contracts.forms import arrays
from tests.contracts.hostile import examples, odd_names, several_of, tables, unlike
from tests.contracts.objects import held
from tests.contracts.plain import Table
from tests.contracts.registry import contract, quiet

whole_table = tables(
    items=st.integers(4, 8).map(lambda n: [f"q{i}" for i in range(n)]),
    models=st.sampled_from([["small", "big"], ["a", "b", "c"]]),
    labels=st.just(["A", "B", "C"]),
    answers=True,
    graded=False,
    whole=True,
    measures=("confidence", "cost"),
    facts=False,
)


def outcomes_of(table: Table):
    return lab.Outcomes(**arrays(table))


@contract("BudgetCascade")
@examples(40)
@given(table=whole_table, budget=st.sampled_from([0.5, 1.0, 3.0, 12.0]), data=st.data())
def test_a_budget_buys_the_best_of_all_settings(table, budget, data):
    for row in table.rows:  # some prices are not known: the model's mean stands in
        if data.draw(st.integers(0, 9)) == 0:
            row["cost"] = None
    table.__post_init__()
    price = plain.filled(table, "cost")
    assume(None not in price.values())
    limit = Fraction(budget) * (1 + Fraction(1, 10**9))
    known = [item for item in table.items if table.truth(item) is not None]
    best = None
    levels = [0.0, *sorted({row["confidence"] for row in table.rows}), 2.0]
    for stages in range(1, len(table.models) + 1):
        for order in itertools.permutations(table.models, stages):
            for setting in plain.settings(levels, stages - 1):
                right, spent = Fraction(0), Fraction(0)
                for item in known:
                    fate = plain.cascade(table, item, order, setting)
                    right += table.correct(item, fate.model) if fate.model else 0
                    spent += sum(price[item, name] for wave in fate.waves for name in wave)
                if spent / len(known) <= limit and (best is None or right > best):
                    best = right
    outcomes = outcomes_of(table)
    policy = lab.BudgetCascade(budget)
    if best is None:
        try:
            policy.fit(outcomes)
        except ValueError as error:
            assert "budget" in str(error)
        else:
            raise AssertionError("a budget below every price was accepted")
        return
    with quiet():
        fitted = policy.fit(outcomes)
        decision = fitted.decide(outcomes.filled("cost"))
    assert decision.mean_cost <= budget * (1 + 1e-6)
    rows = [table.items.index(item) for item in known]
    found = sum(0 if math.isnan(v) else v for v in decision.correct[rows])
    assert close(found, best), f"{found} right, {best} are possible"


def renamed(table: Table, items: dict, models: dict, labels: dict) -> Table:
    def label(value):
        return None if value is None else labels[value]

    rows = [
        row
        | {
            "item": items[row["item"]],
            "model": models[row["model"]],
            "answer": label(row["answer"]),
        }
        for row in table.rows
    ]
    facts = {
        items[item]: {k: label(v) if k == "truth" else v for k, v in known.items()}
        for item, known in table.facts.items()
    }
    return Table([models[m] for m in table.models], [items[i] for i in table.items], rows, facts)


def shuffled(table: Table, draw) -> Table:
    """The same table with rows, items and models in another order."""
    models, items = draw(st.permutations(table.models)), draw(st.permutations(table.items))
    return Table(models, items, draw(st.permutations(table.rows)), table.facts)


def _learners(table: Table, feature: bool):
    a, b = table.models[:2]
    found = [
        ("WeightedVote", lambda n: lab.WeightedVote()),
        ("BudgetCascade", lambda n: lab.BudgetCascade(20.0)),
        ("StackedAnswers", lambda n: lab.StackedAnswers()),
        ("MajorityVote", lambda n: lab.MajorityVote()),
    ]
    if feature:
        found.append(("LearnedSelector", lambda n: lab.LearnedSelector(n[a], n[b])))
    return found


@pytest.mark.slow
@contract("StackedAnswers", "LearnedSelector", "WeightedVote", "MajorityVote", "BudgetCascade")
@examples(30)
@given(table=whole_table, data=st.data())
def test_names_labels_units_and_orders_change_nothing(table, data):
    """Fitted on a table and on the same under odd names: the same fates, item by item."""
    feature = data.draw(st.booleans())
    if feature:
        for i, item in enumerate(table.items):
            table.facts[item]["feature:length"] = data.draw(st.integers(0, 9)) + i / 16
    names = data.draw(several_of(odd_names, least=12, most=14).filter(lambda v: len(v) >= 11))
    items = dict(zip(table.items, names, strict=False))
    models = dict(zip(table.models, reversed(names), strict=False))
    words = data.draw(
        st.sampled_from([["x", "1", ""], [7, 2**70, -1], [True, False, 2], [0.5, "b", "ü"]])
    )
    labels = dict(zip(["A", "B", "C"], words, strict=True))
    other = renamed(table, items, models, labels)
    what, make = data.draw(st.sampled_from(_learners(table, feature)), label="learner")
    before, after = outcomes_of(table), outcomes_of(other)
    test = outcomes_of(shuffled(other, data.draw))
    try:
        with quiet():
            plain_fit = make({name: name for name in models}).fit(before)
    except ValueError as error:
        assert "fewer than two" in str(error) or "nothing to learn" in str(error)
        return
    if what == "BudgetCascade":  # ties of equally good orders go by their place
        test = after
    with quiet():
        was = plain_fit.decide(before)
        now = make(models).fit(after).decide(test)
    place = {name: i for i, name in enumerate(test.items.tolist())}
    for i, item in enumerate(table.items):
        answer = was.answers[i]
        assert now.answers[place[items[item]]] == (None if answer is None else labels[answer]), what


@contract("StackedAnswers", "Cascade", "MajorityVote", "run")
@examples(40)
@given(table=whole_table, data=st.data())
def test_answers_unseen_in_fitting_do_not_end_a_replay(table, data):
    """A later table with an odd reply, and one whose labels do not hold all that was learned."""
    outcomes = outcomes_of(table)
    odd = data.draw(st.sampled_from(["I am not sure", "", "NA", "a:correct", "٣"]))
    rows = [dict(row) for row in table.rows]
    rows[0]["answer"] = odd
    for later in (
        Table(table.models, table.items, rows, table.facts),
        Table(table.models, table.items[:1], rows[: len(table.models)], {table.items[0]: {}}),
    ):
        test = outcomes_of(later)
        policies = [lab.MajorityVote(), lab.Cascade(table.models[:2], ({"A": 0.0, "B": 2.0},))]
        try:
            policies.append(lab.StackedAnswers().fit(outcomes))
        except ValueError as error:
            assert "fewer than two" in str(error)
        for policy in policies:
            with quiet():
                decision = policy.decide(test)
            assert len(decision) == len(test)
            assert set(decision.answers) <= {"A", "B", "C", odd, None}
    true = plain.cascade(later, later.items[0], table.models[:2], [[("A", 0.0), ("B", 2.0)]])
    assert policies[1].decide(test).answers[0] == true.answer


@contract("Calibration")
@examples(30)
@given(table=whole_table, scale=st.sampled_from([1.0, 100.0, 1e-3, 7.0]), data=st.data())
def test_calibration_does_not_depend_on_the_unit(table, scale, data):
    method = data.draw(st.sampled_from(["isotonic", "sigmoid"]))
    outcomes = outcomes_of(table)
    rows = [row | {"confidence": row["confidence"] * scale} for row in table.rows]
    scaled = outcomes_of(Table(table.models, table.items, rows, table.facts))
    try:
        with quiet():
            one = lab.Calibration(method).fit(outcomes).apply(outcomes)
    except ValueError as error:
        assert "right and wrong" in str(error) or "known outcome" in str(error)
        return
    with quiet():
        two = lab.Calibration(method).fit(scaled).apply(scaled)
    np.testing.assert_allclose(one.confidence, two.confidence, atol=1e-6)
    assert ((one.confidence >= 0) & (one.confidence <= 1)).all()
    if method == "isotonic":
        for j, model in enumerate(table.models):
            pairs = [
                (r["confidence"], table.correct(r["item"], model))
                for r in table.rows
                if r["model"] == model
            ]
            true = _isotonic([(x, y) for x, y in pairs if y is not None])
            for i, item in enumerate(table.items):
                x = table.row(item, model)["confidence"]
                if x in true:
                    assert abs(one.confidence[i, j] - float(true[x])) < 1e-6, (model, item)


def _isotonic(pairs: list) -> dict:
    """Confidence to the mean of its pool: neighbours that fall are pooled until none does."""
    groups: dict = {}
    for x, y in pairs:
        groups.setdefault(x, []).append(y)
    pools = []
    for x in sorted(groups):
        pools.append(([x], list(groups[x])))
        while len(pools) > 1 and plain.mean(pools[-2][1]) >= plain.mean(pools[-1][1]):
            xs, ys = pools.pop()
            pools[-1] = (pools[-1][0] + xs, pools[-1][1] + ys)
    return {x: plain.mean(ys) for xs, ys in pools for x in xs}


@contract("ambiguity", "RankVote", "MeanVote")
@examples(30)
@given(n=st.integers(1, 5), m=st.integers(1, 4), k=st.integers(2, 4), data=st.data())
def test_probabilities_are_combined_as_by_a_loop(n, m, k, data):
    weights = st.lists(st.integers(0, 8), min_size=k, max_size=k).filter(any)
    probabilities = [[data.draw(weights) for _ in range(m)] for _ in range(n)]
    probabilities = [
        [[Fraction(w, sum(proba)) for w in proba] for proba in item] for item in probabilities
    ]
    truth = [data.draw(st.integers(0, k - 1)) for _ in range(n)]
    table = lab.Outcomes(
        models=[f"m{j}" for j in range(m)],
        items=range(n),
        correct=[[0.0] * m] * n,
        labels=[f"l{c}" for c in range(k)],
        probability=[[[float(p) for p in proba] for proba in item] for item in probabilities],
        truth=truth,
    )
    with quiet():
        member, ambiguity, ensemble = lab.ambiguity(table)
        answers = {kind: kind().decide(table).answers for kind in (lab.MeanVote, lab.RankVote)}
    one_hot = [[Fraction(c == t) for c in range(k)] for t in truth]
    means = [[sum(proba[c] for proba in item) / m for c in range(k)] for item in probabilities]

    def distance(a, b):
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    pairs = list(zip(probabilities, one_hot, means, strict=True))
    assert close(member, plain.mean([distance(proba, t) for item, t, _ in pairs for proba in item]))
    assert close(
        ambiguity, plain.mean([distance(proba, a) for item, _, a in pairs for proba in item])
    )
    assert close(ensemble, plain.mean([distance(a, t) for _, t, a in pairs]))
    for i, item in enumerate(probabilities):
        points = [
            sum((proba[c] > p) + Fraction(proba[c] == p) / 2 for proba in item for p in proba)
            for c in range(k)
        ]
        for kind, scores in ((lab.MeanVote, means[i]), (lab.RankVote, points)):
            won = int(answers[kind][i][1:])
            assert scores[won] >= max(scores) - Fraction(1, 10**9), kind.__name__


@contract("bootstrap", "wilson")
@examples(30)
@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 0.5, None]), min_size=1, max_size=8), data=st.data()
)
def test_intervals_hold_what_is_known(values, data):
    known = [value for value in values if value is not None]
    floats = [math.nan if value is None else value for value in values]
    with quiet():
        low, high = lab.bootstrap(held(data.draw, floats), resamples=100, seed=1)
    if len(known) < 2:
        assert math.isnan(low) and math.isnan(high)
        return
    # No resample of a few values holds what they do not: an interval reaches farther, or is none.
    if math.isnan(low):
        assert math.isnan(high)
    else:
        assert 0 <= low <= sum(known) / len(known) <= high <= 1 and low < high
    share = sum(known) / len(known)
    low, high = lab.wilson(share, len(known))
    expected = plain.wilson(share, len(known))
    assert close(low, expected[0]) and close(high, expected[1])
    assert unlike([lab.bootstrap(floats, seed=3), lab.bootstrap(floats, seed=3)]) == [
        lab.bootstrap(floats, seed=3)
    ]
