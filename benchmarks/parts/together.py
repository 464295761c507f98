"""Two models that write one text: ours beside a plain loop, and big-little decoding."""

from time import perf_counter

from benchmarks.parts.decoders import Run, ours
from benchmarks.parts.paired import by_kind, over_kinds
from benchmarks.parts.speculating import FEWER, PAIRS, timed

KINDS = ("chat", "arithmetic", "passage")  # short prompts and a long one
GOAL = "at least 1.2"
THRESHOLDS = {  # the paper's, and others with fewer calls of the large model
    "fallback 0.6, rollback 5": {},
    "fallback 0.3, rollback 3": {"fallback": 0.3, "rollback": 3.0},
    "fallback 0.2, rollback 5": {"fallback": 0.2},
}


def together_vs_loop(bench):
    """The mean of two models' distributions, read by ours and by the models called in turn."""
    from ensemble_lab.tokens import Averaging, CombinedModel

    pair = bench.target, bench.draft
    settings = {
        "ours": (ours(CombinedModel(pair, Averaging())), PAIRS),
        "loop": (in_turn(pair), PAIRS),
    }
    runs = timed(settings, some_kinds(bench), 0.0, bench.quick, "together", FEWER)
    peer_is = "a loop over transformers' own models and caches, called in turn"
    more = {"second": bench.draft.weights}
    return bench.compared("together-vs-loop", runs["ours"], runs["loop"], GOAL, peer_is, **more)


def big_little_vs_large(bench):
    """Big-little decoding by the paper's thresholds, and the large model alone.

    Its text is not the large model's: `by_threshold` tells the share of its tokens that are the
    large model's likeliest, beside the calls of the large model a token.
    """
    large, small = bench.target, bench.draft
    papers, *others = THRESHOLDS
    settings = {papers: (by_turns(large, small), PAIRS), "large": (ours(large), PAIRS)}
    settings |= {name: (by_turns(large, small, **THRESHOLDS[name]), 2) for name in others}
    settings["speculative"] = ours(large, small), 2
    over = some_kinds(bench)
    runs = timed(settings, over, 0.0, bench.quick, "big and little", FEWER)
    plain, lossless = runs.pop("large"), runs.pop("speculative")
    found = {name: shares(large, over, of) for name, of in runs.items()}
    for name, of in runs.items():
        found[name]["ratio"] = over_kinds(by_kind(of, plain), "ratio")
    return bench.compared(
        "bild",
        next(iter(runs.values())),
        plain,
        "none of its own; where it does not pay is told",
        "the large model alone, by ours",
        draft=small.weights,
        by_threshold=found,
        speculative_ratio=over_kinds(by_kind(lossless, plain), "ratio"),
    )


def by_turns(large, small, **thresholds):
    """Big-little decoding, as a function of token ids, temperature, most new tokens and seed."""
    from ensemble_lab.tokens import big_little

    def run(ids, heat, most, seed):
        begun = perf_counter()
        made = big_little(large, small, ids, max_new_tokens=most, **thresholds)
        total, count = perf_counter() - begun, len(made.tokens)
        return Run(made.tokens, count, begun + made.prefill, made.seconds, total, made.rounds)

    return run


def shares(large, prompts, runs):
    """Calls of the large model a token, and how many tokens are its likeliest ones."""
    import torch

    calls, likeliest, tokens = 0, 0, 0
    for kind, of_kind in runs.items():
        # A kind's prompts came in turn and from the first again; a text is the same each time.
        for ids, run in zip(prompts[kind], of_kind, strict=False):
            with torch.inference_mode():
                text = torch.tensor([[*ids, *run.tokens]], device=large.device)
                best = large.model(text).logits[0, len(ids) - 1 : -1].argmax(-1)
            likeliest += int((best == text[0, len(ids) :]).sum())
            calls, tokens = calls + len(run.rounds), tokens + len(run.tokens)
    return {"calls_a_token": calls / tokens, "likeliest": likeliest / tokens}


def some_kinds(bench):
    """Prompts of a few kinds: without a draft, the kind decides nothing but the length."""
    return {kind: bench.prompts[kind] for kind in KINDS if kind in bench.prompts} or bench.prompts


def in_turn(models):
    """What one writes without this package: every model's step, the mean, the likeliest token."""

    def run(ids, heat, most, seed):
        import torch
        from transformers import DynamicCache

        caches = [DynamicCache(config=one.model.config) for one in models]
        tokens, text, ends = torch.tensor([ids]), [], set(models[0].ends)
        begun = since = perf_counter()
        with torch.inference_mode():
            while len(text) < most and not ends & set(text[-1:]):
                mean = 0
                for one, cache in zip(models, caches, strict=True):
                    made = one.model(tokens, past_key_values=cache, logits_to_keep=1)
                    mean = mean + made.logits[:, -1].float().softmax(-1) / len(models)
                tokens = mean.argmax(-1, keepdim=True)  # (1, 1)
                text.append(int(tokens))
                if len(text) == 1:
                    since = perf_counter()
        ended = perf_counter()
        return Run(tuple(text), len(text) - 1, since, ended - since, ended - begun)

    return run
