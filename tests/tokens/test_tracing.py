"""Traces of a decoding: a trace changes nothing, its dice are the session's, files keep it."""

import json

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.traces import read_traces, write_traces
from ensemble_lab.tokens.tracing import trace
from tests.support.tiny_llama import save_tiny_llama

PROMPT = "the small model answers and the big model answers"
DRAFTS = (None, "lookup", "early-exit:1", "model")


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return lab.load(save_tiny_llama(tmp_path_factory.mktemp("tiny"), None), device="cpu")


@pytest.fixture(scope="module")
def other(target, tmp_path_factory):
    """A draft with other weights than the target."""
    import torch

    model = lab.load(save_tiny_llama(tmp_path_factory.mktemp("other"), None), device="cpu")
    with torch.no_grad():
        for weights in model.model.parameters():
            weights.mul_(0.8)
    return model


def traced(target, draft, other, write=trace, **settings):
    draft = other if draft == "model" else draft
    return write(target, PROMPT, draft, gamma=3, max_new_tokens=24, seed=5, **settings)


@pytest.mark.parametrize("heat", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("draft", DRAFTS)
def test_a_trace_leaves_the_text_as_it_is(target, other, draft, heat):
    one = traced(target, draft, other, temperature=heat)
    plain = traced(target, draft, other, decode, temperature=heat)
    assert one.text == plain.text
    assert len(one.places) == len(plain.tokens)
    assert [here.accepted for here in one.rounds] == [here.accepted for here in plain.rounds]


@pytest.mark.parametrize("draft", DRAFTS[1:])
def test_the_dice_are_those_that_decided(target, other, draft):
    one = traced(target, draft, other, temperature=1.0)
    thrown = [place for _, place in one.places if place.r is not None]
    assert thrown
    for place in thrown:
        assert (place.r < place.ratio) == (place.verdict == "accepted")
        assert (place.token == place.drafted) or place.verdict == "corrected"


def test_p_q_and_the_residual_are_distributions(target, other):
    seen = set()
    for _, place in traced(target, "model", other, temperature=1.0).places:
        seen.add(place.verdict)
        for chances in (place.p, place.q, place.residual):
            assert 0 <= min(chances) and sum(chances) <= 1 + 1e-5
        shown = {place.token, place.drafted or place.token}
        assert 0 <= place.rejection <= 1 and shown <= {*place.tokens}
        if place.verdict == "corrected":  # drawn from the residual, where the rejected one has none
            at = place.tokens.index
            assert place.residual[at(place.token)] > 0 == place.residual[at(place.drafted)]
    assert {"accepted", "corrected"} <= seen


def test_greedy_throws_no_dice_and_plain_steps_have_no_draft(target, other):
    greedy = traced(target, "model", other, temperature=0.0)
    assert all(place.r is None and max(place.p) == 1 for _, place in greedy.places)
    alone = traced(target, None, other, temperature=1.0)
    assert {place.verdict for _, place in alone.places} == {"plain"}
    assert all(place.residual == place.p and place.ratio is None for _, place in alone.places)


def test_files_give_back_what_was_written(target, other, tmp_path):
    kept = [traced(target, "model", other, temperature=heat) for heat in (0.0, 1.0)]
    write_traces(tmp_path / "own.json", kept, device="here")
    assert json.loads((tmp_path / "own.json").read_text())["about"] == {"device": "here"}
    for one, back in zip(kept, read_traces(tmp_path / "own.json")):
        assert (one.text, one.gamma, len(one.rounds)) == (back.text, back.gamma, len(back.rounds))
        for (_, a), (_, b) in zip(one.places, back.places):
            assert (a.token, a.verdict, a.drafted, a.tokens) == (
                b.token, b.verdict, b.drafted, b.tokens)  # fmt: skip
            assert np.allclose(a.p, b.p, rtol=1e-2) and np.allclose(a.q, b.q, rtol=1e-2)
    assert lab.explore("rounds", kept).picture(token=24).finding.startswith("Token 24 of 24")
    (tmp_path / "own.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no traces"):
        read_traces(tmp_path / "own.json")
