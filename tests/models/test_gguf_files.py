"""GGUF files of one's own: written here with llama.cpp's layout, read back with the same logits."""

import json
import os
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers

import ensemble_lab as lab
from ensemble_lab.core.missing import MissingPackage
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.weights import gguf_file
from tests.support.tiny_llama import CHAT_TEMPLATE, make_tokenizer, save_tiny_llama

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
IDS = torch.tensor([[0, 5, 9, 77, 30, 31, 8]])
PROMPT = "the small model answers"


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(CHAT_TEMPLATE)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


def network(kind="Llama", **settings):
    settings = {
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "initializer_range": 0.3, "rms_norm_eps": 1e-5, **settings,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForCausalLM")(
            getattr(transformers, f"{kind}Config")(**settings)
        )
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:  # else they are zeros and ones
                torch.nn.init.normal_(weight, mean=float("norm" in name), std=0.2)
    return model.eval()


def permuted(weight, heads):
    """Rows of a projection as llama.cpp keeps them: pairs that are turned stand side by side."""
    half = weight.shape[0] // heads // 2
    shape = (heads, 2, half, *weight.shape[1:])
    return weight.reshape(shape).swapaxes(1, 2).reshape(weight.shape)


def named(name):
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name.replace("model.layers.", "blk.")


def write(path, model, tokenizer, kind="F32", drop=(), more=(), endian=None, **changes):
    """A GGUF as llama.cpp's converter writes it; `changes` are metadata, None leaves one out."""
    config = model.config
    arch = changes.pop("arch", config.model_type)
    path.parent.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(path, arch, **({"endianess": endian} if endian else {}))
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    values = {
        f"{arch}.context_length": config.max_position_embeddings,
        f"{arch}.block_count": config.num_hidden_layers,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.feed_forward_length": config.intermediate_size,
        f"{arch}.attention.head_count": config.num_attention_heads,
        f"{arch}.attention.head_count_kv": config.num_key_value_heads,
        f"{arch}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{arch}.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        f"{arch}.rope.dimension_count": config.hidden_size // config.num_attention_heads,
        f"{arch}.vocab_size": config.vocab_size,
    }
    if tokenizer is not None:
        tokens = sorted(vocabulary, key=vocabulary.get)
        tokens += [f"[PAD{i}]" for i in range(len(tokens), config.vocab_size)]
        merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
        special = set(tokenizer.all_special_tokens)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(tokens)
        writer.add_token_types([3 if t in special else 5 if "[PAD" in t else 1 for t in tokens])
        writer.add_token_merges([" ".join(pair) for pair in merges])
        values |= {
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
            "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
            "tokenizer.ggml.add_bos_token": False,
            "tokenizer.chat_template": tokenizer.chat_template,
        }
    for key, value in (values | changes).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif value is not None:
            writer.add_string(key, value)
    stored = gguf.GGMLQuantizationType[kind]
    for name, weight in (*model.state_dict().items(), *more):
        ours = named(name)
        if ours in drop or (ours == "output.weight" and config.tie_word_embeddings):
            continue
        weight = weight.float().numpy()
        if arch == "llama" and (".attn_q." in ours or ".attn_k." in ours):
            heads = config.num_attention_heads if "_q." in ours else config.num_key_value_heads
            weight = permuted(weight, heads)
        if weight.ndim == 2:
            writer.add_tensor(ours, gguf.quantize(weight, stored), raw_dtype=stored)
        else:
            writer.add_tensor(ours, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@torch.inference_mode()
def logits(model, kind="F32"):
    """Of a network whose matrices went through a number format and back."""
    stored = gguf.GGMLQuantizationType[kind]
    for _, weight in model.named_parameters():
        if weight.ndim == 2 and kind != "F32":
            back = gguf.dequantize(gguf.quantize(weight.float().numpy(), stored), stored)
            weight.copy_(torch.from_numpy(back))
    return model(IDS).logits


def test_a_missing_package_is_no_damaged_file(tokenizer, tmp_path, monkeypatch):
    path = write(tmp_path / "model.gguf", network(), tokenizer)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingPackage, match=r"a GGUF file needs gguf.*ensemble-lab\[models\]"):
        lab.load(path)


