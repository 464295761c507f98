"""Paths and lesions: exact sums, models that lack the blocks, brute force, and what is restored."""

import copy
import math
from itertools import combinations

import numpy as np
import pytest

import ensemble_lab as lab

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from ensemble_lab.models.products import Products, fused_trunk  # noqa: E402
from recipes import record_lesions  # noqa: E402

IDS = [1, 5, 2, 7, 7, 3, 0, 4]
SIZES = {
    "vocab_size": 8, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
    "max_position_embeddings": 64, "eos_token_id": None, "bos_token_id": None, "pad_token_id": None,
}  # fmt: skip


def llama(kind="Llama", **settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES | settings)
    return getattr(transformers, f"{kind}ForCausalLM")(config).double().eval()


def plain_loss(model, ids=IDS):
    ids = torch.tensor([ids])
    with torch.no_grad():
        return model(ids, labels=ids, use_cache=False).loss.item()


def without(model, blocks):
    """A model of its own that never had the blocks."""
    small = copy.deepcopy(model)
    kept = [layer for i, layer in enumerate(small.model.layers) if i not in blocks]
    small.model.layers = torch.nn.ModuleList(kept)
    return small


# -- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Mistral"])
def test_the_stream_is_the_sum_of_its_paths(kind):
    model, last = llama(kind), []
    hook = model.model.norm.register_forward_pre_hook(lambda _, args: last.append(args[0][0]))
    paths = lab.residual_paths(model, IDS)
    hook.remove()
    assert list(paths)[:3] == ["embedding", "attention 0", "feed-forward 0"]
    assert len(paths) == 9 and all(part.shape == (8, 16) for part in paths.values())
    assert (sum(paths.values()) - last[0]).abs().max() < 1e-12
    with torch.no_grad():
        states = model(torch.tensor([IDS]), output_hidden_states=True).hidden_states
        logits = model(torch.tensor([IDS])).logits[0]
    assert torch.equal(paths["embedding"], states[0][0])
    for i in range(3):  # the last state is normed
        block = paths[f"attention {i}"] + paths[f"feed-forward {i}"]
        assert (states[i + 1] - states[i] - block).abs().max() < 1e-12
    found = model.lm_head(model.model.norm(sum(paths.values())))
    assert torch.allclose(found, logits, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("Granite", {"residual_multiplier": 0.2}), ("Olmo2", {}), ("Gemma2", {"head_dim": 4})],
)
def test_blocks_that_do_more_than_add_are_refused(kind, settings):
    with pytest.raises(lab.models.errors.ModelError, match="block 0 .* does more than add"):
        lab.residual_paths(llama(kind, **settings), IDS)


def fused():
    """As models in few bits are: each block is one module."""
    model = llama().float()
    model.model._modules = fused_trunk(model.model, Products)
    return model


def test_fused_blocks_have_lesions_and_no_paths():
    model = fused()
    with pytest.raises(lab.models.errors.ModelError, match="load the model with dtype='float32'"):
        lab.residual_paths(model, IDS)
    found, plain = (lab.lesion_losses(m, IDS, "all", False) for m in (model, llama().float()))
    assert np.allclose(found.losses, plain.losses, atol=1e-4)
    with lab.lesion(model, 1):
        assert math.isclose(plain_loss(model), plain.single[1], abs_tol=1e-4)


def test_half_precision_is_checked_by_the_block():
    """A stream of large states rounds coarsely, as SmolLM2's does: states of 22,400 in bfloat16."""
    model = llama()
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight *= 1e4
        model.model.layers[3].mlp.down_proj.weight *= 1e4
    assert len(lab.residual_paths(model.to(torch.bfloat16), IDS)) == 9


def test_hooks_are_gone_after_an_error():
    model = llama("Olmo2")
    with pytest.raises(lab.models.errors.ModelError):
        lab.residual_paths(model, IDS)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_tiny_is_a_sum_of_paths_too():
    tiny = lab.load("tiny", dtype="float64")
    text = "The small model answers, and the big model checks."
    assert sum(lab.residual_paths(tiny, text).values()).isfinite().all()


# -- lesions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Mistral"])
@pytest.mark.parametrize("blocks", [[], [0], [2], [3], [1, 2], [0, 3], [0, 1, 2, 3]])
def test_a_lesion_is_a_model_that_never_had_the_blocks(kind, blocks):
    model, whole = llama(kind), plain_loss(llama(kind))
    with lab.lesion(model, blocks) as same:
        assert same is model and len(model.model.layers) == 4 - len(blocks)
        assert plain_loss(model) == plain_loss(without(llama(kind), blocks))
    assert plain_loss(model) == whole and len(model.model.layers) == 4
    assert model.config.num_hidden_layers == 4
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0, 1, 2, 3]


