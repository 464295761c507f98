"""What people type, pass and name: explorers and guesses understand it or say no aloud."""

import html
import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers import explore
from ensemble_lab.widgets import Predict, PredictCurve
from ensemble_lab.widgets.controls import choice, many, steps
from ensemble_lab.widgets.panel import Panel, by_name
from ensemble_lab.widgets.typed import typed_number
from tests.support.toy_explorer import toy


def refusal(call, kind=ValueError):
    with pytest.raises(kind) as refused:
        call()
    said = str(refused.value)
    assert len(said) <= 300 and said.count("\n") < 2
    assert not any(mark in said for mark in ("np.", "array(", "dtype", " object at 0x"))
    return said


# -- numbers that are typed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guess", "number"),
    [
        (" 12 ", 12), ("1e3", 1000), ("90%", 90), ("90 %", 90), ("\u22123", -3), ("\u00a07", 7),
        (".5", 0.5), ("5.", 5), ("+4", 4), (np.float32(0.5), 0.5), (np.array(3), 3),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25), (7, 7), (np.int64(7), 7),
    ],
)  # fmt: skip
def test_numbers_as_people_type_them(guess, number):
    assert typed_number(guess, unit="%") == number


@pytest.mark.parametrize(
    ("guess", "fix"),
    [
        ("0,9", "as a point"), ("1,000", "as a point"), ("1.000,5", "as a point"),
        ("90%", "without %"), ("", "guess one"), ("1_000", "guess one"),
        ("٣", "guess one"), ("１２", "guess one"),
        ("nan", "guess one"), ("inf", "guess one"), (True, "guess one"), (None, "guess one"),
        ([1], "guess one"), (1j, "guess one"), ("half", "guess one"), ("1 000", "guess one"),
        ("x" * 10**6, "guess one"), (b"1", "guess one"), ("1\n2", "guess one"), ({}, "guess one"),
    ],
)  # fmt: skip
def test_what_is_no_number_says_how_to_write_it(guess, fix):
    assert fix in refusal(lambda: typed_number(guess))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_python_writes_is_read_back(value):
    assert typed_number(repr(value)) == value == typed_number(f" {value!r} s", unit="s")


def test_a_guess_that_is_cleared_is_none_and_a_bad_one_leaves_the_last():
    guess = Predict("How many?", truth=12, unit="%")
    box = guess.widget()
    field, said = box.children[1].children[0], box.children[2]
    field.value = "10%"
    assert guess.value == 10
    field.value = "0,9"
    assert guess.value == 10 and "your guess is still 10 %" in said.value
    field.value = "  "
    assert guess.value is None and "no guess" in said.value


@pytest.mark.parametrize("guess", [float("nan"), "nan", float("inf"), True, np.array([1.0])])
def test_guesses_that_are_none(guess):
    asked = Predict("How many?")
    refusal(lambda: setattr(asked, "value", guess))
    assert asked.value is None


def test_an_unknown_truth_is_not_compared():
    guess = Predict("?", default=5)
    assert guess.compare(float("nan")) == "You said 5; it is not known."
    assert guess.compare(np.float64(5)) == "You said 5; it is 5. Right on the spot."
    curve = PredictCurve("?", [0, 1])
    curve.value = [0.5, 0.5]
    title = curve.compare([0.5, np.nan]).layout.title.text
    assert "only partly known" in title


@pytest.mark.parametrize(
    "xs", [[0, 1, 2], range(3), np.arange(3), pd.Series([0, 1, 2], index=[5, 6, 7])]
)
def test_places_of_a_curve_in_any_form(xs):
    curve = PredictCurve("?", xs, truth=lambda places: [x / 4 for x in places])
    curve.value = pd.Series([0, "0.25", 1], index=[2, 1, 0])
    assert [type(x) for x in curve.xs] == [int] * 3  # as a place in an array, for a truth
    assert curve.xs == [0, 1, 2] and curve.value == [0, 0.25, 1]
    assert PredictCurve("?", (x for x in xs)).xs == [0, 1, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda: PredictCurve("?", "012"),
        lambda: PredictCurve("?", {0: 1, 1: 2}),
        lambda: PredictCurve("?", pd.DataFrame({"x": [0, 1]})),
        lambda: PredictCurve("?", [np.float64(0)]),
        lambda: PredictCurve("?", 5),
        lambda: PredictCurve("?", ["a", "b"]),
        lambda: PredictCurve("?", [0, 1], truth="01").compare(),
        lambda: PredictCurve("?", [0, 1], truth={0: 1, 1: 2}).compare(),
        lambda: PredictCurve("?", [0, 1], truth=[0.5]).compare(),
        lambda: PredictCurve("?", [0, 1], low=np.float64(2)),
        lambda: Predict("?", low=np.float64(2), high=np.float64(1)),
    ],
)
def test_what_is_no_curve(call):
    refusal(call)


