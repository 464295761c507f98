"""Old faults, planted again, one or more of each kind: the contracts find every one of them."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ensemble_lab.answers import calibration, voting
from ensemble_lab.core import checks, decision, unknown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading import columns, headers, tables
from ensemble_lab.core.recordings import recording
from ensemble_lab.models.asking import given as taken
from tests.contracts import test_illegal, test_learning, test_live, test_policies, test_reading
from tests.contracts.forms import FORMS


def searched(test, **fixed):
    """The contract as it is, on fresh examples that nothing remembers."""
    inner = test.hypothesis.inner_test

    @functools.partial(settings, max_examples=400, deadline=None, database=None)(
        phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(**test.hypothesis._given_kwargs)
    def search(**drawn):
        inner(**drawn, **fixed)

    return search


def form(name: str):
    return next(form for form in FORMS if form.name == name)


def means_skip_what_is_unknown(patch, folders):
    patch.setattr(decision, "mean_of_all", unknown.mean_of_known)
    return searched(test_policies.test_cascades_are_those_of_a_loop, tmp_path_factory=folders)


def a_frame_is_its_column_names(patch, folders):
    patch.setattr(taken, "several", lambda values, what: list(values))
    path = folders.mktemp("t")
    test = test_live.test_questions_that_iterate_as_something_else_are_refused_before_any_call
    return lambda: test("data frame", path)


def a_string_is_its_letters(patch, folders):
    patch.setattr(checks, "several", lambda values, what: list(values))
    return lambda: test_illegal.test_what_iterates_as_something_else_is_refused("string")


def places_stand_for_names(patch, folders):
    patch.setattr(Outcomes, "columns", lambda self, models: np.arange(len(list(models))))
    return searched(test_policies.test_cascades_are_those_of_a_loop, tmp_path_factory=folders)


def codes_stand_for_labels(patch, folders):
    def by_code(choice, said):  # the first label, whatever was said
        answer = true(choice, said)
        return None if answer is None else np.where(answer > 0, 0, answer)

    true = decision._answers
    patch.setattr(decision, "_answers", by_code)
    return searched(test_policies.test_votes_are_those_of_a_loop, tmp_path_factory=folders)


def labels_are_typed_by_the_column(patch, folders):
    def by_column(found, as_text):
        each, labels = true(found, as_text)
        if any(isinstance(label, str) for label in labels):  # one text makes all of them text
            each = [list(column.values) for column in found]
            labels = tuple(dict.fromkeys(label for column in each for label in column))
        return each, labels

    true = columns.labels_of
    patch.setattr(tables, "labels_of", by_column)
    return _read("long csv", folders)


def numbers_go_through_floats(patch, folders):
    def rounded(text):
        number = true(text)
        return int(float(number)) if isinstance(number, int) and abs(number) < 2**1000 else number

    true = columns.number_in
    patch.setattr(columns, "number_in", rounded)
    return _read("long csv", folders)


def names_are_numbers(patch, folders):
    def read(self):
        try:
            return np.array([float(value) for value in self.values])[self.codes]
        except ValueError:
            return self.cells()

    patch.setattr(columns.Text, "names", read)
    return _read("long csv", folders)


def some_names_are_gaps(patch, folders):
    def parsed(self, cells):
        import pyarrow as pa

        gaps = ("NA", "nan", "None", "null")
        true(
            self,
            pa.array([None if cell in gaps else cell for cell in cells.to_pylist()], pa.string()),
        )

    true = columns.Text.__init__
    patch.setattr(columns.Text, "__init__", parsed)
    return _read("long csv", folders)


def one_policy_checks_no_scale(patch, folders):
    patch.setattr(voting, "check_scales", lambda outcomes, columns=None: None)
    test = test_illegal.test_confidences_of_another_scale_are_refused_by_all_who_compare_them
    return searched(test)


def prices_become_models(patch, folders):
    patch.setattr(tables, "_check_bare", lambda columns, truth: None)
    path = folders.mktemp("t")
    test = test_illegal.test_a_broken_file_is_refused_with_the_thing
    return lambda: test("prices without a name", "csv", path)


def a_column_twice_is_another_model(patch, folders):
    def renamed(names, given_columns=None):
        return true([*dict.fromkeys(names)], given_columns)

    true = headers.roles
    patch.setattr(tables, "roles", renamed)
    return searched(test_illegal.test_a_column_twice_is_named, tmp_path_factory=folders)


def a_curve_knows_the_unit(patch, folders):
    class Curve:
        def __init__(self, method):
            pass

        def fit(self, confidence, right):
            self.chance = float(np.mean(right))
            return self

        def predict(self, confidence):
            return np.clip(confidence * self.chance, 0, 1)

    patch.setattr(calibration, "_Curve" if hasattr(calibration, "_Curve") else "_curve", Curve)
    return searched(test_learning.test_calibration_does_not_depend_on_the_unit)


def the_last_line_is_dropped(patch, folders):
    def parse(cls, data):
        return true(data if data.endswith(b"\n") else data[: data.rfind(b"\n") + 1])

    true = recording.Recording.parse
    patch.setattr(recording.Recording, "parse", classmethod(parse))
    return searched(test_live.test_a_recording_is_the_table, tmp_path_factory=folders)


def a_message_prints_the_whole_file(patch, folders):
    for module in (columns, headers, tables):
        patch.setattr(module, "shown", lambda value, most=80: repr(value))
    path = folders.mktemp("t")
    test = test_illegal.test_a_broken_file_is_refused_with_the_thing
    return lambda: test("one huge cell", "csv", path)


def a_message_speaks_numpy(patch, folders):
    for module in (columns, headers, tables):
        patch.setattr(module, "shown", lambda value, most=80: f"np.str_({value!r})"[:80])
    return searched(test_illegal.test_a_row_twice_is_named, tmp_path_factory=folders)


def _read(name: str, folders):
    test = test_reading.test_every_form_says_what_it_says
    return searched(test, form=form(name), tmp_path_factory=folders)


KINDS = {
    1: [means_skip_what_is_unknown],
    2: [a_frame_is_its_column_names, a_string_is_its_letters],
    3: [places_stand_for_names, codes_stand_for_labels],
    4: [
        labels_are_typed_by_the_column,
        numbers_go_through_floats,
        names_are_numbers,
        some_names_are_gaps,
    ],
    5: [one_policy_checks_no_scale],
    6: [prices_become_models, a_column_twice_is_another_model],
    7: [a_curve_knows_the_unit],
    8: [the_last_line_is_dropped],
    9: [a_message_prints_the_whole_file, a_message_speaks_numpy],
}


@pytest.mark.parametrize("plant", [plant for plants in KINDS.values() for plant in plants])
def test_a_planted_fault_is_found(plant, monkeypatch, tmp_path_factory):
    contract = plant(monkeypatch, tmp_path_factory)
    try:
        contract()
    except (Exception, BaseExceptionGroup) as found:
        assert not isinstance(found, (AttributeError, ImportError)), (
            f"the plant is broken: {found!r}"
        )
    else:
        raise AssertionError(f"{plant.__name__.replace('_', ' ')}: no contract noticed")


def test_all_nine_kinds_are_planted():
    assert list(KINDS) == list(range(1, 10)) and Path(__file__).exists()
