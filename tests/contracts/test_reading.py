"""Every form of a legal table is read as what it says; only an illegal one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts import plain
from tests.contracts.compare import check_summary, check_table, close
from tests.contracts.forms import FORMS
from tests.contracts.hostile import ambiguous_numbers, examples, illegal_notations, tables
from tests.contracts.registry import check_refusal, contract, quiet


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def read(table, form, draw, folder):
    """(outcomes, what the form tells), or None where the form cannot hold the table.

    A table whose verdict is illegal must be refused; that is checked here.
    """
    told = form.told(table)
    bring = form.bring(table, draw, folder)
    if bring is None:
        return None
    illegal = form.name != "Outcomes(…)" and not form.name.startswith("our")
    illegal = illegal and (
        illegal_notations(told, form.text)
        or (form.text and ambiguous_numbers(told))
        or len({str(name) for name in told.items}) < len(told.items)
    )
    with quiet():
        try:
            found = bring()
        except Exception as error:
            check_refusal(error)
            assert illegal, f"{form} refused a legal table: {error!r}"
            return None
    assert not illegal, f"{form} accepted answers and truths in two notations"
    return found, told


@contract("Outcomes", "ABSENT", "UNPARSED", "core")
@pytest.mark.parametrize("form", FORMS, ids=str)
@examples(15)
@given(table=tables(), data=st.data())
def test_every_form_says_what_it_says(form, table, data, tmp_path_factory):
    done = read(table, form, data.draw, tmp_path_factory.mktemp("t"))
    if done is None:
        return
    found, told = done
    check_table(found, told, form.text)
    check_summary(found, told)
    assert (lab.ABSENT, lab.UNPARSED) == (-1, -2)
    best = plain.best_single(told)
    if best is None:
        with pytest.raises(ValueError):
            found.best_single()
    else:
        assert close(found.best_single().accuracy, best[1])
    if plain.oracle(told) is not None:
        assert close(found.oracle(), plain.oracle(told))
