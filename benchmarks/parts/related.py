"""A target with random weights, and a draft that is right about it four times in five.

The draft is the target's first layers, under the same embeddings and head; what the target's other
layers add is damped until both choose the same token as often as asked. So every decoder meets a
pair that agrees by itself, and none needs a trained model.
"""

import copy

from benchmarks.parts.on_gpu import NoWords, random_llama_of
from ensemble_lab.models.language import LanguageModel

AGREE = 0.8
SHAPES = {  # SmolLM2-135M, TinyLlama-1.1B
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
}
DRAFT_LAYERS = {"135m": 3, "1b": 2}


def related_pair(size, quick):
    """Target and draft of a size in bfloat16; a quick one has four small layers."""
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
    shape, layers = (small, 2) if quick else (SHAPES[size], DRAFT_LAYERS[size])
    target = random_llama_of(shape, 0).model
    draft = first_layers(target, layers)
    agree_as_asked(target, draft, layers)
    label = f"random, {target.num_parameters():.2g} and {draft.num_parameters():.2g} parameters"
    return [LanguageModel(model, NoWords(), label) for model in (target, draft)]


def first_layers(target, layers):
    """A model of its own with copies of the target's first layers, embeddings and head."""
    import torch

    config = copy.deepcopy(target.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    with torch.device(target.device):
        draft = type(target)._from_config(config, dtype=target.dtype)
    draft.load_state_dict(target.state_dict(), strict=False)
    return draft.eval()


def agree_as_asked(target, draft, layers, steps=8):
    """Damp the target's later layers by the factor at which both agree on `AGREE` of tokens."""
    import torch

    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(target.config.vocab_size, (8, 64), generator=generator).to(target.device)
    later = [
        part.weight
        for layer in target.model.layers[layers:]
        for part in (layer.self_attn.o_proj, layer.mlp.down_proj)
    ]
    now, low, high = 1.0, 0.0, 1.0
    with torch.inference_mode():
        wanted = draft(ids).logits.argmax(-1)
        for _ in range(steps):
            factor = (low + high) / 2
            for weight in later:
                weight.mul_(factor / now)
            now = factor
            agreed = (target(ids).logits.argmax(-1) == wanted).float().mean().item()
            low, high = (low, factor) if agreed < AGREE else (factor, high)
