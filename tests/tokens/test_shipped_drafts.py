"""The drafts for smollm2 that ship: their size, what is known of them, and whom they fit."""

import json

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.drafts.head import FeatureHead
from tests.support.toy_lm import network

HEAD = data_folder() / "drafts/smollm2-head.safetensors"
MODEL = data_folder() / "models/smollm2-draft"
ONE, ALL = 8e6, 24e6  # bytes


@pytest.fixture(scope="module")
def target():
    return lab.load("smollm2", device="cpu", dtype="bfloat16")


def test_all_weights_together_stay_small():
    files = list(data_folder().rglob("*.safetensors"))
    # tiny, its draft and tiny-layerskip; smollm2's draft, table and head; 4 projections
    assert len(files) == 10
    assert sum(file.stat().st_size for file in files) < ALL
    assert all(file.stat().st_size < ONE for file in files)


def test_a_head_knows_where_it_comes_from():
    about = FeatureHead.read(HEAD).about
    assert about["licence"] == "Apache-2.0" and "not the Hub's weights" in about["weights"]
    told = about["losses"]
    assert [row["step"] for row in told] == sorted(row["step"] for row in told)
    first, last = (row["held_out"][0] for row in (told[0], told[-1]))
    assert last["kl"] < first["kl"] and last["agree"] > first["agree"]


def test_the_head_earns_its_place_beside_the_table():
    """On held-out answers, with look-up in front of both."""
    drafts = json.loads(HEAD.with_suffix(".json").read_text())["drafts"]
    for gamma in ("gamma 4", "gamma 8"):
        with_head, with_table = (
            drafts[name][gamma]["tokens_a_round"]
            for name in ("lookup, table and head", "lookup and table")
        )
        assert with_head["all"] > with_table["all"]
        assert with_head["chat"] > with_table["chat"]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "seed": 0, "gamma": 4}])
def test_it_drafts_for_its_target(target, settings):
    made = lab.decode(target, "What is a good breakfast?", "head", max_new_tokens=48, **settings)
    assert made.tokens_a_round > 1.2


@pytest.mark.slow
def test_the_small_model_borrows_and_drafts(target):
    draft = lab.load("smollm2-draft", device="cpu", dtype="bfloat16")
    assert "smollm2-draft" in draft.weights and "not the Hub's weights" in draft.weights
    assert draft.model.config.vocab_size == target.model.config.vocab_size
    embeddings = [one.model.get_input_embeddings().weight for one in (draft, target)]
    assert torch.equal(*embeddings)
    made = lab.decode(target, "What is a good breakfast?", draft, gamma=2, max_new_tokens=48)
    assert made.tokens_a_round > 1.2
    about = json.loads((MODEL / "about.json").read_text())
    assert about["losses"][-1]["held_out"][0]["agree"] > 0.3


def test_a_head_needs_its_own_target(target):
    with pytest.raises(ModelError, match="states of 576 numbers"):
        FeatureHead.read(HEAD).attach(network(0))
    with pytest.raises(ModelError, match="of another tokenizer"):
        lab.decode(lab.load("tiny"), "Hello", "head")


def test_a_missing_head_or_model_says_how_to_fix_it(target, tmp_path, monkeypatch):
    monkeypatch.setattr("ensemble_lab.tokens.drafts.ngram.data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="reinstall"):
        FeatureHead.load("smollm2", target)
    monkeypatch.setattr("ensemble_lab.catalogue.data_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match=r"'smollm2-draft' has no folder .* reinstall"):
        lab.load("smollm2-draft")
