"""Weights in 4 and 8 bits: the file's own codes, products, loading, and what is refused."""

import copy
import sys

import gguf
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ensemble_lab as lab
from ensemble_lab.models import bits as module
from ensemble_lab.models.bits import FewBitLinear, FewBits, few_bit_product, packed
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.products import FusedLayer, Products, fused_trunk, is_fusible
from ensemble_lab.models.weights.few_bits import Codes, decoded, rounded
from tests.models.test_gguf_files import IDS, logits, network, write
from tests.support.tiny_llama import CHAT_TEMPLATE, make_tokenizer, save_tiny_llama

KINDS = {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(CHAT_TEMPLATE)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture
def no_small_models(monkeypatch):
    """Models of a few thousand numbers are large enough here."""
    monkeypatch.setattr(module, "WORTH", 0)


def matrix(rows, width, seed=0, scale=0.05):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * scale


def codes_of(weight, kind):
    """A matrix in a file's format, by gguf's own code."""
    stored = gguf.GGMLQuantizationType[kind]
    data = gguf.quantize(weight.numpy(), stored)
    return decoded(data, kind), torch.from_numpy(gguf.dequantize(data, stored))


# Codes


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_what_gguf_reads(kind):
    codes, expected = codes_of(matrix(48, 96), kind)
    assert codes.bits == KINDS[kind] and codes.codes.dtype == torch.int8
    half = 1 << (codes.bits - 1)
    assert -half <= int(codes.codes.min()) and int(codes.codes.max()) < half
    assert torch.equal(codes.weights(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_block_is_refused(kind):
    data = gguf.quantize(matrix(4, 64).numpy(), gguf.GGMLQuantizationType[kind])
    with pytest.raises(ModelError, match=f"no whole number of {kind} blocks"):
        decoded(data[:, :-1], kind)


def test_rounding_to_8_bits_by_hand():
    row = torch.zeros(1, 64)
    row[0, :3] = torch.tensor([127.0, -64.0, 0.4])
    found = rounded(row)
    assert found.scale.tolist() == [[1.0, 0.0]]  # the second group is all zeros
    assert found.codes[0, :4].tolist() == [127, -64, 0, 0]
    assert found.weights()[0, :3].tolist() == [127.0, -64.0, 0.0]


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000), st.floats(1e-6, 1e4))
def test_rounding_to_8_bits_is_off_by_half_a_step(rows, groups, seed, size):
    weight = matrix(rows, 32 * groups, seed, size)
    found = rounded(weight)
    step = found.scale.repeat_interleave(32, 1)
    # The scale is a bfloat16, so the largest code may be a little above or below 127.
    assert ((found.weights() - weight).abs() <= step * 0.51 + 1e-30).all()


# Products


def exact(x, weight):
    return x.double() @ weight.double().T


def error(found, x, weight):
    """Norm of the error over the norm of the exact product."""
    true = exact(x, weight)
    return ((found.double() - true).norm() / true.norm()).item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "width"), [(64, 64), (192, 576), (300, 96), (16, 1536)])
@torch.inference_mode()
def test_a_product_is_as_exact_as_with_bfloat16_weights(kind, rows, width):
    codes, weight = codes_of(matrix(rows, width), kind)
    x = matrix(5, width, 1, 1.0).bfloat16()
    found = few_bit_product(x, *packed([codes]), codes.bits, rows)
    assert found.shape == (5, rows)
    assert error(found, x, weight) < 1.5 * error(x @ weight.bfloat16().T, x, weight)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_row_alone_and_among_others_is_the_same(kind):
    codes, _ = codes_of(matrix(320, 576), kind)
    kernel = (*packed([codes]), codes.bits, 320)
    x = matrix(16, 576, 1, 1.0).bfloat16()
    whole = few_bit_product(x, *kernel)
    for many in range(1, 17):
        for start in (0, 16 - many):
            part = few_bit_product(x[start : start + many], *kernel)
            assert torch.equal(part, whole[start : start + many])


