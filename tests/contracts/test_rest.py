"""What is left: explorers, the catalogue, meters, values; and that no public name is without."""

from __future__ import annotations

import importlib
import inspect
import math
import types
from pathlib import Path

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts import plain
from tests.contracts.compare import check_summary, check_table
from tests.contracts.forms import arrays
from tests.contracts.hostile import examples, tables
from tests.contracts.objects import held
from tests.contracts.registry import COVERED, check_refusal, contract, quiet, refused


@contract("explore", "widgets")
@examples(6, shrink=False)
@given(
    table=tables(
        answers=True, graded=False, measures=("confidence", "cost", "latency"), whole=True
    ),
    data=st.data(),
)
def test_an_explorer_draws_every_legal_table_or_says_what_it_lacks(table, data):
    assume(not any(type(label).__name__ == "Decimal" for label in table.labels()))
    outcomes = lab.Outcomes(**arrays(table))
    what = data.draw(st.sampled_from(["votes", "cascade", "escalate"]))
    try:
        with quiet():
            explorer = lab.explore(what, outcomes)
            figure, told = explorer.figure(), explorer.table()
    except Exception as error:
        if what == "escalate" and len(table.models) != 2:
            return check_refusal(error)
        check_refusal(error)
        few = len(table.models) < 2 or len(table.items) < 4
        lacking = not all(table.has(name) for name in ("confidence", "cost"))
        ungraded = plain.oracle(table) is None
        assert few or lacking or ungraded, f"{what} refused a legal table: {error!r}"
        return
    assert figure is not None and len(told)


@contract("load_outcomes", "outcomes_catalogue", "catalogue")
def test_the_catalogue_is_read_as_it_says():
    names = lab.outcomes_catalogue()
    for name in names.index[:3]:
        table = lab.load_outcomes(name)
        assert len(table) == names.loc[name, "items"]
        assert len(table.models) == names.loc[name, "models"]
    for wrong in (None, 7, ["a"], Path("x")):
        with refused():
            lab.load_outcomes(wrong)


@contract("load_texts")
def test_recorded_texts_are_read_as_their_entry_says():
    texts = lab.load_texts()
    assert list(texts) == ["task", "answer", "ended"] == list(texts.attrs["columns"])
    assert len(texts) == texts.attrs["rows"] and texts.attrs["licence"] == "Apache-2.0"
    for wrong in (None, 7, ["a"], Path("x"), "smollm2", "../outcomes/game-of-24"):
        with refused():
            lab.load_texts(wrong)


@contract("load_trace", "load_curves")
def test_recorded_loads_are_read_as_their_entries_say():
    for load, name in ((lab.load_trace, "azure-code"), (lab.load_curves, "vllm-h100")):
        table = load(name)
        assert list(table) == list(table.attrs["columns"]) and len(table) == table.attrs["rows"]
        for wrong in (None, 7, ["a"], Path("x"), "azure", "../outcomes/game-of-24", "../curves/x"):
            with refused():
                load(wrong)


@contract("Meter", "instruments")
def test_a_meter_adds_what_it_is_told():
    with lab.Meter() as meter:
        for tokens, cost in ((1, 0.1), (0, 0.0), (2**40, 0.25)):
            meter.count(tokens=tokens, cost=cost)
    assert meter.tokens == 2**40 + 1 and math.isclose(meter.cost, 0.35) and meter.seconds >= 0


@contract("Choice", "Decision", "Reply")
def test_values_are_what_they_were_given():
    reply = lab.Reply("a\nb", confidence=1.0, cost=0.0, latency=0.0, tokens=0)
    assert reply.answer == "a\nb" and reply.cost == 0.0 and reply.text is None
    choice = lab.Choice(np.array([0]), np.array([[True]]))
    assert choice.answer is None
    table = lab.Outcomes(models=["m"], items=["q"], correct=[[1]], cost=[[math.nan]])
    decision = lab.Cascade(("m",)).decide(table)
    assert math.isnan(decision.mean_cost) and decision.known["cost"] == 0
    with refused("answers"):
        _ = decision.answers
    with refused("speed"):
        decision.interval("speed")


@contract("Outcomes")
@examples(50)
@given(table=tables(), data=st.data())
def test_parts_of_a_table_are_those_of_a_loop(table, data):
    """`take`, `select`, `split` and `columns` with names and places in any object."""
    assume(not any(type(label).__name__ == "Decimal" for label in table.labels()))
    outcomes = lab.Outcomes(**arrays(table))
    n = len(table.items)
    kept = [i for i in range(n) if data.draw(st.booleans())] or [0]
    kept = data.draw(st.permutations(kept))
    items = [table.items[i] for i in kept]
    models = data.draw(st.permutations(table.models))
    models = models[: data.draw(st.integers(1, len(models)))]
    way = data.draw(st.sampled_from(["names", "mask", "places", "split"]))
    with quiet():
        if way == "names":
            part = outcomes.select(models=held(data.draw, models), items=held(data.draw, items))
        elif way == "mask":
            mask = [i in kept for i in range(n)]
            items = [item for i, item in enumerate(table.items) if i in kept]
            part = outcomes.select(models=held(data.draw, models), items=held(data.draw, mask))
        elif way == "places":
            part = outcomes.take(list(kept)).select(models=held(data.draw, models))
        else:
            assume(n > 1)
            first, second = outcomes.split(0.5, seed=1)
            assert sorted(map(repr, first.items.tolist() + second.items.tolist())) == sorted(
                map(repr, outcomes.items.tolist())
            )
            part = first.select(models=held(data.draw, models))
            items = part.items.tolist()
    assert part.items.tolist() == items and list(part.models) == list(models)
    assert outcomes.columns(held(data.draw, models)).tolist() == [
        table.models.index(m) for m in models
    ]
    rows = [row for row in table.rows if row["item"] in items and row["model"] in models]
    true = plain.Table(
        list(models), items, rows, {i: table.facts[i] for i in items}, table.answers, table.graded
    )
    assume(rows)
    # Columns are kept where their rows are not: a measure may be there and empty.
    for name in ("confidence", "cost", "latency", "tokens"):
        if table.has(name) and not true.has(name) and rows:
            rows[0][name] = rows[0].get(name)
    for name in dict.fromkeys(key for facts in table.facts.values() for key in facts):
        if not any(name in facts for facts in true.facts.values()):
            true.facts = {i: facts | {name: None} for i, facts in true.facts.items()}
    check_table(part, true, text=False)
    check_summary(part, true)


@contract("exercises")
def test_parts_of_the_package_are_modules():
    for name in lab.__all__:
        thing = getattr(lab, name)
        if inspect.ismodule(thing):
            assert isinstance(thing, types.ModuleType)


def test_no_public_name_is_without_a_contract():
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.contracts.{path.stem}")
    assert not set(lab.__all__) - COVERED.keys(), "write a contract for these"
    assert not COVERED.keys() - {*lab.__all__, *lab.SUBMODULES}, "these are no public names"