# -- controls -----------------------------------------------------------------------------------

LEVEL = steps("level", "level", (0.0, 0.1, 0.7, 1.0), 0.1)
COUNT = steps("count", "count", (1, 2, 10), 1)
PARTS = many("parts", "parts", ("a", "b", "1", ""))


@pytest.mark.parametrize(
    ("control", "value", "option"),
    [
        (LEVEL, np.float32(0.7), 0.7), (LEVEL, np.float64(0.7), 0.7), (LEVEL, 0.1 * 7, 0.7),
        (LEVEL, Decimal("0.7"), 0.7), (LEVEL, Fraction(7, 10), 0.7), (LEVEL, np.array(0.7), 0.7),
        (LEVEL, 1, 1.0), (COUNT, np.int64(2), 2), (COUNT, 2.0, 2),
        (PARTS, np.array(["b", "a"]), ("a", "b")), (PARTS, pd.Series(["b"]), ("b",)),
        (PARTS, {"b", "a"}, ("a", "b")), (PARTS, (x for x in "ab"), ("a", "b")),
        (PARTS, [""], ("",)),        (choice("c", "c", ("x", "y")), np.str_("y"), "y"),
    ],
)  # fmt: skip
def test_start_values_as_numpy_pandas_or_a_rounding_away(control, value, option):
    found = control.checked(value)
    assert found == option and type(found) is type(option)


@pytest.mark.parametrize(
    ("control", "value"),
    [
        (LEVEL, "0.7"), (LEVEL, True), (LEVEL, np.True_), (LEVEL, float("nan")), (LEVEL, None),
        (LEVEL, np.array([0.7])), (LEVEL, pd.Series([0.7])), (LEVEL, pd.DataFrame({"a": [0.7]})),
        (LEVEL, 10**400), (COUNT, "x" * 10**6), (COUNT, 2.1), (PARTS, "ab"),
        (PARTS, [1]), (PARTS, {"a": 1}), (PARTS, 5), (PARTS, []), (PARTS, pd.DataFrame({"a": [1]})),
        (PARTS, ["x" * 10**6]), (PARTS, None),
    ],
)  # fmt: skip
def test_values_that_no_option_is(control, value):
    assert control.name in refusal(lambda: control.checked(value))


# -- explorers ----------------------------------------------------------------------------------


def two_models(items=("1", "2", "3", "4")):
    n = len(items)
    return lab.Outcomes(models=["a", "b"], items=list(items), correct=np.eye(n, 2))


@pytest.mark.parametrize(
    ("call", "kind", "why"),
    [
        (lambda: explore("cascade", "mine.csv"), TypeError, "Outcomes.read"),
        (lambda: explore("cascade", [two_models()]), TypeError, "one Outcomes at a time"),
        (lambda: explore("cascade", pd.DataFrame({"a": [1]})), TypeError, "from_frame"),
        (lambda: explore("cascade", {"a": 1}), TypeError, "outcomes is a dict"),
        (lambda: explore(lab.Cascade, two_models()), ValueError, "Cascade(…)"),
        (lambda: explore(None), ValueError, "no explorer for None"),
        (lambda: explore(["cascade"], two_models()), ValueError, "no explorer for"),
        (lambda: explore("cascade"), ValueError, "needs outcomes"),
        (lambda: explore(lab.MajorityVote(), [[1, 0]]), TypeError, "outcomes is a list"),
        (lambda: explore(two_models()), ValueError, "'votes', 'cascade'"),
        (lambda: explore("casacde"), KeyError, "did you mean 'cascade'"),
        (lambda: explore("x" * 10**6), KeyError, "no explorer"),
        (lambda: explore("rounds", two_models()), TypeError, "trace(target"),
        (lambda: explore("rounds", "x"), TypeError, "trace(target"),
        (lambda: explore("rounds", {"a": 1}), TypeError, "trace(target"),
        (lambda: explore("rounds", []), ValueError, "at least one token"),
        (lambda: explore("speedup", [1]), ValueError, "dictionary from names"),
        (lambda: explore("speedup", "alpha"), ValueError, "dictionary from names"),
        (lambda: explore("speedup", two_models()), ValueError, "dictionary from names"),
        (lambda: explore("speedup", {}), ValueError, "no pair to show"),
        (lambda: explore("speedup", gama=1), ValueError, "did you mean 'gamma'"),
        (lambda: explore("speedup", gamma="four"), ValueError, "gamma='four'"),
        (lambda: explore("speedup", alpha=np.array([1, 2])), ValueError, "alpha=[1, 2]"),
        (lambda: explore("escalate", share=17.4), ValueError, "nearest are 17 and 18"),
        (lambda: explore("escalate", share=400), ValueError, "nearest are 99 and 100"),
        (lambda: explore("escalate", share="17"), ValueError, "give a number, not text"),
    ],
)
def test_what_cannot_be_explored_is_named(call, kind, why):
    assert why in refusal(call, kind)


