"""A draft that learns: prompts in every object that holds them, and what is no number."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.registry import collected, contract
from tests.contracts.test_tokens import NO_PROMPTS

torch = pytest.importorskip("torch")
from tests.support.toy_lm import NO_WORDS, network, toy  # noqa: E402

PROMPTS = [[1, 2, 3], [4, 5, 0]]
ANSWERS = [[2, 2], [3, 1]]
SEVERAL = {
    "list": list,
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "numpy": np.array,
    "torch": torch.tensor,
    "Series": lambda rows: pd.Series(rows, index=[7, 7]),
    "polars": pl.Series,
    "dict values": lambda rows: dict(enumerate(rows)).values(),
}
NO_NUMBER = ["1", None, True, math.nan, [0.5], 1j]
NO_LOGITS = [None, "ab", [[1.0, 2.0]], np.zeros((2, 3)), torch.tensor(1.0), torch.zeros(2, 4)]


def student():
    return lab.LanguageModel(network(1, 1), NO_WORDS, "a student")


def learned(prompts, answers=None, **settings):
    how = {"steps": 2, "batch_size": 2, "seed": 0, "max_new_tokens": 3, "progress": False}
    return lab.distil(toy(0), student(), prompts, answers, **how | settings)


def judged(prompts, answers=None, **settings):
    how = {"max_new_tokens": 3, "seed": 0}
    return lab.expected_acceptance(toy(0), student(), prompts, answers, **how | settings)


@contract("distil", "expected_acceptance")
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_prompts_and_answers_are_read_from_anything(kind):
    many = SEVERAL[kind]
    assert judged(many(PROMPTS)) == judged(PROMPTS)
    assert judged(PROMPTS, many(ANSWERS)) == judged(PROMPTS, ANSWERS)
    found, true = learned(many(PROMPTS), many(ANSWERS)), learned(PROMPTS, ANSWERS)
    assert found.losses.tolist() == true.losses.tolist()


@contract("distil", "expected_acceptance")
def test_numpy_settings_are_numbers():
    true = learned(PROMPTS, ANSWERS, learning_rate=0.5, temperature=0.5)
    numbers = {"learning_rate": np.float32(0.5), "temperature": np.float64(0.5)}
    found = learned(PROMPTS, ANSWERS, **numbers, steps=np.int64(2), seed=np.uint8(0))
    assert found.losses.tolist() == true.losses.tolist()
    assert judged(PROMPTS, seed=np.int64(3)) == judged(PROMPTS, seed=3)
    assert 0 <= judged(PROMPTS, seed=-1) <= 1


@contract("distil", "expected_acceptance")
def test_what_is_no_prompt_number_or_answer_is_refused():
    calls = {"distil": learned, "expected_acceptance": judged}
    wrong = {"learning_rate": [*NO_NUMBER, 0, -1, math.inf], "student_share": [*NO_NUMBER, -1, 2]}
    wrong |= {"steps": [*NO_NUMBER, 0, 1.5], "batch_size": [*NO_NUMBER, 0, 2.0]}
    wrong |= {"divergence": [None, "kl", 0.5, ["jsd"], lambda p, q: 1]}
    both = {"temperature": [*NO_NUMBER, -1, math.inf], "max_new_tokens": [*NO_NUMBER, 0, 1.5]}
    both |= {"seed": ["a", True, 1.5, 2**70]}
    no_answers = [
        "ab",
        7,
        ANSWERS[:1],
        [None, [1]],
        [[9], [1]],
        [[], [1]],
        [["a"], [1]],
        [[{}], [1]],
        {"a": [1], "b": [2]},
    ]
    collected(
        {f"{name} {x!r}": lambda x=x, n=name: learned(PROMPTS, **{n: x})
         for name, values in wrong.items() for x in values}
        | {f"{call} {name} {x!r}": lambda x=x, n=name, f=f: f(PROMPTS, **{n: x})
           for call, f in calls.items() for name, values in both.items() for x in values}
        | {f"{call}: {name}": lambda x=x, f=f: f(x)
           for call, f in calls.items() for name, x in NO_PROMPTS.items()}
        | {f"{call} answers {x!r}": lambda x=x, f=f: f(PROMPTS, x)
           for call, f in calls.items() for x in no_answers}
        | {f"models {x!r}": lambda x=x: lab.distil(*x, PROMPTS)
           for x in [(None, None), (toy(0), "tiny-draft"), (torch.nn.Linear(2, 2), toy(0))]}
    )  # fmt: skip


@contract("generalised_jsd", "total_variation")
@settings(deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=6, max_size=6), st.floats(0.01, 0.99))
def test_divergences_are_sums_over_tokens(values, beta):
    p, q = torch.tensor(values, dtype=torch.float64).view(2, 3)
    shares = [[math.exp(x - max(row)) for x in row] for row in (p.tolist(), q.tolist())]
    a, b = ([x / sum(row) for x in row] for row in shares)
    m = [beta * x + (1 - beta) * y for x, y in zip(a, b, strict=True)]
    true = sum(
        beta * x * math.log(x / z) + (1 - beta) * y * math.log(y / z)
        for x, y, z in zip(a, b, m, strict=True)
    )
    found = lab.generalised_jsd(p, q, beta)
    assert found.shape == () and math.isclose(found.item(), true, abs_tol=1e-9)
    apart = sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 2
    assert math.isclose(lab.total_variation(p, q).item(), apart, abs_tol=1e-9)


@contract("generalised_jsd", "total_variation")
def test_what_is_no_logits_is_refused():
    good = torch.zeros(2, 3)
    collected(
        {f"teacher {x!r}": lambda x=x: lab.total_variation(x, good) for x in NO_LOGITS}
        | {f"student {x!r}": lambda x=x: lab.generalised_jsd(good, x, 0.5) for x in NO_LOGITS}
        | {f"beta {x!r}": lambda x=x: lab.generalised_jsd(good, good, x)
           for x in [*NO_NUMBER, -0.1, 1.1]}
    )  # fmt: skip
