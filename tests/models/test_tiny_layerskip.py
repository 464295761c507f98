"""The shipped `tiny-layerskip`: its first layers draft, and the text stays the whole model's."""

import hashlib
import json

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from recipes import train_layerskip as recipe
from recipes.measure_tiny import acceptance
from tests.support.toy_lm import batch_by_generate

FOLDER = data_folder() / "models/tiny-layerskip"
ABOUT = json.loads((FOLDER / "about.json").read_text())
TOPICS = ("a lighthouse", "two snails", "bread", "an old clock", "fog", "the last tram")
PROMPTS = [f"Write a {kind} about {topic}.\n" for kind in ("story", "poem") for topic in TOPICS]
NEW = 40


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only lose by being shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained():
    return lab.load("tiny-layerskip", "cpu", "float64")


@pytest.fixture(scope="module")
def plain():
    return lab.load("tiny", "cpu", "float64")


def test_files_are_those_of_about_json_and_the_tokenizer_is_tinys(trained, plain):
    assert {path.name for path in FOLDER.iterdir()} == {"about.json", *ABOUT["files"]}
    for name, file in ABOUT["files"].items():
        content = (FOLDER / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == tuple(file.values()), name
    assert ABOUT["files"]["model.safetensors"]["bytes"] < 3_000_000
    assert trained.tokenizer.get_vocab() == plain.tokenizer.get_vocab()
    assert trained.weights.startswith("tiny-layerskip, trained by this project")


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_greedy_text_is_that_of_the_whole_model(trained, layers):
    prompts = [trained.encode(prompt)["input_ids"][0].tolist() for prompt in PROMPTS]
    expected = [*map(tuple, batch_by_generate(trained, prompts, NEW))]
    made = lab.decode(trained, PROMPTS, f"early-exit:{layers}", gamma=4, max_new_tokens=NEW)
    assert [one.tokens for one in made] == expected
    alone = lab.decode(trained, PROMPTS[0], f"early-exit:{layers}", max_new_tokens=NEW)
    assert alone.tokens == expected[0]


def test_a_trained_exit_is_accepted_more_often_than_an_untrained_one(trained, plain):
    for layers in (1, 2):
        for how in ({}, {"temperature": 1.0, "seed": 0}):
            after, before = (
                acceptance(
                    lab.decode(
                        model, PROMPTS, f"early-exit:{layers}", gamma=4, max_new_tokens=NEW, **how
                    )
                )
                for model in (trained, plain)
            )
            assert after > before + 0.05
    for draft in ABOUT["before"]:
        assert ABOUT["after"][draft]["acceptance"] > ABOUT["before"][draft]["acceptance"] + 0.1


def test_the_whole_model_has_not_lost_by_it():
    first, last = ABOUT["losses"][0], ABOUT["losses"][-1]
    assert last["held_out"][-1] < first["held_out"][-1]
    assert all(after > before for after, before in zip(last["agreement"][:-1], first["agreement"]))


# How it was made


def test_layers_are_left_out_more_often_the_later_they_come():
    chances = recipe.dropout_of(4)
    assert chances[0] == 0 and chances[-1] == pytest.approx(recipe.DROPPED)
    assert (chances.diff() > 0).all()
    assert chances[1].item() == pytest.approx(recipe.DROPPED * (2 ** (1 / 3) - 1))


def test_exits_learn_by_turns_and_the_end_in_every_step():
    steps = [recipe.shares_at(i, 4) for i in range(6)]
    assert [min(shares) for shares in steps] == [1, 2, 3, 1, 2, 3]
    assert all(4 in shares and sum(shares.values()) == pytest.approx(1) for shares in steps)
    assert steps[0][1] / steps[0][4] == pytest.approx(recipe.SCALE / (4 + 6 * recipe.SCALE))


def test_states_are_the_models_and_a_layer_left_out_changes_nothing_of_its_text(plain):
    tokens = torch.randint(0, 2048, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        *early, last = recipe.states_of(plain.model, tokens)
        found = plain.model.lm_head(plain.model.model.norm(last))
        torch.testing.assert_close(found, plain.model(tokens).logits)
        dropped = torch.tensor([[False, False], [True, False], [False, False], [False, False]])
        again = [*recipe.states_of(plain.model, tokens, dropped)]
    assert torch.equal(again[1][0], early[0][0])  # the first text skips the second layer
    assert torch.equal(again[3][1], last[1]) and not torch.equal(again[3][0], last[0])


def test_the_loss_is_the_sum_of_the_exits_surprises(plain):
    texts = torch.randint(0, 2048, (2, 9), generator=torch.Generator().manual_seed(1))
    learned = torch.tensor([[0] * 4 + [1] * 5, [0] * 8 + [1]])
    batch = torch.stack([texts, learned], 1)
    with torch.no_grad():
        first, *_, last = recipe.states_of(plain.model, texts)
        nats = [
            torch.stack(
                [
                    -plain.model.lm_head(plain.model.model.norm(x))[row, t - 1].log_softmax(-1)[
                        texts[row, t]
                    ]
                    for row in (0, 1)
                    for t in range(1, 9)
                    if learned[row, t]
                ]
            ).mean()
            for x in (first, last)
        ]
        found = recipe.loss_of(plain.model, batch, {1: 0.25, 4: 0.75}, None)
    torch.testing.assert_close(found, 0.25 * nats[0] + 0.75 * nats[1])


def test_the_readme_has_the_figures_of_about_json():
    readme = " ".join((data_folder() / "README.md").read_text().split())
    greedy, sampled = (
        [100 * ABOUT[when][f"early-exit:2, {how}"]["acceptance"] for when in ("after", "before")]
        for how in ("greedy", "sampled")
    )
    assert "accepts {:.1f} % (greedy; the target of `tiny`: {:.1f} %)".format(*greedy) in readme
    assert "at temperature 1 {:.1f} % ({:.1f} %)".format(*sampled) in readme
