"""`tiny-layerskip`: its first layers draft for it, and its text stays its own."""

import json

import pytest

torch = pytest.importorskip("torch")

import ensemble_lab as lab  # noqa: E402
from ensemble_lab.catalogue import data_folder  # noqa: E402
from recipes import train_layerskip  # noqa: E402

FOLDER = data_folder() / "models/tiny-layerskip"
ABOUT = json.loads((FOLDER / "about.json").read_text())
PROMPTS = [f"Tell me about {thing}.\n" for thing in ("rain", "cats", "trains", "bread")]


@pytest.fixture(scope="module")
def skipping():
    return lab.load("tiny-layerskip", "cpu", "float64")


def test_its_first_layers_are_accepted_more_than_those_of_tiny(skipping):
    how = {"gamma": 3, "max_new_tokens": 40}
    of = {
        model: train_layerskip.acceptance(lab.decode(model, PROMPTS, "early-exit:2", **how))
        for model in (skipping, lab.load("tiny", "cpu", "float64"))
    }
    better, before = of.values()
    assert better > before + 0.15


@pytest.mark.parametrize("exit", [1, 2, 3])
def test_greedy_text_is_that_without_a_draft(skipping, exit):
    plain = lab.decode(skipping, PROMPTS, max_new_tokens=30)
    quick = lab.decode(skipping, PROMPTS, f"early-exit:{exit}", gamma=4, max_new_tokens=30)
    assert [made.tokens for made in quick] == [made.tokens for made in plain]


def test_the_readme_has_the_figures_of_about_json():
    readme = " ".join((data_folder() / "README.md").read_text().split())
    for name in ("tiny", "tiny-layerskip"):
        found = ABOUT["acceptance"][name]["2"]
        low, high = min(found["sampled"]), max(found["sampled"])
        assert f"{100 * found['greedy']:.1f} %" in readme
        assert f"{100 * low:.1f} to {100 * high:.1f} %" in readme
    assert f"trained {ABOUT['steps']:,} steps more" in readme
    assert ABOUT["steps"] == train_layerskip.STEPS == ABOUT["by_exit"][-1]["step"]


def test_it_learned_from_the_shipped_target_at_no_loss_of_its_own():
    first, last = ABOUT["by_exit"][0], ABOUT["by_exit"][-1]
    assert all(after < before for before, after in zip(first["held_out"], last["held_out"]))


def test_the_last_layer_is_left_out_most_and_the_first_never():
    dropped = train_layerskip.dropout_of(4)
    assert dropped[0] == 0
    assert dropped[-1] == pytest.approx(train_layerskip.DROPPED)
    assert (dropped.diff() > 0).all()


def test_every_exit_has_its_turn_and_the_last_one_always():
    seen = set()
    for i in range(3):
        shares = train_layerskip.shares_at(i, 4)
        assert sum(shares.values()) == pytest.approx(1) and 4 in shares
        seen |= shares.keys()
    assert seen == {1, 2, 3, 4}


def test_states_are_those_of_transformers(skipping):
    model, tokens = skipping.model, torch.tensor([[0, 5, 9, 3], [0, 7, 7, 2]])
    with torch.no_grad():
        states = list(train_layerskip.states_of(model, tokens))
        wanted = model(tokens, output_hidden_states=True)
        for mine, theirs in zip(states, wanted.hidden_states[1:-1]):
            torch.testing.assert_close(mine, theirs)
        torch.testing.assert_close(model.lm_head(model.model.norm(states[-1])), wanted.logits)
        # Texts that leave out all layers stay what their embeddings are.
        dropped = torch.tensor([[True, False]] * 4)
        for state in train_layerskip.states_of(model, tokens, dropped):
            torch.testing.assert_close(state[0], model.model.embed_tokens(tokens)[0])
        torch.testing.assert_close(state[1], states[-1][1])
