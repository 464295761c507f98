"""One split of the tiny model for all tests of the family: a stage takes seconds to start."""

import pytest

import ensemble_lab as lab

PROMPT = "The sea is"


@pytest.fixture(scope="session")
def tiny():
    return lab.load("tiny", dtype="float64")


@pytest.fixture(scope="session")
def _halves(tiny):
    with lab.split(tiny, after=2, spares=1) as made:
        yield made


@pytest.fixture
def halves(_halves):
    """The tiny model in two stages and one spare, all alive."""
    yield _halves
    _halves.refill()


@pytest.fixture(scope="session")
def greedy(tiny):
    """What the whole model writes in 40 tokens."""
    return tiny.generate(PROMPT, 40).tokens
