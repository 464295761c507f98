"""What every check of an exercise promises, whatever a reader hands it."""

import importlib
import pkgutil
import re
import signal
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import ensemble_lab.exercises
from ensemble_lab.exercises import Check, Part, calling
from ensemble_lab.exercises.calling import Unfit
from ensemble_lab.exercises.check import copied
from ensemble_lab.exercises.given import array, number, parts, whole
from tests.support.folded import NOTEBOOKS, solutions

MODULES = [
    importlib.import_module(f"{ensemble_lab.exercises.__name__}.{module.name}")
    for module in pkgutil.iter_modules(ensemble_lab.exercises.__path__)
]
CHECKS = {
    name: thing
    for module in MODULES
    for name, thing in vars(module).items()
    if isinstance(thing, Check)
}
SEVERAL = [name for name, check in CHECKS.items() if len(check.parts) > 1]
KINDS = {
    name: np.asarray(check.right(*next(iter(check.cases())))[0]) for name, check in CHECKS.items()
}
NUMBERS = [name for name, right in KINDS.items() if right.dtype.kind != "b"]
ARRAYS = [name for name, right in KINDS.items() if right.ndim and name not in SEVERAL]
PLANTED = {
    f"{name}-{part.key}{i}": (check, part, *mistake)
    for name, check in CHECKS.items()
    for part in check.parts
    for i, mistake in enumerate(part.mistakes)
    if isinstance(mistake, tuple)
}


def answering(check, wrong=None, makes=None):
    """A function that answers right, but for the part `wrong`, which `makes` makes."""

    def function(*case):
        answer = list(check.right(*case))
        if wrong:
            at = check.parts.index(wrong)
            answer[at] = makes(*copied(case), *answer[:at])
        return tuple(answer) if len(answer) > 1 else answer[0]

    return function


def dressed(check, change):
    right = answering(check)
    return lambda *case: change(right(*case))


def refused(verdict):
    """The hint, which is short and speaks of nothing but what the reader wrote."""
    assert not verdict and repr(verdict).startswith(f"Not yet: {verdict.message}")
    for hint in (verdict.message, *verdict.more):
        assert 10 < len(hint) <= 300 and hint.isprintable()
        assert not re.search(r"np\.|numpy|array\(|dtype|tensor\(| object at 0x|shape of", hint)
    return verdict.message


