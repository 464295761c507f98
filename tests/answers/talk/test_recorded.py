"""The recorded committees: replayed whole without a model, with the prompts of today's code."""

import hashlib

import pytest

import ensemble_lab as lab
from ensemble_lab.answers.committees.talk.prompts import digest
from ensemble_lab.catalogue import data_folder
from ensemble_lab.core.identity import identity
from recipes.record_committee import ALONE, COMMITTEES, INJECTION, NAME, questions

FIRST = {"alone": lab.Debate((*ALONE, "injected"), rounds=0)}


class Watched(lab.Transcript):
    """A transcript that remembers the prompts that it was asked for."""

    prompts = ()

    def hear(self, item, calls, models):
        self.prompts = [*self.prompts, *(identity(call.prompt) for call in calls)]
        return super().hear(item, calls, models)


@pytest.fixture(scope="module")
def table():
    return lab.load_texts(NAME)


@pytest.fixture(scope="module")
def replayed(table):
    """Committee to its transcript, its answers by item, and its prompts."""
    found = {}
    for name, committee in (FIRST | COMMITTEES).items():
        said = Watched.from_frame(table[table.committee.isin(["alone", name])])
        answers = {item: committee.ask(item, said).answer for item in table.item.unique()}
        found[name] = said, answers
    return found


def test_the_entry_agrees_with_the_table(table):
    content = (data_folder() / "texts" / f"{NAME}.parquet").read_bytes()
    assert table.attrs["bytes"] == len(content) < 150_000
    assert table.attrs["sha256"] == hashlib.sha256(content).hexdigest()
    assert table.attrs["rows"] == len(table) and list(table.attrs["columns"]) == list(table)
    truth = {item: str(right) for item, right in questions(50).items()}
    assert dict(zip(table.item, table.truth, strict=True)) == truth
    assert set(table.committee) == {*FIRST, *COMMITTEES}


def test_every_committee_is_replayed_with_the_prompts_that_were_recorded(table, replayed):
    prompts = [one for said, _ in replayed.values() for one in said.prompts]
    assert digest(*sorted(prompts))[:16] == table.attrs["prompts"]


def test_a_replay_asks_nobody_and_leaves_nothing_over(table, replayed):
    for name, (said, _) in replayed.items():
        rows = table[table.committee.isin(["alone", name])]
        assert len(said) == len(rows), name


def test_answers_are_those_in_the_texts(table, replayed):
    for name in ("self-moa", "injected", "unmarked", "moa"):
        last = table[(table.committee == name) & (table.member == "aggregator")]
        last = last[last.answer.notna()]
        told = dict(zip(last.item, last.answer, strict=True))
        assert {i: a for i, a in replayed[name][1].items() if a} == told
    alone = table[(table.committee == "alone") & (table.member == "injected")]
    assert set(alone.text) == {INJECTION}


def test_the_single_answer_is_right_on_some_and_wrong_on_others(table):
    greedy = table[(table.committee == "alone") & (table.member == "greedy")]
    assert 0.2 <= (greedy.answer == greedy.truth).mean() <= 0.6
