"""A large target on a GPU: the share of the formula, the peak of memory, and waits for the GPU.

Weights are random, so that a 7B model need not be had; what it costs to read does not depend on
them. A random draft agrees with a random target by chance only, so acceptance is set: see `coins`.
"""

import warnings
from contextlib import contextmanager
from functools import partial

from benchmarks.parts.accounts import held_to_formula
from benchmarks.parts.compare import record
from benchmarks.parts.decoders import ours
from ensemble_lab.models.language import LanguageModel

GAMMA, ALPHA = 4, 0.8
ROUNDS = 5  # timed pairs
SHAPES = {  # Llama 2 of 7B parameters, and a draft of a tenth of them
    "target": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
    "draft": {"hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 15},
}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}


def has_gpu():
    import torch

    return torch.cuda.is_available()


def big_share_of_formula(quick, prompt_tokens=256):
    """A target of 7B parameters and a draft of a tenth, both compiled, acceptance set to `ALPHA`.

    `quick` takes four small layers, on whatever device there is.
    """
    target, draft = models(quick)
    most, times = (16, 1) if quick else (128, ROUNDS)
    ids = [7 * i % 1000 + 1 for i in range(32 if quick else prompt_tokens)]
    plain = ours(target, compiled=True)
    mine = ours(target, draft, GAMMA, compiled=True, prepared=coins)
    for decoder in (plain, mine):  # compile
        decoder(ids, 0.0, 8, 0)
    pairs = [(mine(ids, 0.0, most, seed), plain(ids, 0.0, most, seed)) for seed in range(times)]
    found = sorted((held_to_formula(*pair, GAMMA) for pair in pairs), key=lambda f: f["share"])
    middle = found[len(found) // 2]
    return record(
        "big-share-of-formula",
        middle["measured"],
        middle["formula"],
        "times plain",
        device=str(target.device),
        higher_is_better=True,
        goal="at least 0.9 of the formula; peak memory within 10 % of weights and caches",
        peer_is="(1 - alpha^(gamma+1)) / ((1 - alpha)(gamma c + v)), acceptance set by coins",
        gamma=GAMMA,
        alpha_set=ALPHA,
        weights=f"random, {size(target):.2g} and {size(draft):.2g} parameters",
        middle=middle,
        shares=[f["share"] for f in found],
        **memory_and_waits(target, draft, ids, most),
    )


def coins(decoding, alpha=ALPHA):
    """Accept each drafted token with probability `alpha`, whatever it is.

    Draft and target do all their work, and so does the rule of acceptance; only how many tokens
    it lets stay is replaced by tosses on the same device. The text is then the draft's where a
    token stayed and the target's own behind it, so that both read on from there, as they would.
    """
    import torch

    session = decoding.session
    accept = session.verify.chain

    def tossed(logits, proposal, texts):
        accept(logits, proposal, texts)  # for its time
        k = proposal.tokens.shape[1]
        toss = torch.rand((len(logits), k), generator=session.generator, device=logits.device)
        accepted = (toss < alpha).long().cumprod(-1).sum(-1)
        return accepted, logits.argmax(-1).gather(1, accepted[:, None])[:, 0]

    session.verify.chain = tossed


def models(quick):
    """Two Llamas with random weights, made on the device, in bfloat16."""
    return tuple(
        random_llama_of(SMALL if quick else SHAPES[name], seed)
        for seed, name in enumerate(("target", "draft"))
    )


def random_llama_of(shape, seed):
    """A Llama of a shape with random weights; heads as wide as usual where the shape tells none."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = shape["hidden_size"] // (128 if shape["hidden_size"] >= 1024 else 16)
    ends = dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"))  # no text ends early
    usual = {"vocab_size": 32000, "num_attention_heads": heads, "num_key_value_heads": heads}
    config = LlamaConfig(
        **usual | shape,
        **ends,
        max_position_embeddings=4096,
        dtype="bfloat16",
    )
    with torch.random.fork_rng(), torch.device("cuda" if has_gpu() else "cpu"):
        torch.manual_seed(seed)
        made = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    return LanguageModel(made, NoWords(), "a Llama with random weights")


class NoWords:
    """A tokenizer for a model without words."""

    eos_token_id, chat_template = None, None

    def decode(self, tokens, **settings):
        return ""


def size(model):
    """Parameters."""
    return sum(weight.numel() for weight in model.model.parameters())


def memory_and_waits(target, draft, ids, most):
    """Peak memory over what weights and caches take, and waits of the host a round.

    None where there is no GPU.
    """
    import torch

    measured, kept = {"peak_over_weights_and_caches": None, "waits_a_round": None}, []
    run = ours(target, draft, GAMMA, compiled=True, prepared=partial(both, kept))
    if not has_gpu():
        run(ids, 0.0, most, 0)
        measured["weights_and_caches_gb"] = needed(target, draft, kept[0].session) / 1e9
        return measured
    torch.cuda.reset_peak_memory_stats()
    run(ids, 0.0, most, 0)
    bytes_needed = needed(target, draft, kept[0].session)
    measured["peak_over_weights_and_caches"] = torch.cuda.max_memory_allocated() / bytes_needed
    measured["weights_and_caches_gb"] = bytes_needed / 1e9
    kept.clear()
    counted = ours(target, draft, GAMMA, compiled=True, prepared=coins, around=waits(kept))
    rounds = counted(ids, 0.0, most, 0).rounds
    measured["waits_a_round"] = len(kept) / len(rounds)
    return measured


def both(kept, decoding):
    kept.append(decoding)
    coins(decoding)


def needed(target, draft, session):
    """Bytes of the weights and of the keys and values, which must be there."""
    layers = [*session.reader.cache.layers, *session.draft.reader.cache.layers]
    kept = [x for layer in layers for x in (layer.keys, layer.values)]
    weights = [w for model in (target, draft) for w in model.model.parameters()]
    return sum(x.numel() * x.element_size() for x in kept + weights)


def waits(kept):
    """A context that adds PyTorch's warning about each wait for the GPU to `kept`."""

    @contextmanager
    def listening():
        import torch

        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        kept.extend(one for one in caught if "synchroniz" in str(one.message))

    return listening