# Read


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
@pytest.mark.parametrize("arch", ["Llama", "Qwen2"])
def test_logits_are_those_of_the_stored_weights(arch, kind, tokenizer, tmp_path):
    path = write(tmp_path / f"model-{kind.lower()}.gguf", network(arch), tokenizer, kind)
    model = lab.load(path, "cpu", "float32")
    torch.testing.assert_close(
        model.model(IDS).logits, logits(network(arch), kind), rtol=1e-4, atol=1e-4
    )
    label = {"F32": "GGUF in F32", "F16": "GGUF in F16", "BF16": "GGUF in BF16"}
    label = label.get(kind, f"{kind[1]}-bit GGUF ({kind}), dequantised")
    assert model.weights == f"local file {path}, {label}"


@pytest.mark.parametrize(
    "settings",
    [
        {"tie_word_embeddings": True},
        {"num_key_value_heads": 4},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 250.0}},
        {"num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 1},
    ],
    ids=str,
)
def test_other_shapes(settings, tokenizer, tmp_path):
    path = write(tmp_path / "model.gguf", network(**settings), tokenizer)
    found = lab.load(str(path), "cpu", "float32").model(IDS).logits
    torch.testing.assert_close(found, logits(network(**settings)), rtol=1e-4, atol=1e-4)