def test_each_notebook_has_its_checks():
    called = {check for path in NOTEBOOKS for check in solutions(path)}
    assert called == CHECKS.keys()
    assert all(check.__doc__.startswith("Check a function that") for check in CHECKS.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_folded_solutions_pass(path):
    for name, solution in solutions(path).items():
        verdict = CHECKS[name](solution)
        assert verdict, verdict
        assert "overwrites" not in verdict.message


@pytest.mark.parametrize("name", CHECKS)
def test_the_right_answer_is_right_each_time(name):
    check = CHECKS[name]
    for _ in range(2):
        assert repr(check(answering(check))) == f"Right: {check.success}"


@pytest.mark.parametrize("planted", PLANTED)
def test_each_planted_mistake_gets_its_own_hint(planted):
    check, part, makes, hint = PLANTED[planted]
    told = f"{part.key}: {hint}" if part.key else hint
    assert refused(check(answering(check, part, makes))) == told


def test_a_mistake_is_named_only_where_it_explains_all_cases():
    """A mistake that agrees with an earlier one in one case is not taken for it."""
    mistakes = [(lambda x: 2 * x, "twice"), (lambda x: x + 2, "two more")]
    part = Part("the number", lambda x: x + 0.0, mistakes)
    check = Check("Check a function.", lambda: [(2.0,), (3.0,)], [part], "right")
    assert check(lambda x: 2 * x).message == "twice"
    assert check(lambda x: x + 2).message == "two more"
    case = "in one case the number"
    other = check(lambda x: x + 2 * (x == 2))
    assert (other.message, *other.more) == (f"work out by hand: {case}", f"{case} is 2, not 4")
    assert check(lambda x: x * (1 + 1e-4)).more == (f"{case} is 2, not 2.0002",)


def test_the_case_of_a_hint_is_one_that_is_wrong():
    """Where several answers are right, a case answered in another right way is passed over."""
    part = Part("the root", lambda x: x**0.5, alike=lambda got, wanted, x: got**2 == x)
    check = Check("Check a function.", lambda: [(4.0,), (9.0,)], [part], "right")
    assert check(lambda x: -(x**0.5))
    verdict = check(lambda x: -2 if x == 4 else 4.0)
    assert verdict.more == ("in one case the root is 3, not 4",)


def test_hints_come_one_at_a_time():
    mistakes = [(lambda x: 2 * x, "how often is <b>x</b> counted?")]

    def about(at, x):
        return f"for x = {x:g}, the number"

    part = Part("the number", lambda x: x + 0.0, mistakes, about)
    verdict = Check("Check a function.", lambda: [(2.0,)], [part], "right")(lambda x: 2 * x)
    by_hand, numbers = f"work out by hand: {about(0, 2)}", "for x = 2, the number is 2, not 4"
    assert verdict.more == (by_hand, numbers)
    assert repr(verdict) == "Not yet: how often is <b>x</b> counted? (2 more hints: `.more`)"
    page = verdict._repr_html_()
    first, second, third = page.split("<details>")
    assert "&lt;b&gt;x&lt;/b&gt;" in first and by_hand in second and numbers in third


# -- functions ----------------------------------------------------------------------------------


def ends(*case):
    raise SystemExit(3)


def breaks(*case):
    raise ValueError("x" * 10_000 + "\n")


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def mute(*case):
    raise Mute


async def later(*case):
    return 1


def stops(*case):
    yield 1.0
    raise KeyError("half-way")


def prints(*case):
    print("the answer", flush=True)


def sinks(*case):
    return sinks(*case)


FUNCTIONS = {
    "None": (None, "give your function itself"),
    "a number": (0.5, "give your function itself"),
    "an array": (np.ones(3), "give your function itself"),
    "returns nothing": (lambda *case: None, "returned nothing; return"),
    "prints": (prints, "printed something, but returned nothing; return"),
    "…": (lambda *case: ..., "return"),
    "returns a function": (lambda *case: print, "not a function"),
    "takes nothing": (lambda: 1, "raised TypeError: "),
    "takes too few": (lambda one, *, more: 1, "raised TypeError: "),
    "divides by zero": (lambda *case: 1 / 0, "raised ZeroDivisionError on line "),
    "ends": (ends, f"raised SystemExit on line {ends.__code__.co_firstlineno + 1}: 3"),
    "breaks": (breaks, f"raised ValueError on line {breaks.__code__.co_firstlineno + 1}: xxx"),
    "mute": (mute, "raised Mute on line "),
    "sinks": (sinks, "raised RecursionError on line "),
    "later": (later, "write `def`, not `async def`"),
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_odd_functions_get_a_hint(name, function, capsys):
    given, hint = FUNCTIONS[function]
    assert hint in refused(CHECKS[name](given))
    assert capsys.readouterr().out == ("the answer\n" if given is prints else "")


@pytest.mark.parametrize("name", CHECKS)
def test_a_loop_without_an_end_is_ended(name, monkeypatch):
    monkeypatch.setattr(calling, "SECONDS", 0.05)

    def endless(*case):
        while True:
            try:
                time.sleep(0.001)
            except Exception:
                continue

    before = signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)
    assert "still ran after 0.05 s" in refused(CHECKS[name](endless))
    after = signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)
    assert after[1] is before[1] and before[0] - 60 < after[0] <= before[0]


def test_a_slow_function_is_ended_in_its_generator_too(monkeypatch):
    monkeypatch.setattr(calling, "SECONDS", 0.05)

    def endless(*case):
        while True:
            time.sleep(0.001)
        yield

    assert "still ran" in refused(CHECKS["check_plurality"](endless))


def test_a_check_works_in_a_thread_where_no_alarm_can_be_set():
    check = CHECKS["check_best_gamma"]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(check, answering(check)).result()


@pytest.mark.parametrize("name", [*ARRAYS, *SEVERAL])
def test_a_generator_that_breaks_off_or_never_ends(name):
    def forever(*case):
        while True:
            yield 1.0

    assert "raised KeyError" in refused(CHECKS[name](stops))
    assert "return" in refused(CHECKS[name](forever))


def arrays(case):
    """The arrays in the arguments of a call."""
    several = [one for part in case for one in (part if isinstance(part, tuple) else [part])]
    return [one for one in several if isinstance(one, np.ndarray)]


WITH_ARRAYS = [name for name, check in CHECKS.items() if arrays(next(iter(check.cases())))]


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_a_function_that_overwrites_its_arguments_is_told_so(name):
    check = CHECKS[name]
    right = answering(check)

    def spoils(*case):
        got = right(*case)
        for one in arrays(case):
            one[...] = 1 - one
        return got

    verdict = check(spoils)
    assert verdict, verdict
    assert re.search(r"; besides, your function overwrites (`\w+`( and )?)+: let", verdict.message)

    def spoils_first(*case):
        for one in arrays(case):
            one[...] = {"f": 0.25, "b": True}.get(one.dtype.kind, one)
        return right(*case)

    assert "your function overwrites `" in check(spoils_first).message


# -- answers ------------------------------------------------------------------------------------

