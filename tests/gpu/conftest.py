"""Where these tests run: on a GPU; with REHEARSE=1 on the CPU, to see that they run."""

import os

import pytest
import torch

from ensemble_lab.tokens.reading import compiled


@pytest.fixture
def device(monkeypatch):
    if torch.cuda.is_available():
        return torch.device("cuda")
    if not os.environ.get("REHEARSE"):
        pytest.skip("needs a GPU; REHEARSE=1 runs it on the CPU")
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # a CPU's compiler takes minutes
    return torch.device("cpu")


@pytest.fixture
def card(device):
    """A GPU and nothing else."""
    if device.type != "cuda":
        pytest.skip("needs a GPU's own clock or memory")
    return device