@torch.inference_mode()
def test_several_layers_are_their_products_side_by_side():
    linears = [nn.Linear(64, n, bias=n == 48, dtype=torch.bfloat16) for n in (64, 48, 20)]
    codes = [rounded(one.weight) for one in linears]
    x = matrix(3, 64, 1, 1.0).bfloat16().view(3, 1, 64)
    found = FewBits(linears, codes)(x)
    alone = [
        few_bit_product(x, *packed([c]), 8, one.out_features) for one, c in zip(linears, codes)
    ]
    alone[1] = alone[1] + linears[1].bias
    assert found.shape == (3, 1, 132) and torch.equal(found, torch.cat(alone, -1))


def test_where_the_model_computes_with_its_own_weights():
    linear = nn.Linear(64, 32, bias=False, dtype=torch.bfloat16)
    few = FewBits([linear], [rounded(linear.weight)])
    x = matrix(17, 64, 1, 1.0).bfloat16()
    with torch.inference_mode():
        assert torch.equal(few(x), linear(x))  # more than 16 rows
        assert not torch.equal(few(x[:16]), linear(x[:16]))
        assert few(x[:0]).shape == (0, 32)
        assert torch.equal(few(x[:1].float().bfloat16()), few(x[:16])[:1])
    few(x[:1]).sum().backward()  # gradients reach the weights
    assert linear.weight.grad is not None


# Fused layers


def own_layers(model, ids, positions=None):
    """Llama and Qwen2 in float64 as their papers write them, without a cache."""
    trunk, config = model.model, model.config

    def norm(x, weight):
        return x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weight.weight

    x = trunk.embed_tokens(ids)
    rows, k = ids.shape
    size = config.hidden_size // config.num_attention_heads
    angle = torch.arange(k).double()[:, None] * trunk.rotary_emb.inv_freq.double()
    turn = torch.polar(torch.ones_like(angle), angle)

    def turned(heads):
        pairs = torch.complex(heads[..., : size // 2], heads[..., size // 2 :]) * turn
        return torch.cat([pairs.real, pairs.imag], -1)

    for layer in trunk.layers:
        a, h = layer.self_attn, norm(x, layer.input_layernorm)
        q, key, value = (
            p(h).view(rows, k, -1, size).transpose(1, 2) for p in (a.q_proj, a.k_proj, a.v_proj)
        )
        many = q.shape[1] // key.shape[1]
        key, value = turned(key).repeat_interleave(many, 1), value.repeat_interleave(many, 1)
        weight = turned(q) @ key.transpose(-1, -2) / size**0.5
        weight = weight.masked_fill(torch.ones(k, k).triu(1).bool(), -torch.inf).softmax(-1)
        x = x + a.o_proj((weight @ value).transpose(1, 2).flatten(-2))
        h, mlp = norm(x, layer.post_attention_layernorm), layer.mlp
        x = x + mlp.down_proj(nn.functional.silu(mlp.gate_proj(h)) * mlp.up_proj(h))
    return x


def fused_twin(model):
    twin, trunk = copy.copy(model), copy.copy(model.model)
    trunk._modules = fused_trunk(model.model, Products)
    trunk._modules["norm"] = nn.Identity()
    twin._modules = {**model._modules, "model": trunk}
    return twin


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
@pytest.mark.parametrize("heads", [1, 2, 4])
@torch.inference_mode()
def test_fused_layers_are_the_papers(kind, heads):
    model = network(kind, num_key_value_heads=heads).double()
    assert is_fusible(model)
    ids = torch.randint(0, 300, (2, 11), generator=torch.Generator().manual_seed(0))
    twin = fused_twin(model)
    expected = own_layers(model, ids)
    whole = twin.model(ids).last_hidden_state
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-4)  # positions are float32
    begun = twin.model(ids[:, :5], use_cache=True)
    for k in (1, 3, 2):  # one token without a mask, several with one
        start = begun.past_key_values.get_seq_length()
        begun = twin.model(ids[:, start : start + k], past_key_values=begun.past_key_values)
        torch.testing.assert_close(begun.last_hidden_state, whole[:, start : start + k])


@torch.inference_mode()
def test_fused_rows_of_different_length():
    model = network().double()
    twin, ids = fused_twin(model), torch.arange(24).view(2, 12)
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, :4] = 0  # the second row begins later
    found = twin.model(ids, attention_mask=mask, position_ids=mask.cumsum(-1).sub(1).clamp(min=0))
    alone = twin.model(ids[1:, 4:]).last_hidden_state
    torch.testing.assert_close(found.last_hidden_state[1:, 4:], alone)


