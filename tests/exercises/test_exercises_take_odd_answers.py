"""Every check takes what readers really give: understood, or refused with a hint that fits."""

import re
from collections import namedtuple
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ensemble_lab.exercises import bagging, boosting, cascades, speculative, stacking, start_here
from ensemble_lab.exercises import voting as votes
from ensemble_lab.exercises.given import Unfit, array, number, parts, whole
from tests.support.folded import solution

# Each check with a right answer to it, and the names of its parts.


def _samme(weights, wrong, classes):
    say = boosting._say(weights, wrong, classes)
    return say, boosting._new_weights(weights, wrong, say)


def _step(learner, X, y, scores, loss, rate):
    residual = boosting._residual(y, scores, loss)
    return residual, scores + rate * clone(learner).fit(X, residual).predict(X)


def _bag(model, X, y, m, rng):
    rows = rng.integers(0, len(X), (m, len(X)))
    return rows, bagging._error(model, X, y, rows)


def _ambiguity(*case):
    return tuple(part(*case) for part in stacking.PARTS.values())


def _parts_of_variance(said, m):
    return tuple(right(said, m) for _, right, _ in bagging.PARTS)


def _plurality(outcomes):
    return votes.MajorityVote().decide(outcomes).answer


def _weights(fit, test, classes):
    return votes._log_odds(votes._seen(fit), classes)


def _pays(fit, test):
    return solution(
        "00_start_here", "solution-2", "pays", np=np, __builtins__=__builtins__, **names_of_00()
    )(fit, test)


def names_of_00():
    import ensemble_lab as lab

    return {"Cascade": lab.Cascade, "lab": lab, "load_outcomes": lab.load_outcomes}


SEVERAL = {
    "samme": (boosting.check_samme_round, _samme, ("say", "weights")),
    "step": (boosting.check_boosting_step, _step, ("residuals", "scores")),
    "bag": (bagging.check_bagging, _bag, ("rows", "error")),
    "variance": (
        bagging.check_variance_of_mean, _parts_of_variance, ("sigma2", "rho", "variance")),
    "ambiguity": (stacking.check_ambiguity, _ambiguity, ("ensemble", "members", "ambiguity")),
    "totals": (cascades.check_totals, cascades._totals, ("cost", "latency")),
    "accept": (speculative.check_accept, speculative._round, ("count", "law")),
}  # fmt: skip
ONE = {
    "bill": (start_here.check_total_cost, start_here._bill),
    "budget": (
        cascades.check_threshold_under_budget, lambda fit, test, b: cascades._best(*fit, b)),
    "gamma": (speculative.check_best_gamma, speculative._best),
}  # fmt: skip
ARRAY = {
    "plurality": (votes.check_plurality, _plurality),
    "weights": (votes.check_log_odds_weights, _weights),
    "features": (stacking.check_out_of_fold, stacking._features),
}
ALL = {name: entry[:2] for name, entry in (SEVERAL | ONE | ARRAY).items()}
ALL["pays"] = (start_here.check_which_task_pays, None)


def refused(verdict):
    """The hint, which is short and speaks of nothing but what the reader wrote."""
    assert not verdict
    hint = verdict.message
    assert 10 < len(hint) <= 300 and "\n" not in hint
    assert not re.search(r"np\.|numpy|array\(|dtype|tensor\(| object at 0x|shape of", hint), hint
    return hint