def test_llama_3_positions(tokenizer, tmp_path):
    rope = {
        "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip
    model = network(rope_parameters=rope)
    plain = 500_000.0 ** -(torch.arange(0, 16, 2) / 16)
    factors = plain / model.model.rotary_emb.inv_freq
    assert factors[0] == 1 and factors[-1] == 8 and ((1 < factors) & (factors < 8)).any()
    more = [("rope_freqs.weight", factors)]
    path = write(tmp_path / "model.gguf", model, tokenizer, more=more)
    loaded = lab.load(path, "cpu", "float32").model
    assert torch.allclose(loaded.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
    torch.testing.assert_close(loaded(IDS).logits, logits(model), rtol=1e-4, atol=1e-4)
    more = [("rope_freqs.weight", factors**0.5)]
    path = write(tmp_path / "odd.gguf", model, tokenizer, more=more)
    with pytest.raises(ModelError, match="stretches its positions in a way"):
        lab.load(path)


def test_the_tokenizer_and_the_ends_are_the_files_own(tokenizer, tmp_path):
    changes = {"tokenizer.ggml.eot_token_id": 9, "tokenizer.ggml.padding_token_id": 4}
    path = write(tmp_path / "model.gguf", network(), tokenizer, **changes)
    model = lab.load(path, "cpu", "float64", max_new_tokens=8)
    for text in (PROMPT, "Zwölf 123\n", "<|im_start|>user"):
        assert model.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert model.ends == [tokenizer.eos_token_id, 9]  # not Llama's 2
    assert model.model.config.bos_token_id == tokenizer.bos_token_id
    said = model.tokenizer.decode(model.encode("the model")["input_ids"][0])
    assert said == "<|im_start|>user\nthe model<|im_end|>\n<|im_start|>assistant\n"
    made = lab.decode(model, PROMPT, model, gamma=2, max_new_tokens=8)
    assert made.tokens == lab.decode(model, PROMPT, max_new_tokens=8).tokens
    assert model(PROMPT).tokens >= 1


def test_a_file_without_a_chat_template_continues_text(tokenizer, tmp_path):
    path = write(tmp_path / "m.gguf", network(), tokenizer, **{"tokenizer.chat_template": None})
    model = lab.load(path, "cpu", "float32")
    assert model.encode(PROMPT)["input_ids"][0].tolist() == tokenizer(PROMPT)["input_ids"]


@pytest.mark.parametrize("form", ["str", "Path", "upper", "folder", "relative", "no suffix"])
def test_ways_to_name_it(form, tokenizer, tmp_path, monkeypatch):
    path = write(tmp_path / "folder" / "model.gguf", network(), tokenizer)
    (path.parent / "README.md").write_text("text")
    (path.parent / "config.json").write_text('{"model_type": "gpt2"}')  # not the file's own
    monkeypatch.chdir(path.parent)
    if form in ("upper", "no suffix"):
        path = path.rename(path.with_name("M.GGUF" if form == "upper" else "sha256-0123"))
    source = {"str": str(path), "folder": path.parent, "relative": path.name}.get(form, path)
    model = lab.load(source, "cpu", "float32")
    shown = path.name if form == "relative" else path
    assert model.weights == f"local file {shown}, GGUF in F32"
    torch.testing.assert_close(model.model(IDS).logits, logits(network()), rtol=1e-4, atol=1e-4)


def test_safetensors_beside_it_come_first(tokenizer, tmp_path):
    folder = save_tiny_llama(tmp_path / "both")
    write(folder / "model.gguf", network(), tokenizer)
    assert lab.load(folder, "cpu").weights == f"local folder {folder}"


# The cache


def test_converted_once_and_again_when_it_changed(tokenizer, tmp_path, cache, monkeypatch):
    path = write(tmp_path / "model.gguf", network(), tokenizer)
    (tmp_path / "again").mkdir()
    first = lab.load(path, "cpu", "float32")
    assert len(list(cache.iterdir())) == 1  # and nothing of the conversion
    copied = shutil.copyfile(path, tmp_path / "again" / "model.gguf")
    with monkeypatch.context() as patch:
        patch.setattr(gguf_file, "dequantise", lambda *_: pytest.fail("converted again"))
        lab.load(path, "cpu", "float32")
        assert lab.load(copied, "cpu", "float32").weights.startswith(f"local file {copied}")
    stat = path.stat()
    other = network()
    with torch.no_grad():
        other.model.norm.weight.mul_(2)
    write(path, other, tokenizer)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size  # only the content tells them apart
    second = lab.load(path, "cpu", "float32")
    torch.testing.assert_close(second.model(IDS).logits, logits(other), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(first.model(IDS).logits, second.model(IDS).logits)


def test_a_conversion_that_breaks_leaves_nothing(tokenizer, tmp_path, cache, monkeypatch):
    path = write(tmp_path / "model.gguf", network(), tokenizer)
    monkeypatch.setattr(gguf_file, "_set_ends", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lab.load(path)
    assert list(cache.iterdir()) == []


def test_a_conversion_that_would_not_fit(tokenizer, tmp_path, monkeypatch):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q8_0")
    monkeypatch.setattr(gguf_file, "available_memory", lambda: 1000)
    with pytest.raises(
        NotEnoughMemory, match=r"dequantising 'model.gguf' takes about 0\.\d MiB of"
    ):
        lab.load(path)


# Refused


def refused(source, message):
    with pytest.raises(ModelError, match=message) as refusal:
        lab.load(source)
    said = str(refusal.value).replace(str(Path(source).parent), "")
    assert len(said) <= 300 and "np." not in said and "\n" not in said, said
    assert "pickle" not in said


BAD = {
    b"": "does not start with GGUF",
    b"GGUF": "cut off after 4 bytes: fetch it again",
    b"GGUF\x03\x00\x00\x00": "damaged or cut off",
    b"GGUF\x03\x00\x00\x00" + b"\xff" * 64: "damaged or cut off",
    b"GGUF\x01\x00\x00\x00" + b"\x00" * 64: "GGUF of version 1; 2 and 3 are read",
    b"GGUF\x09\x00\x00\x00" + b"\x00" * 64: "GGUF of version 9",
    b"GGUF\x00\x00\x00\x03" + b"\x00" * 64: "big-endian",
    b"GGUF\x03\x00\x00\x00" + b"\x00" * 16: "architecture 'unknown'",
    b"tjgg\x03\x00\x00\x00" + b"\x00" * 64: "older than GGUF",
    b"<!DOCTYPE html><html>": "does not start with GGUF",
    b"version https://git-lfs.github.com/spec/v1\noid": "git lfs pull",
}


@pytest.mark.parametrize("content", BAD, ids=lambda content: BAD[content])
def test_what_is_no_gguf(content, tmp_path):
    (tmp_path / "model-q4_0.gguf").write_bytes(content)
    refused(tmp_path / "model-q4_0.gguf", f"'model-q4_0.gguf' .*{BAD[content]}")
    refused(tmp_path, BAD[content])


def test_cut_anywhere(tokenizer, tmp_path):
    path = write(tmp_path / "model.gguf", network(), tokenizer, "Q4_0")
    whole = path.read_bytes()
    for share in (0.001, 0.01, 0.05, 0.3, 0.7, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path, "damaged or cut off|cut off after")


def test_other_architectures_and_kinds(tokenizer, tmp_path):
    path = tmp_path / "model.gguf"
    for arch in ("gemma2", "phi3", "clip"):
        write(path, network(), tokenizer, arch=arch)
        refused(path, f"architecture '{arch}', which is not read yet; known are llama, qwen2")
    write(path, network(), tokenizer, **{"general.type": "adapter"})
    refused(path, r"architecture 'llama \(adapter\)'")
    write(path, network(), None)
    refused(path, "holds no tokenizer")
    write(path, network(), tokenizer, **{"tokenizer.ggml.pre": "falcon"})
    refused(path, "tokenizer of 'model.gguf' is of the kind 'falcon'")
    write(path, network(), tokenizer, endian=gguf.GGUFEndian.BIG)
    refused(path, "big-endian")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"llama.rope.scaling.type": "yarn"}, "setting 'llama.rope.scaling.type'"),
        ({"llama.rope.scale_linear": 2.0}, "setting 'llama.rope.scale_linear'"),
        ({"llama.expert_count": 8}, "setting 'llama.expert_count'"),
        ({"llama.attention.sliding_window": 64}, "setting 'llama.attention.sliding_window'"),
        ({"llama.attention.head_count_kv": [2, 2]}, "setting 'llama.attention.head_count_kv'"),
        (
            {"llama.attention.head_count_kv": None},
            "lacks the setting llama.attention.head_count_kv",
        ),
        ({"llama.rope.dimension_count": 8, "llama.attention.key_length": 16}, "odd width"),
        ({"llama.vocab_size": 301}, "300 rows for 300 tokens|300 rows"),
        ({"drop": ["blk.1.attn_k.weight"]}, "lacks 'blk.1.attn_k.weight'"),
        ({"drop": ["token_embd.weight"]}, "lacks 'token_embd.weight'"),
        ({"more": [("blk.0.attn_q.bias", torch.zeros(64))]}, "'blk.0.attn_q.bias', which a llama"),
        ({"more": [("blk.0.ffn_gate_exps.weight", torch.zeros(64))]}, "ffn_gate_exps"),
        ({"split.count": 3}, "part of a split file"),
    ],
    ids=str,
)
def test_networks_that_would_be_read_as_others(settings, message, tokenizer, tmp_path):
    path = write(tmp_path / "model.gguf", network(), tokenizer, **settings)
    refused(path, message)


