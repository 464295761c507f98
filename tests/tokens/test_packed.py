"""Weights in blocks: the same products, never those of weights that have changed."""

import copy
import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from ensemble_lab.models.products import FusedLayer
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.reading import compiled
from ensemble_lab.tokens.reading import packed as module
from ensemble_lab.tokens.reading.packed import Packed, PackedLinear, is_packable, packed
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At
from tests.support.compiling import BACKENDS
from tests.support.toy_lm import language_model, network

LOOSE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
SHAPE = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
         "num_attention_heads", "num_key_value_heads", "max_position_embeddings")  # fmt: skip
sizes = st.integers(1, 70)


def layers(net):
    return [layer for layer in net.modules() if isinstance(layer, PackedLinear)]


@settings(deadline=None)
@given(sizes, sizes, sizes, st.booleans(), st.sampled_from(list(LOOSE)), st.integers(0, 99))
def test_a_packed_layer_gives_the_products_of_its_weights(k, inputs, outputs, bias, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inputs, outputs, bias=bias, dtype=dtype)
    x = torch.randn(2, k, inputs, generator=generator).to(dtype)
    with torch.inference_mode():
        found, expected = packed(layer)(x), layer(x)
    assert isinstance(packed(layer), PackedLinear)
    assert found.shape == expected.shape and found.dtype == dtype
    scale = expected.abs().max().item() + 1
    torch.testing.assert_close(found, expected, rtol=0, atol=LOOSE[dtype] * scale)


def test_the_model_itself_stays_as_it_is():
    net = network(0).float()
    before = copy.deepcopy(net.state_dict())
    twin = packed(net)
    assert len(layers(twin)) == 1 and not layers(net)  # its head; the layers are fused
    assert all(isinstance(layer.gate_up, Packed) for layer in twin.model.layers)
    assert not any(isinstance(layer, FusedLayer) for layer in net.modules())
    assert type(twin) is type(net) and twin.config is net.config
    assert all(torch.equal(there, before[name]) for name, there in net.state_dict().items())
    assert all(mine is theirs for mine, theirs in zip(twin.parameters(), net.parameters()))


def test_it_is_packed_once():
    net = network(0).float()
    assert packed(net) is packed(net)


@pytest.mark.parametrize("way", ["optimizer", "load_state_dict", "replaced"])
def test_changed_weights_are_packed_again(way):
    net, other = network(0).float(), network(1).float()
    target = language_model(net)
    old = decode(target, [1, 2, 3], max_new_tokens=16).tokens
    if way == "load_state_dict":
        net.load_state_dict(other.state_dict())
    elif way == "replaced":
        for mine, theirs in zip(net.modules(), other.modules(), strict=True):
            if hasattr(mine, "weight"):
                mine.weight = theirs.weight
    else:
        for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
            mine.grad = mine.detach() - theirs.detach()
        torch.optim.SGD(net.parameters(), lr=1.0).step()
    new = decode(target, [1, 2, 3], max_new_tokens=16).tokens
    assert new != old
    assert new == decode(language_model(other), [1, 2, 3], max_new_tokens=16).tokens


def test_changed_norms_are_packed_again():
    net = network(0).float()
    target = language_model(net)
    before = packed(net)
    net.model.layers[0].input_layernorm.weight.data.mul_(-1)  # which PyTorch does not count
    assert packed(net) is not before
    tokens, start = torch.tensor([[1, 2, 3, 4]]), torch.tensor([0])
    with torch.inference_mode():
        found = Reader(packed(target.model), 1, 8).read(tokens, At(start, 0, 0))
        torch.testing.assert_close(found, net(tokens).logits, rtol=1e-4, atol=1e-4)


def test_layers_that_somebody_listens_to_are_not_fused():
    net, seen = network(0).float(), []
    packed(net)
    net.model.layers[0].mlp.down_proj.register_forward_hook(lambda *told: seen.append(told))
    twin = packed(net)
    assert len(layers(twin)) == 2 * 7 + 1
    decode(language_model(net), [1, 2, 3], max_new_tokens=2)
    assert seen


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_logits_are_those_of_the_model(kind):
    net = network(3).float()
    if kind == "Qwen2":  # its queries, keys and values have biases
        net = Qwen2ForCausalLM(Qwen2Config(**{n: getattr(net.config, n) for n in SHAPE})).eval()
        for layer in net.model.layers:
            torch.nn.init.normal_(layer.self_attn.k_proj.bias)
    tokens, start = torch.tensor([[1, 2, 3, 4]]), torch.tensor([0])
    with torch.inference_mode():
        found = Reader(packed(net), 1, 8).read(tokens, At(start, 0, 0))
        torch.testing.assert_close(found, net(tokens).logits, rtol=1e-4, atol=1e-4)


def test_what_onednn_does_not_take_is_left_alone():
    net = network(0).double()
    assert packed(net) is net
    assert not is_packable(nn.Linear(2, 2, device="meta"))
    assert not is_packable(nn.LayerNorm(2))
    with torch.inference_mode():
        assert not is_packable(nn.Linear(2, 2))  # its changes are not counted


def test_a_subclass_with_a_product_of_its_own_keeps_it():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert not is_packable(Doubled(2, 2))


def test_hooks_are_still_called():
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_hook(lambda *told: seen.append(told))
    packed(layer)(torch.ones(1, 2))
    assert len(seen) == 1


def test_without_room_for_a_copy_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: 1000)
    net = network(0).float()
    assert packed(net) is net


def test_the_copy_goes_with_its_model():
    net = network(0).float()
    copied = weakref.ref(layers(packed(net))[0].blocks)
    del net
    gc.collect()
    assert copied() is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_compiles(backend, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", backend)
    target = language_model(network(0, 3).float())
    eager = decode(target, [1, 2, 3], max_new_tokens=12)
    assert decode(target, [1, 2, 3], max_new_tokens=12, compiled=True).tokens == eager.tokens
