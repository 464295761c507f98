"""The round stepper: a trace changes nothing, its dice are the session's, its words are true."""

import json

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.rounds import recorded
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.traces import VERDICTS, read_traces, write_traces
from ensemble_lab.tokens.tracing import trace
from tests.support.tiny_llama import save_tiny_llama

PROMPT = "the small model answers and the big model answers"
DRAFTS = (None, "lookup", "early-exit:1", "model")
SIZE = 300_000  # bytes of all recorded rounds


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


def traced(target, draft, other, **settings):
    draft = other if draft == "model" else draft
    return trace(target, PROMPT, draft, gamma=3, max_new_tokens=24, seed=5, **settings)


@pytest.mark.parametrize("heat", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("draft", DRAFTS)
def test_a_trace_leaves_the_text_as_it_is(target, other, draft, heat):
    one = traced(target, draft, other, temperature=heat)
    plain = decode(
        target,
        PROMPT,
        other if draft == "model" else draft,
        gamma=3,
        temperature=heat,
        max_new_tokens=24,
        seed=5,
    )
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


def test_the_laws_are_laws(target, other):
    seen = set()
    for _, place in traced(target, "model", other, temperature=1.0).places:
        seen.add(place.verdict)
        for law in (place.p, place.q, place.residual):
            assert 0 <= min(law) and sum(law) <= 1 + 1e-5
        assert 0 <= place.falls <= 1 and {place.token, place.drafted or place.token} <= {
            *place.tokens
        }
        if place.verdict == "corrected":  # drawn from the residual, where the fallen one has none
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
    (tmp_path / "own.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no traces"):
        read_traces(tmp_path / "own.json")


# -- the explorer -------------------------------------------------------------------------------


def test_recorded_rounds_are_small_and_consistent():
    from ensemble_lab.catalogue import data_folder

    files = list((data_folder() / "rounds").glob("*.json"))
    assert files and sum(path.stat().st_size for path in files) < SIZE
    for one in recorded():
        for here in one.rounds:
            assert [place.verdict for place in here.places][: here.accepted] == [
                "accepted"
            ] * here.accepted
        for _, place in one.places:
            assert place.verdict in VERDICTS
            # Three digits are kept, so that nothing can be said of what is nearer than 1 %.
            if place.r is not None and abs(place.r - place.ratio) > 0.01 * place.r:
                assert (place.r < place.ratio) == (place.verdict == "accepted"), place


def test_the_marks_are_the_rounds():
    explorer = lab.explore("rounds")
    one = next(t for t in recorded() if t.gamma == 8 and any(r.accepted > 2 for r in t.rounds))
    number = next(i for i, r in enumerate(one.rounds) if r.accepted > 2)
    at = next(i for i, (n, _) in enumerate(one.places, 1) if n == number)
    state = {key: getattr(one, key) for key in ("prompt", "draft", "gamma", "temperature")}
    picture = explorer.picture(**state, token=at)
    drawn = {trace["name"]: trace for trace in picture.traces}
    here = one.rounds[number]
    below = {name: [y == 0 for y in t["y"]].count(True) for name, t in drawn.items() if "y" in t}
    assert below["accepted"] == here.accepted  # the line of the draft
    assert below["rejected"] == (here.accepted < len(here.drafted))
    assert below["accepted"] + below["rejected"] + below["not looked at"] == len(here.drafted)
    above = sum(y > 0 for name in VERDICTS for y in drawn[name]["y"])
    assert above == len(one.places) == len(explorer.table(**state))
    assert f"{len(here.drafted)} drafted, {here.accepted} stayed" in picture.finding


def test_presets_show_what_they_say():
    explorer = lab.explore("rounds")
    assert sum("does not pay" in title for title in explorer.presets) == 2
    used = {}
    for title, preset in explorer.presets.items():
        state = explorer.state(**preset)
        one = next(
            t for t in recorded()
            if (t.prompt, t.draft, t.gamma, t.temperature)
            == tuple(state[key] for key in ("prompt", "draft", "gamma", "temperature"))
        )  # fmt: skip
        used[title] = len(one.places) / len(one.rounds)
    pays = next(value for title, value in used.items() if title.startswith("pays"))
    assert all(v < 1.3 < pays for title, v in used.items() if "does not pay" in title)
    assert "corrected" in explorer.picture(**explorer.presets["a correction"]).finding


def test_ones_own_traces(target, other):
    one = traced(target, "model", other, temperature=1.0)
    alone = lab.explore("rounds", one)
    assert [control.name for control in alone.controls] == ["token"]
    assert alone.picture(token=len(one.places)).finding.startswith(f"Token {len(one.places)} of")
    grid = [one, traced(target, "model", other, temperature=0.5)]
    assert lab.explore("rounds", grid).state()["temperature"] in (0.5, 1.0)
    lone = traced(target, "lookup", other, temperature=0.5)
    with pytest.raises(ValueError, match="no trace has"):
        lab.explore("rounds", [one, lone])
    with pytest.raises(ValueError, match="the same prompt"):
        lab.explore("rounds", [one, one])
    with pytest.raises(ValueError, match="no token"):
        lab.explore("rounds", [])
    with pytest.raises(TypeError, match="no Trace"):
        lab.explore("rounds", ["text"])


def test_a_shorter_text_stays_at_its_last_token(target, other):
    one = traced(target, "model", other, temperature=1.0)
    short = trace(target, PROMPT, other, gamma=2, temperature=1.0, max_new_tokens=5,
                  names=(one.prompt, one.draft))  # fmt: skip
    explorer = lab.explore("rounds", [one, short])
    assert explorer.picture(gamma=2, token=20).finding.startswith(
        f"Token {len(short.places)} of {len(short.places)}"
    )


def test_tokens_that_look_like_markup_are_only_shown(target, other):
    from dataclasses import replace

    one = traced(target, "model", other, temperature=1.0)
    place = one.rounds[0].places[0]
    names = tuple("<b>" if t == place.token else t for t in place.tokens)
    drafted = "<b>" if place.drafted == place.token else place.drafted
    evil = replace(place, token="<b>", tokens=names, drafted=drafted)
    first = replace(one.rounds[0], places=(evil, *one.rounds[0].places[1:]))
    picture = lab.explore("rounds", replace(one, rounds=(first, *one.rounds[1:]))).picture(token=1)
    assert "&lt;b&gt;" in picture.finding and "<b>" not in picture.finding
    assert "<b>" not in json.dumps(picture.traces) and "“<b>”" in picture.text
