"""The round stepper: a trace changes nothing, its dice are the session's, its words are true."""

import json

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.rounds import ASKED, SIZE, recorded
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.traces import VERDICTS, read_traces, write_traces
from ensemble_lab.tokens.tracing import trace
from ensemble_lab.widgets.explorer import Failing
from ensemble_lab.widgets.style import SMALL
from tests.support.any_state import named
from tests.support.tiny_llama import save_tiny_llama

PROMPT = "the small model answers and the big model answers"
DRAFTS = (None, "lookup", "early-exit:1", "model")
MOST = 300_000  # bytes of all recorded rounds


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
    (tmp_path / "own.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no traces"):
        read_traces(tmp_path / "own.json")


# -- the explorer -------------------------------------------------------------------------------


def test_recorded_rounds_are_small_and_consistent():
    from ensemble_lab.catalogue import data_folder

    files = list((data_folder() / "rounds").glob("*.json"))
    assert files and sum(path.stat().st_size for path in files) < MOST
    for one in recorded():
        for here in one.rounds:
            assert {place.verdict for place in here.places[: here.accepted]} <= {"accepted"}
        for _, place in one.places:
            assert place.verdict in VERDICTS
            # Three digits are kept, so that nothing can be said of what is nearer than 1 %.
            if place.r is not None and abs(place.r - place.ratio) > 0.01 * place.r:
                assert (place.r < place.ratio) == (place.verdict == "accepted"), place


def state_of(one):
    return {key: getattr(one, key) for key in ("prompt", "draft", "gamma", "temperature")}


def boxes(picture):
    """(word, colour, how its line lies, width of its frame) of every token that is written."""
    notes = [n for n in picture.layout["annotations"] if n["font"].get("family") == "monospace"]
    return [(n["text"], n.get("bordercolor", n["font"]["color"]), n["font"].get("lineposition"),
             n.get("borderwidth", 0)) for n in notes[5:]]  # behind the key  # fmt: skip


@pytest.mark.parametrize("one", [t for t in recorded() if t.gamma == 8], ids=lambda t: t.draft)
def test_the_text_and_the_draft_are_those_of_the_rounds(one):
    explorer = lab.explore("rounds")
    for number, here in enumerate(one.rounds):
        at = next(i for i, (n, _) in enumerate(one.places, 1) if n == number)
        picture = explorer.picture(**state_of(one), token=at)
        found, place = boxes(picture), one.places[at - 1][1]
        rejected = [p.drafted for _, p in one.places if p.verdict == "corrected"]
        assert len(found) == len(one.places) + len(rejected) + len(here.drafted)
        struck = sum(line == "through" for _, _, line, _ in found)
        assert struck == len(rejected) + (here.accepted < len(here.drafted))
        (chosen,) = (word for word, _, _, width in found if width == 3)
        assert chosen.strip("\u00a0␣") == place.token.strip("␣")
        drafted = found[len(found) - len(here.drafted) :]
        assert [c == SMALL for _, c, _, _ in drafted].count(True) == here.accepted
        if here.drafted:
            told = f"{len(here.drafted)} drafted, {here.accepted} accepted"
            assert told in picture.finding


def test_the_residual_is_drawn_only_where_something_is_drawn_from_it():
    explorer = lab.explore("rounds")
    one = next(t for t in recorded() if "accepted" in [place.verdict for _, place in t.places])
    for at, (_, place) in enumerate(one.places, 1):
        picture = explorer.picture(**state_of(one), token=at)
        drawn, corrected = named(picture), place.verdict == "corrected"
        residual = drawn["residual"]["y"]
        assert residual == (pytest.approx(place.residual, abs=1e-6) if corrected else [])
        assert ("residual" in picture.text) == corrected
        assert drawn["p (target)"]["y"] == pytest.approx(place.p, abs=1e-6)
        assert drawn["q (draft)"]["y"] == pytest.approx(place.q if place.drafted else [], abs=1e-6)
        assert drawn["r"]["x"] == pytest.approx([] if place.r is None else [place.r], abs=1e-6)


def test_presets_show_what_they_say():
    explorer, used = lab.explore("rounds"), {}
    assert "8 drafted, 8 accepted, 9 tokens" in explorer.picture().finding
    for title in explorer.presets:
        state = explorer.preset(title)
        one = next(t for t in recorded() if state_of(t).items() <= state.items())
        used[title] = len(one.places) / len(one.rounds)
    failing = [title for title, state in explorer.presets.items() if isinstance(state, Failing)]
    assert len(failing) == 2 and all(used[title] < 1.3 < used["eight at once"] for title in failing)
    assert "8 accepted" in explorer.picture(**explorer.preset("eight at once")).finding
    assert "corrected to" in explorer.picture(**explorer.preset("a correction")).finding


def test_the_prompt_is_above_the_text(target, other):
    explorer = lab.explore("rounds")
    for name, asked in ASKED.items():
        picture = explorer.picture(prompt=name)
        said = [note["text"] for note in picture.layout["annotations"]]
        assert any(asked.startswith(text.rstrip("…")) for text in said if len(text) > 25)
        assert asked in picture.text
    short = trace(target, PROMPT, other, gamma=2, max_new_tokens=4, names=("a name", "draft"))
    own = lab.explore("rounds", [short]).picture()
    assert "Prompt: a name" in own.text


def test_a_long_text_shows_the_lines_around_its_token(target, other):
    one = trace(target, PROMPT, other, gamma=3, max_new_tokens=160, seed=5)
    explorer, n = lab.explore("rounds", one), len(one.places)
    for at in (1, n // 2, n):
        picture = explorer.picture(token=at)
        written = [n for n in picture.layout["annotations"] if n["font"]["size"] == SIZE]
        assert [width for *_, width in boxes(picture)].count(3) == 1 and len(written) < n


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
    with pytest.raises(TypeError, match="no Trace"):
        lab.explore("rounds", ["text"])


def test_a_shorter_text_stays_at_its_last_token(target, other):
    one = traced(target, "model", other, temperature=1.0)
    short = trace(target, PROMPT, other, gamma=2, temperature=1.0, max_new_tokens=5,
                  names=(one.prompt, one.draft))  # fmt: skip
    said = lab.explore("rounds", [one, short]).picture(gamma=2, token=20).finding
    assert said.startswith(f"Token {len(short.places)} of {len(short.places)}")
