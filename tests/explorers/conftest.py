"""Each explorer in turn, for what all of them promise."""

import pytest

from ensemble_lab.explorers.explore import EXPLORERS
from tests.support.any_state import shown


@pytest.fixture(scope="module", params=EXPLORERS)
def explorer(request):
    return shown(request.param)
