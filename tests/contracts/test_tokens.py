"""Prompts in every object that holds them, and objects that are no prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import contract, refused

torch = pytest.importorskip("torch")
TEXT = "Write a short story about a lighthouse.\n"
OTHER = "Count to five.\n"


@pytest.fixture(scope="module")
def target():
    return lab.load("tiny", dtype="float64")


def text_of(made):
    return [one.text for one in made] if isinstance(made, list) else made.text


def said(target, prompts):
    return text_of(lab.decode(target, prompts, max_new_tokens=3))


SEVERAL = {
    "list": list,
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "numpy": lambda texts: np.array(texts, object),
    "numpy text": np.array,
    "Series": lambda texts: pd.Series(texts, index=[7, 7]),
    "Index": pd.Index,
    "polars": pl.Series,
    "dict values": lambda texts: dict(enumerate(texts)).values(),
}
IDS = {
    "list": list,
    "tuple": tuple,
    "numpy": np.array,
    "int32": lambda ids: np.array(ids, np.int32),
    "torch": lambda ids: torch.tensor(ids),
    "generator": lambda ids: (i for i in ids),
    "Series": pd.Series,
    "numpy integers": lambda ids: [np.int64(i) for i in ids],
}


@contract("decode", "stream", "load", "tokens")
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_prompts_are_several_answers(target, kind):
    assert said(target, SEVERAL[kind]([TEXT, OTHER])) == said(target, [TEXT, OTHER])


@contract("decode", "stream")
@pytest.mark.parametrize("kind", IDS)
def test_ids_are_one_prompt(target, kind):
    ids = target.tokenizer(TEXT)["input_ids"]
    assert said(target, IDS[kind](ids)) == said(target, list(ids))


@contract("decode")
@pytest.mark.parametrize("tensors", [None, "np", "pt"])
def test_what_a_tokenizer_returns_is_its_ids(target, tensors):
    encoded = target.tokenizer(TEXT, return_tensors=tensors)
    made = said(target, encoded)
    one = said(target, list(target.tokenizer(TEXT)["input_ids"]))
    assert made in (one, [one])


NO_PROMPTS = {
    "nothing": [],
    "None": None,
    "a number": 7,
    "a float": [0.5],
    "a mapping": {"prompt": TEXT},
    "a set": {TEXT, OTHER},
    "a frame": pd.DataFrame({"prompt": [TEXT, OTHER]}),
    "bytes": b"Write",
    "a mixture": [TEXT, 7],
    "an unknown token": [10**6],
    "a negative token": [-1],
    "booleans": [True, False],
    "words for roles": {"role": "user"},
    "three dimensions": np.zeros((1, 1, 1), int),
}


@contract("decode", "stream")
@pytest.mark.parametrize("what", NO_PROMPTS)
@pytest.mark.parametrize("call", ["decode", "stream"])
def test_what_is_no_prompt_is_refused(target, what, call):
    with refused():
        list(getattr(lab, call)(target, NO_PROMPTS[what], max_new_tokens=2))


@contract("load")
@pytest.mark.parametrize(
    "name", ["", "tinny", "no/such folder", "openai:", "a\nb", "x" * 500, 7, None]
)
def test_a_model_that_is_not_there_is_named(name):
    with refused(str(name) if name else None):
        lab.load(name)