ODD = [
    "0.5", "", b"ab", 1j, {}, {"a": 1}, [], (), [None], set(), {1.0, 2.0}, object(), "ab",
    float("nan"), pd.NA, pd.NaT, Decimal("NaN"), 10**400, pd.DataFrame(), pd.DataFrame({"a": [1]}),
    [[1], [2, 3]], np.ones((2, 2, 2)), np.array("x"), np.array(None), ("ab", "cd"), (True, True),
    [True, False, True], range(10**6), np.ma.masked, ["0.5", "0.5"], ("a", [1.0]), (None, None),
    (float("nan"), float("nan")), (1, "ab"), [[]], np.zeros((0, 3)), 2**63, pd.Series([1], ["a"]),
]  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("got", ODD, ids=lambda got: type(got).__name__)
def test_odd_answers_are_never_right_and_always_get_a_hint(name, got):
    refused(CHECKS[name](lambda *case: got))


def leaf(change):
    """`change` for every number in nested lists, tuples and arrays."""

    def deep(value):
        if isinstance(value, np.ndarray):
            value = value.tolist()
        return [*map(deep, value)] if isinstance(value, list | tuple) else change(value)

    return deep


UNDERSTOOD = {
    "lists": leaf(lambda value: value),
    "numpy scalars": leaf(lambda value: np.array([value])[0]),
    "arrays without dimensions": leaf(np.array),
    "fractions": leaf(lambda value: value if isinstance(value, int) else Fraction(value)),
    "decimals": leaf(lambda value: value if isinstance(value, int) else Decimal(value)),
}
REFUSED = {
    "text": (leaf(str), "text|labels|whole number"),
    "complex": (leaf(complex), "one number|whole number"),
    "true": (leaf(lambda value: True), "is True|not True"),
    "nan": (leaf(lambda value: float("nan")), "NaN|nan"),
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("dress", UNDERSTOOD)
def test_other_dresses_of_numbers_are_understood(name, dress):
    verdict = CHECKS[name](dressed(CHECKS[name], UNDERSTOOD[dress]))
    assert verdict, verdict


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("dress", REFUSED)
def test_what_only_looks_like_numbers_is_refused(name, dress):
    change, hint = REFUSED[dress]
    assert re.search(hint, refused(CHECKS[name](dressed(CHECKS[name], change))))


@pytest.mark.parametrize("name", SEVERAL)
def test_parts_by_name_by_position_or_by_a_generator(name):
    check = CHECKS[name]
    right = answering(check)
    turned = [part.key for part in check.parts][::-1]
    by_name = namedtuple("By", turned)

    def mapping(*case):
        return dict(zip(turned, right(*case)[::-1], strict=True))

    assert check(mapping)
    assert check(lambda *case: by_name(**mapping(*case)))
    assert check(lambda *case: (part for part in right(*case)))
    assert check(lambda *case: pd.Series(mapping(*case), dtype=object))
    renamed = refused(check(lambda *case: {"a": right(*case)[0], "b": 1}))
    assert f"'{turned[-1]}' is missing; return" in renamed
    assert "return" in refused(check(lambda *case: (*right(*case), 1.0)))
    assert "return" in refused(check(lambda *case: right(*case)[:-1]))


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_as_generators_columns_and_frames(name):
    check, form = CHECKS[name], pd.Series if KINDS[name].ndim == 1 else pd.DataFrame
    assert check(dressed(check, form))
    assert check(dressed(check, iter))
    assert check(dressed(check, lambda got: (iter(row) if np.ndim(row) else row for row in got)))
    assert "return" in refused(check(dressed(check, lambda got: [got])))
    shorter = refused(check(dressed(check, lambda got: got[:-1])))
    assert f"not {KINDS[name].shape[0] - 1} of them" in shorter


# -- the reading itself -------------------------------------------------------------------------


def test_tensors_are_numbers_too():
    torch = pytest.importorskip("torch")
    assert number(torch.tensor(0.5, requires_grad=True).detach(), "it") == 0.5
    assert array(torch.ones(2, 3), (2, 3), "it", "them").shape == (2, 3)
    assert whole(torch.tensor(3), "it") == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", None, [2], np.array([2])], ids=repr)
def test_whole_numbers_are_nothing_else(value):
    with pytest.raises(Unfit, match="whole number"):
        whole(value, "the count")


def test_a_text_of_two_letters_is_no_pair():
    with pytest.raises(Unfit, match="return two"):
        parts("ab", ("a", "b"), "two")


def test_what_a_number_belongs_to_is_named():
    with pytest.raises(Unfit, match="a weight for 'b' is text"):
        array([1.0, "x"], (2,), "a weight", "two", names=("a", "b"))
