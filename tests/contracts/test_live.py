"""Live models: a recording is the table, a run is the replay, whatever names and replies are."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.compare import alike, check_table, close
from tests.contracts.forms import arrays
from tests.contracts.hostile import examples, illegal_notations, tables
from tests.contracts.objects import ILLEGAL, held
from tests.contracts.plain import MEASURES, Table
from tests.contracts.registry import check_refusal, collected, contract, quiet


def asked_all(table: Table) -> Table:
    """The table with an unparsed reply where there was none: a live model always says something.

    What a reply does not know it leaves out.
    """
    rows = []
    for item in table.items:
        for model in table.models:
            row = table.row(item, model) or {"item": item, "model": model}
            row = {name: value for name, value in row.items() if value is not None}
            rows.append({"answer": None} | row)
    return Table(table.models, table.items, rows, table.facts)


def live(table: Table, asked: list | None = None) -> dict:
    """Model name to a callable that replies as the table says."""

    def model(name):
        def reply(item):
            if asked is not None:
                asked.append((item, name))
            row = table.row(item, name)
            return lab.Reply(row["answer"], **{k: row.get(k) for k in MEASURES})

        return reply

    return {name: model(name) for name in table.models}


def edited(draw, data: bytes) -> bytes:
    """What editors and tools do to a file of lines."""
    ways = [
        lambda d: d,
        lambda d: d.rstrip(b"\n"),
        lambda d: d + b"\n",
        lambda d: d + b"\n \n",
        lambda d: d.replace(b"\n", b"\r\n"),
        lambda d: b"\xef\xbb\xbf" + d,
        lambda d: d.replace(b"\n", b"\n\n"),
    ]
    return draw(st.sampled_from(ways))(data)


no_decimals = tables(answers=True, graded=False)


@contract("record", "Reply", "models")
@examples(40)
@given(table=no_decimals, data=st.data())
def test_a_recording_is_the_table(table, data, tmp_path_factory):
    table = asked_all(table)
    assume(not any(type(label).__name__ == "Decimal" for label in table.labels()))
    path = tmp_path_factory.mktemp("t") / "r.jsonl"
    by_name = data.draw(st.booleans())
    items = {item: item for item in table.items} if by_name else held(data.draw, table.items)
    if by_name:
        renamed = table
    else:  # a sequence: its items are named by their places, a Series by its index
        keys = list(items.index) if hasattr(items, "index") and hasattr(items, "iloc") else None
        keys = keys or list(range(len(table.items)))
        name = dict(zip(table.items, keys, strict=True))
        rows = [row | {"item": name[row["item"]]} for row in table.rows]
        facts = {name[item]: known for item, known in table.facts.items()}
        renamed = Table(table.models, keys, rows, facts)
    facts = {}
    for fact in dict.fromkeys(key for known in table.facts.values() for key in known):
        cells = [table.facts[item].get(fact) for item in table.items]
        facts[fact] = dict(zip(renamed.items, cells, strict=True)) if by_name else cells
    features = {k.removeprefix("feature:"): v for k, v in facts.items() if k.startswith("feature:")}
    asked: list = []
    stop = data.draw(st.integers(0, len(table.rows)))
    models = live(table, asked)

    def stopping(name):
        def reply(item):
            if len(asked) >= stop:
                raise InterruptedError("the line is down")
            return models[name](item)

        return reply

    settings = {
        "truth": facts.get("truth"),
        "group": facts.get("group"),
        "features": features,
        "progress": False,
    }
    again = list(table.items) if not by_name and not hasattr(items, "__len__") else items
    if hasattr(items, "__next__"):
        items = iter(again)

    def record(given_models, given_items):
        with quiet():
            return lab.record(given_models, given_items, path, **settings)

    illegal = illegal_notations(renamed, text=False)
    try:
        if data.draw(st.booleans()):
            with pytest.raises(InterruptedError):
                record({name: stopping(name) for name in table.models}, items)
                raise InterruptedError("nothing was left to stop at")
            path.write_bytes(edited(data.draw, path.read_bytes()))
            items = again
        found = record(models, items)
    except Exception as error:
        if isinstance(error, (InterruptedError, AssertionError)):
            raise
        check_refusal(error)
        assert illegal, f"a legal recording was refused: {error!r}"
        return
    assert not illegal, "accepted answers and truths in two notations"
    assert len(asked) == len(set(map(repr, asked))) == len(table.rows), "asked twice, or not at all"
    unmeasured = [row for row in renamed.rows if row.get("latency") is None]
    for made in (found, lab.Outcomes.read(path)):
        names = made.items.tolist()
        for row in unmeasured:  # the clock's word
            at = names.index(row["item"]), made.models.index(row["model"])
            row["latency"] = float(made.latency[at])
        renamed.__post_init__()
        check_table(made, renamed, text=False)


@contract("run", "Reply")
@examples(100)
@given(table=no_decimals, data=st.data())
def test_a_run_is_the_replay(table, data):
    table = asked_all(table)
    assume(not any(type(label).__name__ == "Decimal" for label in table.labels()))
    for row in table.rows:
        row["latency"] = row["latency"] if row.get("latency") is not None else 0.5
        row.setdefault("confidence", data.draw(st.sampled_from([None, 0.0, 0.5, 1.0])))
    assume(any(row["confidence"] is not None for row in table.rows))
    table.__post_init__()
    outcomes = lab.Outcomes(**arrays(table))
    labels = list(outcomes.labels)
    a, *rest = data.draw(st.permutations(table.models))
    some = {label: 0.5 for label in labels if data.draw(st.booleans())}
    policies = [
        lab.MajorityVote((a, *rest)),
        lab.WeightedVote((a, *rest), {name: j + 0.5 for j, name in enumerate(table.models)}),
        lab.Cascade((a, *rest), [data.draw(st.sampled_from([0.0, 0.5, 1.01, some])) for _ in rest]),
        lab.MeanVote((a, *rest)),
        lab.ProductVote((a, *rest)),
        lab.AgreementCascade([[a], *([rest] if rest else [])], 1.0),
    ]
    policy = data.draw(st.sampled_from(policies))
    parallel = data.draw(st.booleans())
    with quiet():
        decision = policy.decide(outcomes, parallel=parallel)
    for i, item in enumerate(table.items):
        asked: list = []
        with quiet():
            done = lab.run(
                policy,
                live(table, asked),
                item,
                labels=held(data.draw, labels) if labels else None,
                parallel=parallel,
            )
        assert alike(done.answers[0], decision.answers[i])
        assert {name for _, name in asked} == {
            name for j, name in enumerate(outcomes.models) if decision.called[i, j]
        }
        assert close(done.latency[0], decision.latency[i])
        cost = math.nan if decision.cost is None else decision.cost[i]
        if done.cost is None:
            assert math.isnan(cost)
        else:
            assert close(done.cost[0], None if math.isnan(cost) else cost)


@contract("record", "run")
@pytest.mark.parametrize("kind", list(ILLEGAL))
def test_questions_that_iterate_as_something_else_are_refused_before_any_call(kind, tmp_path):
    asked = []
    models = {"m": lambda item: asked.append(item) or "x"}
    make = ILLEGAL[kind]
    policy = lab.MajorityVote(("m",))
    calls = {
        "truth": lambda: lab.record(
            models, ["a", "b"], tmp_path / "1.jsonl", truth=make(["x", "y"]), progress=False
        ),
        "group": lambda: lab.record(
            models, ["a", "b"], tmp_path / "2.jsonl", group=make(["x", "y"]), progress=False
        ),
        "labels": lambda: lab.run(policy, models, "a", labels=make(["x", "y"])),
        "feature": lambda: lab.record(
            models, ["a", "b"], tmp_path / "3.jsonl", features={"f": make([1, 2])}, progress=False
        ),
    }
    if kind != "mapping":
        calls["items"] = lambda: lab.record(
            models, make(["a", "b"]), tmp_path / "4.jsonl", progress=False
        )
        calls["models"] = lambda: lab.record(
            make(["m"]), ["a"], tmp_path / "5.jsonl", progress=False
        )
        calls["models of run"] = lambda: lab.run(policy, make(["m"]), "a")
    collected(calls)
    assert not asked


@contract("record")
@pytest.mark.parametrize(
    "reply",
    [
        [1],
        {"a": 1},
        object(),
        b"x",
        1j,
        float("inf"),
        lab.Reply("x", confidence="high"),
        lab.Reply("x", cost=-1),
        lab.Reply("x", latency=math.nan),
        lab.Reply("x", cost=math.inf),
    ],
    ids=lambda reply: type(reply).__name__,
)
def test_a_reply_that_no_file_holds_is_refused_and_not_written(reply, tmp_path):
    path = tmp_path / "r.jsonl"
    try:
        lab.record({"m": lambda item: reply}, ["a"], path, progress=False)
    except Exception as error:
        check_refusal(error)
        assert '"model"' not in path.read_text()
    else:
        lab.Outcomes.read(path)