@pytest.mark.parametrize("name", [name for name in ALL if name != "pays"])
def test_a_right_answer_is_right(name):
    check, right = ALL[name]
    assert check(right)


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


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (None, "give your function itself"),
        (0.5, "give your function itself"),
        (np.ones(3), "give your function itself"),
        (lambda *case: None, "returned nothing; return"),
        (lambda *case: ..., "return"),
        (lambda *case: print, "not a function"),
        (lambda: 1, "raised TypeError"),
        (ends, "raised SystemExit: 3"),
        (breaks, "raised ValueError: xxx"),
        (mute, "raised Mute"),
        (later, "write `def`, not `async def`"),
    ],
)
def test_odd_functions_get_a_hint(name, given, hint):
    assert hint in refused(ALL[name][0](given))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "got",
    [
        "0.5", "", b"ab", 1j, {}, {"a": 1}, [], (), [None], set(), {1.0, 2.0}, object(),
        float("nan"), pd.NA, pd.NaT, Decimal("NaN"), 10**400, pd.DataFrame(),
        pd.DataFrame({"a": [1]}),
        [[1], [2, 3]], np.ones((2, 2, 2)), np.array("x"), np.array(None), "ab", ("ab", "cd"),
        (True, True), [True, False, True], range(10**6), np.ma.masked, ["0.5", "0.5"], ("a", [1.0]),
        (float("nan"), float("nan")), (1, "ab"), (None, None), [[]], np.zeros((0, 3)),
    ],
    ids=lambda got: type(got).__name__,
)  # fmt: skip
def test_odd_answers_are_never_right_and_always_get_a_hint(name, got):
    refused(ALL[name][0](lambda *case: got))


@pytest.mark.parametrize("name", ["samme", "features", "plurality", "weights", "variance"])
def test_a_generator_that_breaks_off(name):
    assert "raised KeyError" in refused(ALL[name][0](stops))


# -- the same answer in other dress -------------------------------------------------------------


def dressed(right, change):
    return lambda *case: change(right(*case))


def leaf(change):
    """`change` for every number in nested lists, tuples and arrays."""

    def deep(value):
        if isinstance(value, np.ndarray):
            value = value.tolist()
        return [*map(deep, value)] if isinstance(value, list | tuple) else change(value)

    return deep


def fraction(value):
    return value if isinstance(value, int) else Fraction(value)


UNDERSTOOD = {
    "lists": leaf(lambda value: value),
    "numpy scalars": leaf(lambda value: np.array([value])[0]),
    "arrays without dimensions": leaf(np.array),
    "fractions": leaf(fraction),
    "decimals": leaf(lambda value: value if isinstance(value, int) else Decimal(value)),
}


@pytest.mark.parametrize("name", [name for name in ALL if name != "pays"])
@pytest.mark.parametrize("dress", UNDERSTOOD)
def test_other_dresses_of_numbers_are_understood(name, dress):
    check, right = ALL[name]
    verdict = check(dressed(right, UNDERSTOOD[dress]))
    assert verdict, verdict


REFUSED = {
    "text": (leaf(str), "text|labels|whole number"),
    "complex": (leaf(complex), "one number|whole number"),
    "true": (leaf(lambda value: True), "is True|not True"),
    "nan": (leaf(lambda value: float("nan")), "NaN|nan"),
}


@pytest.mark.parametrize("name", [name for name in ALL if name != "pays"])
@pytest.mark.parametrize("dress", REFUSED)
def test_what_only_looks_like_numbers_is_refused(name, dress):
    check, right = ALL[name]
    change, hint = REFUSED[dress]
    assert re.search(hint, refused(check(dressed(right, change))))


@pytest.mark.parametrize("name", SEVERAL)
def test_parts_by_name_by_position_or_by_a_generator(name):
    check, right, names = SEVERAL[name]
    turned = names[::-1]
    by_name = namedtuple("By", turned)

    def mapping(*case):
        return dict(zip(turned, right(*case)[::-1], strict=True))

    assert check(mapping)
    assert check(lambda *case: by_name(**mapping(*case)))
    assert check(lambda *case: (part for part in right(*case)))
    assert check(lambda *case: pd.Series(mapping(*case), dtype=object))
    assert "return" in refused(check(lambda *case: {"a": right(*case)[0], "b": 1}))
    assert "return" in refused(check(lambda *case: (*right(*case), 1.0)))


