"""Narrower transformers: against plain loops, the full model, slices of slices, and in training."""

from __future__ import annotations

import math

import pytest

import ensemble_lab as lab

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.func import functional_call  # noqa: E402
from torch.nn.functional import cross_entropy, silu  # noqa: E402

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
SIZES = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
SIZES |= {"initializer_range": 0.5, "bos_token_id": None, "eos_token_id": None}


def llama(**settings):
    return filled(transformers.LlamaForCausalLM, transformers.LlamaConfig(**SIZES | settings))


def qwen(**settings):
    return filled(transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**SIZES | settings))


def filled(kind, config):
    """A model in which no weight is special: norms are not 1, and biases not 0."""
    model, generator = kind(config).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
    return model


KINDS = {
    "llama": llama,
    "qwen2": qwen,
    "biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "tied": lambda: llama(tie_word_embeddings=True),
    "wide heads": lambda: qwen(head_dim=6),
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def logits(model, weights=None):
    return functional_call(model, weights or {}, kwargs={"input_ids": IDS}).logits


# -- what is computed ---------------------------------------------------------------------------


def by_loops(model, heads, units):
    """Logits (n, vocab) of a model of one layer: head by head, token by token, unit by unit."""
    layer, x = model.model.layers[0], model.model.embed_tokens.weight[IDS[0]]
    attention, mlp = layer.self_attn, layer.mlp
    d, group = attention.head_dim, attention.num_key_value_groups

    def normed(rows, norm):
        return torch.stack([norm.weight * r / math.sqrt((r * r).mean() + 1e-6) for r in rows])

    def project(linear, rows, head):
        out = rows @ linear.weight[head * d : (head + 1) * d].T
        return out if linear.bias is None else out + linear.bias[head * d : (head + 1) * d]

    def turned(rows):
        """Each pair of numbers i and i + d / 2 is turned by position / 10000^(2 i / d)."""
        out = rows.clone()
        for at, row in enumerate(rows):
            for i in range(d // 2):
                angle = at / 10000 ** (2 * i / d)
                a, b = row[i], row[i + d // 2]
                out[at, i] = a * math.cos(angle) - b * math.sin(angle)
                out[at, i + d // 2] = b * math.cos(angle) + a * math.sin(angle)
        return out

    rows, found = normed(x, layer.input_layernorm), x.clone()
    for head in range(heads):
        q = turned(project(attention.q_proj, rows, head))
        k = turned(project(attention.k_proj, rows, head // group))
        v = project(attention.v_proj, rows, head // group)
        for at in range(len(x)):
            share = torch.stack([q[at] @ k[t] / math.sqrt(d) for t in range(at + 1)]).softmax(0)
            seen = sum(share[t] * v[t] for t in range(at + 1))
            found[at] += attention.o_proj.weight[:, head * d : (head + 1) * d] @ seen
    rows = normed(found, layer.post_attention_layernorm)
    for unit in range(units):
        active = silu(rows @ mlp.gate_proj.weight[unit]) * (rows @ mlp.up_proj.weight[unit])
        found = found + active[:, None] * mlp.down_proj.weight[:, unit]
    return normed(found, model.model.norm) @ model.lm_head.weight.T


@pytest.mark.parametrize("make", [llama, qwen])
@pytest.mark.parametrize(("heads", "units"), [(2, 5), (4, 1), (2, 12), (4, 12)])
def test_first_heads_and_units_by_plain_loops(make, heads, units):
    model = make(num_hidden_layers=1, rms_norm_eps=1e-6).double()
    with torch.no_grad():
        expected = by_loops(model, heads, units)
        for found in (
            logits(lab.narrowed(model, heads, units)),
            logits(model, lab.narrowed_weights(model, heads, units)),
        ):
            assert torch.allclose(found[0], expected, atol=1e-4, rtol=1e-4)
    assert (heads, units) == (4, 12) or not torch.allclose(expected, logits(model)[0], atol=0.01)


@kinds
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_full_width_is_the_model_bit_for_bit(make, dtype):
    model = make().to(dtype)
    for full in ({}, {"heads": 4, "units": 12}, {"heads": 1.0, "units": [1.0, 12]}):
        assert torch.equal(logits(lab.narrowed(model, **full)), logits(model))
        assert torch.equal(logits(model, lab.narrowed_weights(model, **full)), logits(model))


@kinds
def test_a_slice_of_a_slice_is_the_slice(make):
    model = make(num_attention_heads=8, hidden_size=16) if make in (llama, qwen) else make()
    all_ = model.config.num_attention_heads
    once = lab.narrowed(model, all_ // 2, 3)
    twice = lab.narrowed(lab.narrowed(model, all_, 6), 0.5, 0.5)
    assert torch.equal(logits(once), logits(twice))
    weights = lab.narrowed_weights(lab.narrowed(model, 1.0, 6), 0.5, 0.5)
    assert weights.keys() == dict(once.named_parameters()).keys()
    for name, value in lab.narrowed_weights(model, all_ // 2, 3).items():
        assert torch.equal(value, once.get_parameter(name)) and torch.equal(value, weights[name])


@kinds
def test_a_narrowed_model_is_one_of_its_own(make, tmp_path):
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = lab.narrowed(model, 0.5, 0.25)
    assert type(small) is type(model) and small.config is small.model.config
    assert (small.config.num_attention_heads, small.config.num_key_value_heads) == (2, 1)
    assert (small.config.intermediate_size, model.config.intermediate_size) == (3, 12)
    tied = small.lm_head.weight is small.model.embed_tokens.weight
    assert tied == model.config.tie_word_embeddings
    assert small.model.layers[0].mlp.down_proj.in_features == 3
    small.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(logits(again), logits(small))
    step = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    written = small.generate(IDS, **step)
    assert torch.equal(written, small.generate(IDS, **step, use_cache=False))
    with torch.no_grad():
        for value in small.parameters():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_weights_stay_frozen_and_modes_stay():
    model = llama().train()
    model.lm_head.weight.requires_grad_(False)
    small = lab.narrowed(model, 2)
    assert small.training and not small.lm_head.weight.requires_grad
    assert small.model.layers[0].self_attn.o_proj.weight.requires_grad


# -- shared weights -----------------------------------------------------------------------------


@kinds
def test_weights_are_views_and_gradients_outside_are_zero(make):
    model = make()
    weights = lab.narrowed_weights(model, [2, 4], [3, 0.5])
    inside = dict(model.named_parameters())
    assert weights.keys() == inside.keys()
    assert all(value.data_ptr() == inside[name].data_ptr() for name, value in weights.items())
    cross_entropy(logits(model, weights)[0, :-1], IDS[0, 1:]).backward()
    cut = 0
    for name, value in inside.items():
        outside = torch.ones(value.shape, dtype=bool)
        outside[tuple(slice(size) for size in weights[name].shape)] = False
        assert not value.grad[outside].any() and value.grad[~outside].any(), name
        cut += bool(outside.any())
    biases = 3 * ("model.layers.0.self_attn.q_proj.bias" in inside)
    biases += 4 * ("model.layers.0.mlp.up_proj.bias" in inside)  # of both layers
    assert cut == 4 + 3 + 3 + biases


def test_layers_may_differ():
    """Mix and match: what one layer loses is what zeros in its place would lose."""
    model = llama().double()
    mixed = logits(model, lab.narrowed_weights(model, [4, 2], [5, 12]))
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight[:, 4:] = 0  # 2 of 4 heads, of 2 numbers each
        model.model.layers[0].mlp.down_proj.weight[:, 5:] = 0
    assert torch.allclose(mixed, logits(model), atol=1e-6)


def test_two_widths_learn_together_in_one_set_of_weights():
    """The shape of `tiny`, thinner; texts in which a token tells the next but one."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.02}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES | sizes))
    start = torch.randint(16, (64, 2))
    texts = torch.stack([(start[:, t % 2] + 3 * (t // 2)) % 16 for t in range(12)], dim=1)
    widths = {"half": (2, 0.5), "whole": (4, 1.0)}

    def losses():
        found = {}
        for name, (heads, units) in widths.items():
            weights = lab.narrowed_weights(model, heads, units)
            said = functional_call(model, weights, kwargs={"input_ids": texts}).logits
            found[name] = cross_entropy(said[:, 1:-1].flatten(0, 1), texts[:, 2:].flatten())
        return found

    before = {name: loss.item() for name, loss in losses().items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        sum(losses().values()).backward()
        optimiser.step()
    for name, loss in losses().items():
        assert loss < 0.5 * before[name], name


def test_tiny_is_narrowed():
    pytest.importorskip("safetensors")
    model = lab.load("tiny", dtype="float32").model
    small = lab.narrowed(model, heads=0.5, units=0.5)
    assert torch.equal(logits(lab.narrowed(model)), logits(model))
    assert torch.allclose(
        logits(small), logits(model, lab.narrowed_weights(model, 2, 172)), atol=1e-4
    )
    cut = 4 * (128 * 128 * 4 + 3 * 344 * 128) // 2  # half of the weights of four layers
    assert small.num_parameters() == model.num_parameters() - cut


# -- what is refused ----------------------------------------------------------------------------

REFUSED = {
    "no heads": ({"heads": 0}, r"heads=0: give a whole number from 1 to 4, or a share"),
    "too many": ({"heads": 6}, r"heads=6: give a whole number from 1 to 4"),
    "below": ({"units": -1}, r"units=-1: give a whole number from 1 to 12"),
    "more than all": ({"units": 1.5}, r"units=1\.5: .* share above 0 up to 1\.0"),
    "nan": ({"units": math.nan}, r"units=nan: "),
    "none left": ({"units": 0.01}, r"units=0\.01 of 12 units is 0\.12: give a multiple of 1/12"),
    "a fraction": ({"units": 0.3}, r"units=0\.3 of 12 units is 3\.6: give a multiple of 1/12"),
    "a group": ({"heads": 3}, r"heads=3 is 3 of 4, but 2 share each key/value head: .* of 2"),
    "a share of one": ({"heads": 0.25}, r"heads=0\.25 is 1 of 4, but 2 share .* multiple of 2"),
    "another length": ({"heads": [2, 2, 2]}, r"heads=\[2, 2, 2\] has 3 numbers for 2 layers"),
    "one in a list": ({"units": [6, 13]}, r"units=13: give a whole number from 1 to 12"),
    "no number": ({"units": "6"}, r"units='6': give a whole number"),
    "true": ({"heads": True}, r"heads=True: give a whole number"),
}


@pytest.mark.parametrize(("widths", "words"), REFUSED.values(), ids=REFUSED)
def test_bad_widths_are_refused(widths, words):
    for function in (lab.narrowed, lab.narrowed_weights):
        with pytest.raises(ValueError, match=words):
            function(llama(), **widths)


def test_a_model_of_its_own_has_one_width_that_can_be_read_again():
    with pytest.raises(ValueError, match=r"heads=\[2, 4\].*one width.*mix with narrowed_weights"):
        lab.narrowed(llama(), [2, 4])
    assert lab.narrowed(llama(), [2, 0.5]).config.num_attention_heads == 2
    three = llama(num_key_value_heads=4)
    with pytest.raises(ValueError, match=r"heads=3 keeps 3 heads, .* hidden size 8: .*_weights"):
        lab.narrowed(three, 3)
    assert logits(three, lab.narrowed_weights(three, 3)).shape == (1, 8, 16)


def test_other_models_are_refused():
    gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2))
    adapted = llama()
    adapted.model.layers[1].mlp.up_proj = torch.nn.Sequential(torch.nn.Linear(8, 12))
    for model, words in (
        (gpt, r"model is a GPT2LMHeadModel: give a LlamaForCausalLM or a Qwen2ForCausalLM"),
        (llama().model, r"model is a LlamaModel: give"),
        (None, r"model is a NoneType: give .*load\('tiny'\)\.model"),
        (adapted, r"mlp\.up_proj of layer 1 is a Sequential: narrow the model before"),
    ):
        for function in (lab.narrowed, lab.narrowed_weights):
            with pytest.raises(ValueError, match=words):
                function(model, 2)