def test_what_is_not_fused():
    model = network()
    assert is_fusible(model)
    model.model.layers[1].self_attn.q_proj.register_forward_hook(lambda *_: None)
    assert not is_fusible(model)  # somebody listens
    model = network()
    model.model.layers[0].mlp.up_proj = nn.Sequential(nn.Linear(64, 96))
    assert not is_fusible(model)
    assert not is_fusible(network(hidden_act="gelu"))
    assert not is_fusible(nn.Linear(2, 2))


# Loading


@pytest.mark.parametrize("arch", ["Llama", "Qwen2"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_at_its_own_bits(arch, kind, tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / f"model-{kind}.gguf", network(arch), tokenizer, kind)
    model = lab.load(path, "cpu")
    assert model.bits == KINDS[kind] and f"bits={model.bits}" in repr(model)
    assert model.weights.endswith(f"{kind[1]}-bit GGUF ({kind}), in its own bits")
    assert all(isinstance(layer, FusedLayer) for layer in model.model.model.layers)
    assert isinstance(model.model.lm_head, FewBitLinear)
    assert isinstance(model.model.model.layers[0].down, FewBits)
    with torch.inference_mode():
        found = model.model(IDS).logits.double()
    true = logits(network(arch), kind).double()
    own = lab.load(path, "cpu", "bfloat16")
    with torch.inference_mode():
        plain = own.model(IDS).logits.double()
    assert own.bits is None and own.weights.endswith("dequantised")
    assert (found - true).norm() < 1.5 * (plain - true).norm()
    assert lab.load(path, "cpu", bits=KINDS[kind]).bits == KINDS[kind]


def test_tied_embeddings_and_a_head_of_its_own(tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "tied.gguf", network(tie_word_embeddings=True), tokenizer, "Q8_0")
    model = lab.load(path, "cpu").model
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert isinstance(model.lm_head, FewBitLinear)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q5_1"])
def test_other_formats_are_dequantised_or_rounded_to_8(kind, tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, kind)
    assert lab.load(path, "cpu").bits is None
    model = lab.load(path, "cpu", bits=8)
    assert model.bits == 8 and model.weights.endswith(", rounded to 8 bits")
    with pytest.raises(ModelError, match=f"bits=4 is for a GGUF in Q4_0 or Q4_1.*{kind}|not in 4"):
        lab.load(path, "cpu", bits=4)


def test_any_model_in_8_bits(tmp_path, no_small_models):
    model = lab.load(save_tiny_llama(tmp_path / "m"), "cpu", bits=8, max_new_tokens=8)
    assert model.bits == 8 and model.weights.endswith("rounded to 8 bits")
    assert model("the small model").text == model("the small model").text
    plain = lab.load(tmp_path / "m", "cpu", "float32")
    ids = torch.arange(12)[None]
    with torch.inference_mode():
        p, q = (m.model(ids).logits.float().softmax(-1) for m in (plain, model))
    assert 0 < (p - q).abs().sum(-1).max() / 2 < 0.1


@pytest.mark.parametrize("draft", [None, "lookup", "early-exit:1"])
def test_decoding_in_few_bits(draft, tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_1")
    model = lab.load(path, "cpu")
    ids = [0, 5, 9, 77, 30, 31, 8, 9, 77]
    made = lab.decode(model, ids, draft, gamma=3 if draft else None, max_new_tokens=12)
    text, k = list(made.tokens), len(ids)
    with torch.inference_mode():  # every token is the likeliest, or nearly, one step at a time
        for place in range(len(text)):
            row = model.model(torch.tensor([[*ids, *text[:place]]])[:, -16:]).logits[0, -1].float()
            if k + place <= 16:
                assert row.max() - row[text[place]] < 0.1 * row.abs().max()


def test_a_compiled_target_in_few_bits_writes_the_same(tokenizer, tmp_path, no_small_models):
    if sys.platform != "linux":
        pytest.skip("needs a C++ compiler")
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_1")
    model = lab.load(path, "cpu")
    made = [
        lab.decode(model, [0, 5, 9, 77], "lookup", gamma=2, max_new_tokens=6, compiled=one)
        for one in (False, True)
    ]
    assert made[0].tokens[0] == made[1].tokens[0] and len(made[1].tokens) == 6


# Refused


@pytest.mark.parametrize("bits", [0, 3, 16, 4.5, True, "4", -4, float("nan")])
def test_bits_that_do_not_exist(bits, tmp_path):
    with pytest.raises(ValueError, match=r"it takes 4 .* or 8"):
        lab.load("tiny", bits=bits)


@pytest.mark.parametrize("dtype", ["float32", torch.float64, "float16"])
def test_bits_with_another_number_format(dtype):
    with pytest.raises(ValueError, match="bits=8 computes in bfloat16, not in"):
        lab.load("tiny", dtype=dtype, bits=8)


def test_bits_on_another_device():
    with pytest.raises(ValueError, match="no device 'cuda'|is for a CPU"):
        lab.load("tiny", "cuda", bits=8)


def test_bits_of_what_has_none():
    from sklearn.linear_model import LogisticRegression

    for source in (LogisticRegression(), nn.Linear(2, 2), "openai:http://127.0.0.1:1/v1#m"):
        with pytest.raises(ModelError, match="bits=4 is for a language model here"):
            lab.load(source, bits=4)


def test_four_bits_of_weights_that_are_not():
    with pytest.raises(ModelError, match=r"bits=4 is for a GGUF .* are not in 4 bits: use bits=8"):
        lab.load("tiny", bits=4)


def test_eight_bits_of_four(tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_0")
    with pytest.raises(ModelError, match="are in Q4_0: use bits=4, or leave it out"):
        lab.load(path, bits=8)


def test_a_width_that_is_no_multiple_of_32(tmp_path, no_small_models):
    folder = tmp_path / "m"
    network(hidden_size=48, intermediate_size=80).save_pretrained(folder)
    make_tokenizer(CHAT_TEMPLATE).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"layers\.0\.self_attn\.q_proj has rows of 48"):
        lab.load(folder, "cpu", bits=8)


def test_a_small_model_is_said_to_gain_nothing(tokenizer, tmp_path):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_0")
    assert lab.load(path, "cpu").bits is None
    with pytest.warns(UserWarning, match="so small that bits=4 makes it less exact, not quicker"):
        assert lab.load(path, "cpu", bits=4).bits == 4


def test_a_machine_without_the_kernel(monkeypatch, tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_0")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.warns(UserWarning, match=r"bits=4 is left out, and bfloat16 used: .*\(DEFAULT\)"):
        model = lab.load(path, "cpu", bits=4)
    assert model.bits is None and model.weights.endswith("dequantised")
    assert lab.load(path, "cpu").bits is None  # nothing was asked for, nothing is said


def test_a_cut_off_file(tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_1")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match="damaged or cut off"):
        lab.load(path, bits=4)


def test_codes_that_are_not_the_weights(monkeypatch, tokenizer, tmp_path, cache, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_1")
    right = Codes.rows
    monkeypatch.setattr(Codes, "rows", lambda self, order: right(self, order.flip(0)))
    with pytest.raises(ModelError, match=r"codes of '.*q_proj' are not its dequantised weights"):
        lab.load(path, bits=4)
    assert len(list(cache.iterdir())) == 1  # no half folder stays


def test_no_room_on_the_disk(monkeypatch, tokenizer, tmp_path, no_small_models):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_1")
    lab.load(path, "cpu", "float32")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("ensemble_lab.models.weights.gguf_file.shutil.disk_usage", lambda _: usage)
    with pytest.raises(NotEnoughMemory, match=r"on the disk of"):
        lab.load(path, bits=4)


def test_all_codes_of_8_bits_and_pieces_of_a_matrix(monkeypatch):
    monkeypatch.setattr(module, "PIECE", 64)
    every = torch.arange(-128, 128).repeat(16).view(128, 32).to(torch.int8)
    codes = Codes(8, every, torch.ones(128, 1), torch.zeros(128, 1))
    x = torch.eye(32, dtype=torch.bfloat16)[:16]
    with torch.inference_mode():
        found = few_bit_product(x, *packed([codes]), 8, 128)
    assert torch.equal(found, every[:, :16].T.bfloat16())