def test_without_blocks_the_next_token_depends_on_the_last_alone():
    model = llama()
    with lab.lesion(model, range(4)), torch.no_grad():
        found = model(torch.tensor([IDS])).logits[0]
        table = model.lm_head(model.model.norm(model.model.embed_tokens.weight))
    assert torch.allclose(found, table[IDS], atol=1e-12)


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
@pytest.mark.parametrize("blocks", [[0], [1, 2], [3], [0, 1, 2, 3]])
def test_a_model_with_a_lesion_generates_with_its_cache(kind, blocks):
    model, ids = llama(kind), torch.tensor([IDS])
    how = {"max_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    whole = model.generate(ids, **how)
    with lab.lesion(model, blocks):
        assert torch.equal(model.generate(ids, **how), model.generate(ids, use_cache=False, **how))
    assert torch.equal(model.generate(ids, **how), whole)


def test_lesions_within_lesions_and_errors_restore_the_model():
    model = llama()
    with pytest.raises(RuntimeError), lab.lesion(model, 1), lab.lesion(model, 1):
        assert plain_loss(model) == plain_loss(without(llama(), [1, 2]))  # block 2 is now 1
        raise RuntimeError
    assert plain_loss(model) == plain_loss(llama())


# -- losses -------------------------------------------------------------------------------------


def test_losses_are_those_of_plain_passes():
    model = llama()
    found = lab.lesion_losses(model, IDS, "all", progress=False)
    assert math.isclose(found.whole, plain_loss(model), rel_tol=1e-6)
    for i in range(4):
        assert math.isclose(found.single[i], plain_loss(without(model, [i])), rel_tol=1e-6)
    for i, j in combinations(range(4), 2):
        expected = plain_loss(without(model, [i, j]))
        assert math.isclose(found.losses[i, j], expected, rel_tol=1e-6)
        assert found.losses[i, j] == found.losses[j, i]
        pair = expected - found.single[i] - found.single[j] + found.whole
        assert math.isclose(found.beyond_sum[i, j], pair, abs_tol=1e-5)
    assert np.isnan(found.beyond_sum.diagonal()).all()


def test_which_pairs_are_removed():
    near = lab.lesion_losses(llama(), IDS, progress=False)
    assert np.isfinite(near.single).all() and np.isfinite(near.neighbours).all()
    assert np.isnan(near.losses[0, 2:]).all() and near.neighbours.shape == (3,)
    some = lab.lesion_losses(llama(), torch.tensor([IDS]), [(0, 3)], progress=False)
    assert np.isfinite(some.losses[3, 0]) and np.isnan(some.neighbours).all()
    none = lab.lesion_losses(llama(), IDS, [], progress=False)
    assert np.array_equal(none.single, near.single) and none.text is None


def test_interrupted_it_keeps_what_was_measured(monkeypatch):
    from ensemble_lab.training.dual.lesions import Reading

    model, loss, count = llama(), Reading.loss, iter(range(99))

    def stopped(self, *blocks):
        if next(count) == 3:
            raise KeyboardInterrupt
        return loss(self, *blocks)

    monkeypatch.setattr(Reading, "loss", stopped)
    found = lab.lesion_losses(model, IDS, progress=False)
    assert np.isfinite(found.single).tolist() == [True, True, False, False]
    assert plain_loss(model) == plain_loss(llama())


def test_embeddings_that_are_scaled_are_not_read_twice():
    with pytest.raises(lab.models.errors.ModelError, match="changes its embeddings"):
        lab.lesion_losses(llama("Granite", embedding_multiplier=12.0), IDS, progress=False)


def test_the_recipe_measures_what_the_function_does(tmp_path):
    from ensemble_lab.training.dual.lesions import Reading

    model, file = llama(), tmp_path / "part.json"
    true = lab.lesion_losses(model, IDS, "all", progress=False).losses
    assert np.allclose(record_lesions.losses_of(Reading(model, IDS), file), true, atol=1e-4)
    reading = Reading(model, IDS)
    reading.loss = None  # all is in the file
    assert np.allclose(record_lesions.losses_of(reading, file), true, atol=1e-4)


def test_the_recorded_losses_are_those_of_their_text():
    found = lab.load_lesions()
    assert found.losses.shape == (30, 30) and np.isfinite(found.losses).all()
    assert np.array_equal(found.losses, found.losses.T) and found.text == record_lesions.TEXT
    assert (found.single > found.whole).all()
    assert found.single.argmax() == 0 and 0.1 < found.single[15] - found.whole < 0.2