@pytest.mark.parametrize("name", ARRAY)
def test_arrays_as_generators_columns_and_frames(name):
    check, right = ARRAY[name]
    if name == "features":
        assert check(dressed(right, pd.DataFrame))
        assert check(dressed(right, lambda got: (iter(row) for row in got)))
        return
    assert check(dressed(right, pd.Series))
    assert check(dressed(right, iter))
    assert "return" in refused(check(dressed(right, lambda got: [got])))
    assert "return" in refused(check(dressed(right, lambda got: got[:-1])))


def test_codes_and_weights_go_by_name_where_they_have_one():
    def by_item(outcomes):
        return pd.Series(_plurality(outcomes), index=outcomes.items).sample(frac=1, random_state=0)

    assert votes.check_plurality(by_item)
    assert votes.check_plurality(lambda outcomes: by_item(outcomes).to_dict())

    def by_member(fit, test, classes):
        return pd.Series(_weights(fit, test, classes), index=fit.models).sort_values()

    assert votes.check_log_odds_weights(by_member)
    assert votes.check_log_odds_weights(lambda *case: by_member(*case).to_dict())
    renamed = refused(
        votes.check_log_odds_weights(lambda *case: by_member(*case).rename({"c": "see"}))
    )
    assert "'c' is missing" in renamed
    lacking = lambda *case: by_member(*case).drop("a").to_dict()  # noqa: E731
    assert "'a' is missing" in refused(votes.check_log_odds_weights(lacking))


def test_labels_in_the_place_of_codes_are_named():
    def labels(outcomes):
        return [outcomes.labels[code] for code in _plurality(outcomes)]

    assert "not the labels" in refused(votes.check_plurality(labels))


def test_gaps_in_codes_are_not_taken_for_a_peek_at_the_truth():
    def gaps(outcomes):
        return np.where(_plurality(outcomes) < 0, np.nan, _plurality(outcomes))

    assert "return -1" in refused(votes.check_plurality(gaps))


def test_weights_of_gaps_are_told_apart_from_weights_of_members_never_wrong():
    def with_gaps(fit, test, classes):
        return votes._log_odds(fit.correct.mean(axis=0), classes)

    assert "leave those items out" in refused(votes.check_log_odds_weights(with_gaps))


@pytest.mark.parametrize(
    "name", ["bill", "totals", "budget", "samme", "variance", "ambiguity", "accept", "features"]
)
def test_a_function_that_spoils_its_inputs_is_judged_by_the_true_ones(name):
    check, right = ALL[name]

    def spoiling(*case):
        got = deepcopy(right(*case))
        for part in case:
            for one in part if isinstance(part, tuple) else (part,):
                if isinstance(one, np.ndarray):
                    one[...] = 1
        return got

    verdict = check(spoiling)
    assert verdict, verdict

    def spoiling_first(*case):
        for part in case:
            if isinstance(part, np.ndarray) and part.dtype.kind == "f":
                part[...] = 0.25
        return right(*case)

    if name != "budget":
        refused(check(spoiling_first))


@pytest.mark.parametrize("answer", [True, np.True_, np.array(True)])
def test_always_yes_is_refused_by_what_it_gets_wrong(answer):
    assert "does not pay" in refused(start_here.check_which_task_pays(lambda fit, test: answer))


@pytest.mark.parametrize("answer", [1, 0, "True", np.array([True]), [True], 1.0])
def test_what_is_no_yes_or_no(answer):
    hint = refused(start_here.check_which_task_pays(lambda fit, test: answer))
    assert "return True or False" in hint


# -- the reading itself -------------------------------------------------------------------------


def test_tensors_are_numbers_too():
    torch = pytest.importorskip("torch")
    assert number(torch.tensor(0.5, requires_grad=True).detach(), "it") == 0.5
    assert array(torch.ones(2, 3), (2, 3), "it", "them").shape == (2, 3)
    assert whole(torch.tensor(3), "it") == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", None, [2], np.array([2])])
def test_whole_numbers_are_nothing_else(value):
    with pytest.raises(Unfit, match="whole number"):
        whole(value, "the count")


def test_a_text_of_two_letters_is_no_pair():
    with pytest.raises(Unfit, match="return two"):
        parts("ab", ("a", "b"), "two")
