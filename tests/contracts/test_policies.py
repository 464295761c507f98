"""Every policy on every legal table: the calls, answers and means of a plain loop."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts import plain
from tests.contracts.compare import alike, close
from tests.contracts.forms import FORMS
from tests.contracts.hostile import examples, tables
from tests.contracts.objects import held
from tests.contracts.registry import contract, quiet, refused
from tests.contracts.test_reading import read

WEIGHTS = (0.0, 0.5, 1.0, 1.5, -0.25, 2.0, 3.0)
THRESHOLDS = (0.0, 0.25, 0.5, 0.9, 1.0, 1.01, 1 / 3)
DIRECT = next(form for form in FORMS if form.name == "Outcomes(…)")
some_form = st.just(DIRECT) | st.sampled_from(FORMS)


def brought(table, data, folder):
    """(outcomes, what its form tells, whether as text), most often from arrays."""
    form = data.draw(some_form, label="form")
    done = read(table, form, data.draw, folder)
    assume(done is not None)
    return (*done, form.text)


def check_decision(decision, outcomes, told, true: dict, text: bool) -> None:
    """Item by item and in the mean: `decision` is what the loop found."""
    names = [str(name) if text else name for name in outcomes.items.tolist()]
    rows = [names.index(item) for item in told.items]
    labels = [str(label) if text else label for label in decision.labels]
    for at, (row, item) in enumerate(zip(rows, told.items, strict=True)):
        called = {decision.models[j] for j in decision.called[row].nonzero()[0]}
        assert called == {str(name) for name in true["called"][at]}, f"calls for {item!r}"
        assert bool(decision.abstained[row]) == true["abstained"][at], f"abstention on {item!r}"
        assert close(decision.correct[row], true["correct"][at]), f"correctness of {item!r}"
        if told.answers:
            code = decision.answer[row]
            answer = labels[code] if code >= 0 else None
            assert alike(answer, true["answers"][at]), f"{answer!r}, not {true['answers'][at]!r}"
        for name in ("cost", "latency"):
            values = getattr(decision, name)
            assert (values is None) == (not told.has(name))
            if values is not None:
                assert close(values[row], true[name][at]), f"{name} of {item!r}"
    assert close(decision.accuracy, true["accuracy"])
    assert close(decision.coverage, 1 - Fraction(sum(true["abstained"]), len(rows)))
    for name in told.models:
        assert close(decision.calls[str(name)], true["calls"][name])
    for name in ("cost", "latency"):
        found = decision.mean_cost if name == "cost" else decision.mean_latency
        assert close(found, true[f"mean {name}"] if told.has(name) else None), f"mean {name}"
        if told.has(name):
            assert close(decision.known[name], true[f"known {name}"])
    graded = [value for value in true["correct"] if value is not None]
    low, high = decision.interval()
    if graded:
        expected = plain.wilson(float(true["accuracy"]), len(graded))
        assert close(low, expected[0]) and close(high, expected[1])
    assert "np." not in repr(decision)


@contract(
    "MajorityVote",
    "WeightedVote",
    "MeanVote",
    "MaxVote",
    "MinVote",
    "MedianVote",
    "ProductVote",
    "Decision",
    "Policy",
    "answers",
)
@examples(100)
@given(
    table=tables(answers=True, measures=("confidence", "confidence", "cost", "latency")),
    data=st.data(),
)
def test_votes_are_those_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    members = data.draw(st.permutations(told.models), label="members")
    members = members[: data.draw(st.integers(1, len(members)))]
    weights = {name: data.draw(st.sampled_from(WEIGHTS)) for name in members}
    named = held(data.draw, [str(name) for name in members])
    by_name = {str(name): weight for name, weight in weights.items()}
    votes = {
        "majority": (lab.MajorityVote, {}, lambda i: plain.majority_vote(told, i, members)),
        "weighted": (
            lab.WeightedVote,
            {"weights": by_name},
            lambda i: plain.weighted_vote(told, i, members, weights),
        ),
    }
    if told.has("confidence"):
        positive = {name: abs(weight) for name, weight in weights.items()}
        combined = {
            lab.MeanVote: plain.mean_of(positive),
            lab.MaxVote: plain.max_of,
            lab.MinVote: plain.min_of,
            lab.MedianVote: plain.median_of,
            lab.ProductVote: plain.product_of,
        }
        for kind, combine in combined.items():
            settings = {"weights": {str(n): w for n, w in positive.items()}}
            votes[kind.__name__] = (
                kind,
                settings if kind is lab.MeanVote else {},
                lambda i, combine=combine: plain.confidence_vote(told, i, members, combine),
            )
    name = data.draw(st.sampled_from(list(votes)), label="vote")
    kind, settings, loop = votes[name]
    with quiet():
        vote = kind(named, **settings)
        parallel = data.draw(st.booleans())
        decision = vote.decide(outcomes, parallel=parallel)
    check_decision(decision, outcomes, told, plain.replay(told, loop, parallel), text)


def _thresholds(draw, count: int, labels: list, text: bool):
    """(for the package, for the loop): numbers, and mappings of some of the labels."""
    ours, loops = [], []
    for _ in range(count):
        if labels and draw(st.integers(0, 2)) == 0:
            some = [label for label in labels if draw(st.booleans())]
            levels = {label: draw(st.sampled_from(THRESHOLDS)) for label in some}
            ours.append(levels)
            loops.append([(str(k) if text else k, v) for k, v in levels.items()])
        else:
            ours.append(draw(st.sampled_from(THRESHOLDS)))
            loops.append(ours[-1])
    return ours, loops


@contract("Cascade", "frontier", "wilson")
@examples(100)
@given(table=tables(measures=("confidence", "cost", "latency")), data=st.data())
def test_cascades_are_those_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    assume(told.has("confidence"))
    order = data.draw(st.permutations(told.models), label="order")
    order = order[: data.draw(st.integers(1, len(order)))]
    labels = list(outcomes.labels) if told.answers else []
    ours, loops = _thresholds(data.draw, len(order) - 1, labels, text)
    abstain = data.draw(
        st.none() | st.just([data.draw(st.sampled_from(THRESHOLDS)) for _ in order])
    )
    with quiet():
        cascade = lab.Cascade(
            held(data.draw, [str(name) for name in order]),
            ours,
            None if abstain is None else held(data.draw, abstain),
        )
        decision = cascade.decide(outcomes)
    true = plain.replay(told, lambda item: plain.cascade(told, item, order, loops, abstain))
    check_decision(decision, outcomes, told, true, text)


@contract("frontier", "wilson")
@examples(50)
@given(table=tables(measures=("confidence", "cost", "latency")), data=st.data())
def test_a_frontier_is_every_setting(table, data, tmp_path_factory):
    outcomes, told, _ = brought(table, data, tmp_path_factory.mktemp("t"))
    assume(told.has("confidence") and len(told.models) > 1)
    order = data.draw(st.permutations(told.models), label="order")[:3]
    levels = data.draw(st.lists(st.sampled_from(THRESHOLDS), min_size=1, max_size=4))
    against = data.draw(st.sampled_from(["calls", "calls", "cost"]))
    cascade = lab.Cascade([str(name) for name in order], [0.5] * (len(order) - 1))
    rows = []
    for setting in plain.settings(levels, len(order) - 1):
        true = plain.replay(told, lambda i, s=setting: plain.cascade(told, i, order, s))
        calls = sum(true["calls"].values(), Fraction(0))
        rows.append((setting, true, calls))
    spent = [
        true["mean cost"] if against == "cost" and told.has("cost") else calls
        for _, true, calls in rows
    ]
    if against == "cost" and (not told.has("cost") or all(value is None for value in spent)):
        against, spent = "calls", [calls for _, _, calls in rows]
    with quiet():
        found = lab.frontier(
            cascade, outcomes, against=against, intervals=True, thresholds=held(data.draw, levels)
        )
    assert len(found) == len(rows)
    points = [(s, true["accuracy"]) for s, (_, true, _) in zip(spent, rows, strict=True)]
    best = plain.pareto(points)
    shown = set()
    for at, (setting, true, calls) in enumerate(rows):
        row = found.iloc[at]
        assert tuple(row["thresholds"]) == setting
        assert close(row["accuracy"], true["accuracy"])
        assert close(row["coverage"], 1 - Fraction(sum(true["abstained"]), len(told.items)))
        assert close(row["calls"], calls)
        for name in ("cost", "latency"):
            assert close(row[name], true[f"mean {name}"] if told.has(name) else None), name
        graded = sum(value is not None for value in true["correct"])
        if graded:
            low, high = plain.wilson(float(true["accuracy"]), graded)
            assert close(row["low"], low) and close(row["high"], high)
        if row["pareto"]:
            assert best[at], f"{setting} is not on the Pareto front"
            shown.add(points[at])
    # Of settings that are worth the same one is shown.
    assert {point for point, kept in zip(points, best, strict=True) if kept} == shown


@contract("CombiningCascade")
@examples(50)
@given(table=tables(answers=True, measures=("confidence", "cost", "latency")), data=st.data())
def test_a_combining_cascade_is_a_vote_of_whom_a_cascade_asks(table, data, tmp_path_factory):
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    assume(told.has("confidence"))
    order = data.draw(st.permutations(told.models), label="order")
    order = order[: data.draw(st.integers(1, len(order)))]
    levels = [data.draw(st.sampled_from(THRESHOLDS)) for _ in order[1:]]
    weights = {name: data.draw(st.sampled_from([0.5, 1.0, 2.0])) for name in order}
    with quiet():
        policy = lab.CombiningCascade(
            held(data.draw, [str(name) for name in order]),
            levels,
            {str(name): weight for name, weight in weights.items()},
        )
        decision = policy.decide(outcomes)

    def loop(item):
        waves = plain.cascade(told, item, order, levels).waves
        asked = [name for wave in waves for name in wave][::-1]  # a tie goes to the later stage
        sure = {name: told.measure("confidence", item, name) for name in asked}
        voters = [name for name in asked if told.said(item, name) is not None]
        worth = {
            name: Fraction(weights[name]) * (1 if sure[name] is None else sure[name])
            for name in voters
        }
        score = {
            name: sum(
                w for n, w in worth.items() if plain.same(told.said(item, n), told.said(item, name))
            )
            for name in voters
        }
        if not voters:
            return plain.Fate(plain.unread(told, item, asked), None, waves)
        best = max(score.values())
        name = next(n for n in voters if score[n] >= best * (1 - Fraction(1, 10**9)))
        return plain.Fate(name, told.said(item, name), waves)

    check_decision(decision, outcomes, told, plain.replay(told, loop), text)


@contract("AgreementCascade")
@examples(50)
@given(table=tables(answers=True, measures=("cost", "latency")), data=st.data())
def test_agreement_is_that_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    names = data.draw(st.permutations(told.models))
    cut = data.draw(st.integers(1, len(names)))
    tiers = [tier for tier in (names[:cut], names[cut:]) if tier]
    share = data.draw(st.sampled_from([0.0, 0.5, 1.0, 1 / 3, 2 / 3]))
    with quiet():
        ours = held(data.draw, [str(name) for name in tiers[0]])
        policy = lab.AgreementCascade([ours, *([list(map(str, t)) for t in tiers[1:]])], share)
        decision = policy.decide(outcomes)
    true = plain.replay(told, lambda item: plain.agreement_cascade(told, item, tiers, share))
    check_decision(decision, outcomes, told, true, text)


@contract("HeuristicSelector")
@examples(50)
@given(table=tables(measures=("cost", "latency")), data=st.data())
def test_a_heuristic_is_that_of_a_loop(table, data, tmp_path_factory):
    values = [facts.get("feature:length") for facts in table.facts.values()]
    assume(len(table.models) > 1 and any(value is not None for value in values))
    assume(not any(isinstance(value, str) for value in values))
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    numbers = {item: dict(facts) for item, facts in told.facts.items()}
    for facts in numbers.values():
        if isinstance(facts.get("feature:length"), str):
            facts["feature:length"] = plain.number(facts["feature:length"])
    told.facts = numbers
    small, big = data.draw(st.permutations(told.models))[:2]
    level = data.draw(st.sampled_from([0, 3, 10.0, 250.5, -1, 0.1]))
    policy = lab.HeuristicSelector(str(small), str(big), "length", level)
    if any("feature:length" not in facts for facts in told.facts.values()):
        with refused("length"):  # nobody can be chosen by what is not known
            policy.decide(outcomes)
        return
    with quiet():
        decision = policy.decide(outcomes)
    loop = lambda item: plain.heuristic(told, item, small, big, "length", level)  # noqa: E731
    check_decision(decision, outcomes, told, plain.replay(told, loop), text)


@contract("Outcomes")
@examples(50)
@given(table=tables(measures=("cost", "latency", "tokens")), data=st.data())
def test_gaps_are_filled_with_the_models_mean(table, data, tmp_path_factory):
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    names = [str(name) if text else name for name in outcomes.items.tolist()]
    column = {name: outcomes.models.index(str(name)) for name in told.models}
    for field in ("cost", "latency", "tokens"):
        if not told.has(field):
            continue
        every = data.draw(st.booleans())
        found = getattr(outcomes.filled(field, absent=every), field)
        true = plain.filled(told, field)
        for (item, model), value in true.items():
            row = told.row(item, model)
            there = row is not None and (told.answers or told.correct(item, model) is not None)
            if not there and not every:
                value = told.measure(field, item, model)
            assert close(found[names.index(item), column[model]], value), (field, item, model)


@contract("disagreement", "q_statistic", "error_correlation", "mean_pairwise")
@examples(50)
@given(table=tables(measures=()), data=st.data())
def test_diversity_is_that_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, _ = brought(table, data, tmp_path_factory.mktemp("t"))
    column = {name: outcomes.models.index(str(name)) for name in told.models}
    for name in ("disagreement", "q_statistic", "error_correlation"):
        with quiet():
            found = getattr(lab, name)(outcomes)
        for a in told.models:
            for b in told.models:
                true = getattr(plain, name)(told, a, b)
                value = found[column[a], column[b]]
                # A square root of rounding is larger than rounding.
                assert close(value, true) or abs(value - (true or 0)) < 1e-7, (
                    name,
                    a,
                    b,
                    value,
                    true,
                )
        pairs = [found[i, j] for i in range(len(found)) for j in range(i + 1, len(found))]
        known = [Fraction(value) for value in pairs if value == value]
        assert close(lab.mean_pairwise(found), plain.mean(known))


@contract("condorcet")
@examples(30)
@given(
    members=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    accuracy=st.sampled_from([0.0, 1.0, 0.5, 0.7, 1 / 3]),
    correlation=st.sampled_from([0.0, 1.0, 0.25, 0.9]),
    data=st.data(),
)
def test_condorcet_counts_every_jury(members, accuracy, correlation, data):
    with quiet():
        found = lab.condorcet(held(data.draw, members), accuracy, correlation)
    for value, size in zip(found, members, strict=True):
        assert close(value, plain.condorcet(size, Fraction(accuracy), Fraction(correlation)))
