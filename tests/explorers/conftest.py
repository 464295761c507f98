"""Each explorer in turn, for what all of them promise; and the one that a file is about."""

import pytest

from ensemble_lab.explorers.explore import EXPLORERS
from tests.support import any_state


@pytest.fixture(scope="module", params=EXPLORERS)
def explorer(request):
    return any_state.shown(request.param)


@pytest.fixture(scope="module")
def shown(request):
    """The explorer that a file is about: "bagging" of test_bagging_explorer.py."""
    name = request.module.__name__.rpartition(".test_")[2].removesuffix("_explorer")
    return any_state.shown(name)