def test_harmless_settings_pass(tokenizer, tmp_path):
    changes = {"llama.expert_count": 0, "llama.rope.scaling.type": "none", "general.name": "llama"}
    changes |= {"llama.attention.key_length": 16, "llama.attention.value_length": 16}
    path = write(tmp_path / "model.gguf", network(), tokenizer, **changes)
    found = lab.load(path, "cpu", "float32").model(IDS).logits
    torch.testing.assert_close(found, logits(network()), rtol=1e-4, atol=1e-4)


def test_folders_with_several(tokenizer, tmp_path):
    path = write(tmp_path / "b-q4_0.gguf", network(), tokenizer, "Q4_0")
    shutil.copyfile(path, tmp_path / "a-q8_0.gguf")
    refused(tmp_path, r"holds 2 GGUF files, 'a-q8_0.gguf, b-q4_0.gguf': give the path of one")
    parts = tmp_path / "parts"
    parts.mkdir()
    for i in (1, 2, 3):
        shutil.copyfile(path, parts / f"m-0000{i}-of-00003.gguf")
    refused(parts, r"'m-00001-of-00003.gguf' is a part of a split file: merge them with")
    refused(parts / "m-00002-of-00003.gguf", "is a part of a split file")


@pytest.mark.parametrize("source", ["nowhere.gguf", "owner/nowhere.gguf", "a/b/nowhere.gguf"])
def test_files_that_are_not_there(source):
    refused(source, r"there is no file '.*nowhere\.gguf': give the path of a \.gguf on this disk")


def test_numbers_are_right_to_the_last(tokenizer, tmp_path):
    """Dequantised in float32, as gguf's own code does."""
    model = network()
    path = write(tmp_path / "model.gguf", model, tokenizer, "Q4_1")
    weight = lab.load(path, "cpu", "float32").model.model.layers[1].mlp.up_proj.weight
    stored = gguf.GGMLQuantizationType.Q4_1
    blocks = gguf.quantize(model.model.layers[1].mlp.up_proj.weight.detach().numpy(), stored)
    np.testing.assert_array_equal(weight.detach().numpy(), gguf.dequantize(blocks, stored))
