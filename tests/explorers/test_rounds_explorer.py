"""The round stepper: what is recorded is consistent, and its words are true."""

from dataclasses import replace

import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.rounds import ASKED, SIZE, recorded
from ensemble_lab.tokens.traces import VERDICTS
from ensemble_lab.widgets.explorer import Failing
from ensemble_lab.widgets.style import SMALL
from tests.support.any_state import named

MOST = 300_000  # bytes of all recorded rounds


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


def test_the_prompt_is_above_the_text():
    explorer = lab.explore("rounds")
    for name, asked in ASKED.items():
        picture = explorer.picture(prompt=name)
        said = [note["text"] for note in picture.layout["annotations"]]
        assert any(asked.startswith(text.rstrip("…")) for text in said if len(text) > 25)
        assert asked in picture.text
    own = lab.explore("rounds", [replace(recorded()[0], prompt="a name")]).picture()
    assert "Prompt: a name" in own.text


def test_a_long_text_shows_the_lines_around_its_token():
    one = replace(recorded()[0], rounds=9 * recorded()[0].rounds)
    explorer, n = lab.explore("rounds", one), len(one.places)
    for at in (1, n // 2, n):
        picture = explorer.picture(token=at)
        written = [n for n in picture.layout["annotations"] if n["font"]["size"] == SIZE]
        assert [width for *_, width in boxes(picture)].count(3) == 1 and len(written) < n


def test_ones_own_traces():
    one = recorded()[0]
    alone = lab.explore("rounds", one)
    assert [control.name for control in alone.controls] == ["token"]
    assert alone.picture(token=len(one.places)).finding.startswith(f"Token {len(one.places)} of")
    grid = [one, replace(one, temperature=0.5)]
    assert lab.explore("rounds", grid).state()["temperature"] in (0.5, one.temperature)
    lone = replace(one, temperature=0.5, draft="another")
    with pytest.raises(ValueError, match="no trace has"):
        lab.explore("rounds", [one, lone])
    with pytest.raises(ValueError, match="the same prompt"):
        lab.explore("rounds", [one, one])
    with pytest.raises(TypeError, match="no Trace"):
        lab.explore("rounds", ["text"])


def test_a_shorter_text_stays_at_its_last_token():
    one = recorded()[0]
    short = replace(one, gamma=1, rounds=one.rounds[:2])
    said = lab.explore("rounds", [one, short]).picture(gamma=1, token=len(one.places)).finding
    assert said.startswith(f"Token {len(short.places)} of {len(short.places)}")
