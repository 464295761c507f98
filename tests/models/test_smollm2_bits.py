"""SmolLM2 in the four bits of its file, beside the same weights in bfloat16 and in float32."""

import pytest
import torch

import ensemble_lab as lab
from tests.models.test_few_bits import error

pytestmark = pytest.mark.slow
TEXT = (
    "The tide tables on the harbour wall are printed each spring. For every day of the year they"
    " give two times of high water and two of low water, with the height above the chart's zero."
    " A boat that draws two metres can cross the bar only when the gauge shows three, so the"
    " skippers read the tables before anything else, and the youngest of them keeps a copy in a tin"
    " box. In June 1953 the printer left out a week. Nobody noticed until a coaster with a load of"
    " slates sat on the sand from Tuesday to Saturday, while her crew played cards."
)


@pytest.fixture(scope="module")
def models():
    return {
        "float32": lab.load("smollm2", device="cpu", dtype="float32"),
        "bfloat16": lab.load("smollm2", device="cpu", dtype="bfloat16"),
        "four": lab.load("smollm2", device="cpu", bits=4),
    }


@torch.inference_mode()
def log_probabilities(model, ids, piece=8):
    """Of a text that is read in small steps."""
    made, cache = [], None
    for part in ids.split(piece, 1):
        found = model.model(part, past_key_values=cache, use_cache=True)
        cache = found.past_key_values
        made.append(found.logits.float().log_softmax(-1))
    return torch.cat(made, 1)


def test_the_file_of_the_wheel_is_read_in_its_own_bits(models):
    four = models["four"]
    assert four.bits == 4 and "Q4_1" in four.weights and "in its own bits" in four.weights
    assert four.model.lm_head.bits == 8  # as the file has it
    assert lab.load("smollm2", device="cpu").bits == 4  # without the Hub, the default
    assert "Paris" in four("What is the capital of France?").text


def test_four_bits_are_about_as_near_to_the_file_as_bfloat16(models):
    ids = torch.tensor([models["four"].tokenizer(TEXT)["input_ids"]])
    true = log_probabilities(models["float32"], ids)
    kl = {
        name: (true.exp() * (true - log_probabilities(models[name], ids))).sum(-1).mean().item()
        for name in ("bfloat16", "four")
    }
    assert 0 < kl["four"] < 1.5 * kl["bfloat16"], kl


@torch.inference_mode()
def test_every_product_is_about_as_exact_as_with_bfloat16_weights(models):
    true, four = (models[name].model for name in ("float32", "four"))
    generator = torch.Generator().manual_seed(0)
    for place in (0, 14, 29):
        exact, layer = true.model.layers[place], four.model.layers[place]
        groups = {
            "qkv": [getattr(exact.self_attn, f"{n}_proj") for n in "qkv"],
            "out": [exact.self_attn.o_proj],
            "gate_up": [exact.mlp.gate_proj, exact.mlp.up_proj],
            "down": [exact.mlp.down_proj],
        }
        for name, linears in groups.items():
            weight = torch.cat([one.weight for one in linears])
            x = torch.randn(7, weight.shape[1], generator=generator).bfloat16()
            bound = 1.5 * error(x @ weight.bfloat16().T, x, weight)
            assert error(getattr(layer, name)(x), x, weight) < bound, (place, name)
    weight = true.lm_head.weight
    x = torch.randn(7, weight.shape[1], generator=generator).bfloat16()
    assert error(four.lm_head(x), x, weight) < 1.5 * error(x @ weight.bfloat16().T, x, weight)


def test_a_draft_writes_the_same_text_up_to_near_ties(models):
    four = models["four"]
    prompt = four.tokenizer(TEXT)["input_ids"]
    plain = lab.decode(four, prompt, max_new_tokens=32).tokens
    for draft in ("lookup", "head", "early-exit:8"):
        made = lab.decode(four, prompt, draft, gamma=3, max_new_tokens=32).tokens
        part = next((i for i, (a, b) in enumerate(zip(plain, made)) if a != b), None)
        if part is not None:
            ids = torch.tensor([[*prompt, *plain[:part]]])
            last = log_probabilities(four, ids)[0, -1]
            assert abs(last[plain[part]] - last[made[part]]) < 0.1, (draft, part)


def test_memory_of_the_weights(models):
    """What only this process holds; bfloat16 weights for prompts are a mapped file."""
    four = models["four"].model
    layers = [getattr(layer, name) for layer in four.model.layers
              for name in ("qkv", "out", "gate_up", "down")]  # fmt: skip
    held = sum(one.packed.nbytes + one.scales.nbytes for one in [*layers, four.lm_head])
    halves = sum(weight.nbytes for weight in models["bfloat16"].model.parameters())
    assert held < 0.45 * halves