def test_starts_may_be_numpy_scalars():
    explorer = explore("speedup", alpha=np.float32(0.7), gamma=np.int64(4), c=np.float64(0.1))
    state = explorer.state()
    assert (state["alpha"], state["gamma"], state["c"]) == (0.7, 4, 0.1)
    assert json.loads(explorer.to_json())["state"] == state


def of_toy(state):
    return f'{{"explorer": "toy", "version": 1, "state": {state}}}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\ufeff{}", "not a state"), ("", "not a state"), ("[1, 2]", "not a state"),
        ("null", "not a state"), ("{", "copy it again"), ("{" * 10**5, "not a state"),
        ({"explorer": "toy", "state": {}}, "version"),
        ({"explorer": "toy", "version": 0, "state": {}}, "has version 0"),
        ({"explorer": "toy", "version": True, "state": {}}, "version True"),
        ({"explorer": "toy", "version": "x" * 10**6, "state": {}}, "has version"),
        ({"explorer": "votes", "version": 1, "state": {}}, "is of 'votes'"),
        ({"explorer": "x" * 10**6, "version": 1, "state": {}}, "this state is of"),
        (of_toy("[1]"), "not a state"), (of_toy("null"), "not a state"),
        (of_toy('"power"'), "not a state"), (of_toy("[[" * 50_000), "not a state"),
        (of_toy('{"power": NaN}'), "power=nan"), (of_toy('{"power": null}'), "power=None"),
        (of_toy('{"powr": 3}'), "did you mean 'power'"),
        (of_toy('{"dash": "dott"}'), "did you mean 'dot'"),
        ({"explorer": "toy", "version": 1, "state": {"y" * 10**6: 1}}, "is not a control"),
    ],
)  # fmt: skip
def test_states_that_are_none(text, why):
    """Refused where they are read, and said so on the panel, which stays as it is."""
    assert why in refusal(lambda: toy().read(text))
    panel = Panel(toy(), live=False)
    before = dict(panel.state)
    panel.json.value = text if isinstance(text, str) else json.dumps(text)
    assert html.escape(why) in panel.note.value and panel.state == before


def test_a_state_with_a_mark_before_it_is_read():
    assert toy().read("\ufeff" + toy().to_json(power=3))["power"] == 3


LONG = "x" * 500
ITEMS = ("1", 1, "", " a ", "a\nb", "ä 模型 ١", LONG, f"{LONG}y", True, 1.5, "1.5", "three")


def test_the_card_is_that_of_the_item_that_was_chosen():
    assert list(by_name(ITEMS).values()) == list(ITEMS)
    assert all(name and "\n" not in name and len(name) <= 90 for name in by_name(ITEMS))
    asked = []

    def card(state, item):
        asked.append(item)
        return pd.DataFrame({"item": [item]})

    panel = Panel(toy(items=ITEMS, card=card))
    panel.below.selected_index = 2
    for name in panel.item.options:
        panel.item.value = name
    assert asked == list(ITEMS) and [type(a) for a in asked] == [type(i) for i in ITEMS]
    panel.item.value = "not on the list"
    assert asked[-1] == "not on the list"
