"""Models on a GPU: where they go, whether they fit, recorded and run; and the meter's clock."""

from time import perf_counter

import numpy as np
import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.instruments import Meter
from ensemble_lab.models import pick_device, pick_dtype
from ensemble_lab.models.errors import NotEnoughMemory
from ensemble_lab.models.memory import available_memory, check_memory
from ensemble_lab.tokens.prompts import check_room

pytestmark = pytest.mark.gpu
QUESTIONS = ["What is tea?\n", "Write a poem about fog.\n", "Plums.\n", "Write an email.\n"]
MIB = 2**20


def test_a_model_goes_to_the_gpu_unasked_in_the_best_format_there(card):
    able = torch.cuda.get_device_capability() >= (8, 0)
    best = torch.bfloat16 if able else torch.float16
    assert (pick_device().type, pick_dtype()) == ("cuda", best)
    model = lab.load("tiny")
    assert (model.device.type, model.dtype) == ("cuda", best)
    assert lab.load("tiny", device="cpu").device.type == "cpu"
    with pytest.raises(ValueError, match="no device 'cuda:99'"):
        pick_device("cuda:99")


def test_free_memory_counts_what_torch_keeps_unused(card):
    free, total = torch.cuda.mem_get_info(card)
    before = available_memory(card)
    assert free - 1024 * MIB < before <= total  # others may use the card meanwhile
    block = torch.empty(2048 * MIB, dtype=torch.uint8, device=card)
    held = available_memory(card)
    del block  # torch keeps it
    assert before - held > 1024 * MIB
    assert available_memory(card) - held > 1024 * MIB


def test_what_does_not_fit_is_refused_before_it_is_made(device):
    with pytest.raises(NotEnoughMemory, match="a model of up to"):
        check_memory("a giant", 10**13, device, torch.bfloat16)
    target = lab.load("tiny", device=device)
    with pytest.raises(NotEnoughMemory, match="such rows would fit"):
        check_room(target, 10**9, 512)


def test_recorded_on_the_gpu_and_run_live_are_the_same(device, tmp_path):
    settings = {"device": device, "dtype": "float64", "max_new_tokens": 8}
    models = {
        "small": lab.load("tiny-draft", **settings),
        "big": lab.load("tiny", **settings),
    }
    path = tmp_path / "replies.jsonl"
    table = lab.record(models, QUESTIONS, path, progress=False)
    assert np.isfinite(table.confidence).all() and (table.latency > 0).all()

    def asked_again(question):
        raise AssertionError(f"{question!r} is asked again")

    again = lab.record(dict.fromkeys(models, asked_again), QUESTIONS, path, progress=False)
    assert np.array_equal(again.confidence, table.confidence)
    middle = float(np.median(table.confidence[:, 0]))
    cascade = lab.Cascade(("small", "big"), (middle,))
    replay = cascade.decide(table)
    assert 0 < replay.called[:, 1].sum() < len(QUESTIONS)
    for i, question in enumerate(QUESTIONS):
        live = lab.run(cascade, models, question)
        assert live.called[0].tolist() == replay.called[i].tolist()
        assert live.answers[0] == replay.answers[i]


def test_a_gpu_writes_what_a_cpu_writes(device):
    here, there = (
        lab.load("tiny", device=place, dtype="float64", max_new_tokens=24)
        for place in ("cpu", device)
    )
    for question in QUESTIONS:
        ours, theirs = here.generate(question), there.generate(question)
        assert ours.tokens == theirs.tokens
        # Confidences are computed in float32, whatever the model's type.
        assert np.allclose(ours.log_probabilities, theirs.log_probabilities, rtol=0, atol=1e-5)


def test_the_meter_waits_for_what_was_queued(card):
    square = torch.rand(4096, 4096, device=card)
    square @ square
    torch.cuda.synchronize()
    begun = perf_counter()
    with Meter(card) as meter:
        for _ in range(50):
            square @ square
        queued = perf_counter() - begun
    wall = perf_counter() - begun
    assert meter.seconds > 2 * queued  # the host is done long before
    assert 0.8 * wall < meter.seconds <= wall
    assert 50 * 2 * 4096**3 / meter.seconds < 3e15  # faster than any such product


def test_the_meter_sees_the_gpus_peak_and_what_was_freed_again(card):
    base = torch.cuda.memory_allocated(card)
    with Meter(card) as meter:
        block = torch.empty(64 * MIB, dtype=torch.uint8, device=card)
        del block
    assert 64 * MIB <= meter.peak_memory - base < 68 * MIB
    with Meter(card) as meter:
        pass
    assert meter.peak_memory - base < MIB
