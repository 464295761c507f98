"""Speed of the tokens level: speculative decoding beside transformers' `generate`.

Run with ``ensemble-lab bench speculative --json benchmarks/results/speculative.json`` on a machine
that does nothing else; under ten minutes on two cores. Prompts of your own:
``--prompts FILE``, JSON lines with `turns` or `prompt` and perhaps a `category`.

Every kind of prompt counts alike: medians over the timed pairs of a kind (its prompts once each,
and from the first again up to five pairs), then the geometric mean over kinds. Times are
milliseconds a generated token, because in bfloat16 two texts may part and end elsewhere.
"""

import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the parts, and for the tests' tokenizer

import ensemble_lab as lab
from benchmarks.parts.accounts import host_percent, middle_of
from benchmarks.parts.decoders import ours, theirs
from benchmarks.parts.on_gpu import big_share_of_formula, has_gpu
from benchmarks.parts.paired import by_kind, interleaved, over_kinds, quickest
from benchmarks.parts.prompts import read_prompts, token_ids
from benchmarks.parts.random_llama import random_llama
from ensemble_lab.instruments import record

BEST = "ngram"  # the best single setting of ours; its length is adaptive
PAIR = ("tiny", "tiny-draft")
FIXED = ("lookup", "early-exit:8")  # drafts of a fixed length, held against the formula
GAMMA = 4
PEER_LOOKUPS = [  # transformers' default n-gram size is 2
    {"prompt_lookup_num_tokens": n, "max_matching_ngram_size": size}
    for n, size in ((4, 2), (10, 2), (10, 3))
]
PEER_ASSISTANCE = {"default": {}} | {
    f"constant length {n}, threshold 0": {
        "num_assistant_tokens": n,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }
    for n in (4, 8)
}
PAIRS = 5  # timed a kind
NEW_TOKENS, FEWER = 128, 48  # fewer where tokens a second are not what is asked
FROZEN = Path(__file__).parent / "prompts/speculative.jsonl"
asked = {"prompts": FROZEN}


def use_prompts(path):
    """Measure on another file."""
    read_prompts(path)  # what is wrong with it is said before anything runs
    asked["prompts"] = Path(path)


@cache
def target(quick):
    return random_llama(0) if quick else lab.load("smollm2", dtype="bfloat16")


def best(quick):
    """The best draft; the random model of a quick run has no table, only the look-up."""
    return "lookup" if quick else BEST


def prompts_for(model, quick):
    """Token ids by kind; one short list when it is only to be seen whether all runs."""
    kinds = read_prompts(asked["prompts"])
    if quick:
        kind, turns = next((kind, turns[:1]) for kind, turns in kinds.items())
        kinds = {kind: turns}
    return {
        kind: [ids for turns in of_kind for ids in token_ids(model, turns, NEW_TOKENS)]
        for kind, of_kind in kinds.items()
    }


@cache
def prompts(quick):
    return prompts_for(target(quick), quick)


def first_of_each(quick):
    return {kind: of_kind[:1] for kind, of_kind in prompts(quick).items()}


def timed(settings, over, heat, quick, label, most=NEW_TOKENS):
    """Decoders with the prompts each gets in a kind, timed in turn; few and short when quick."""
    if quick:
        settings, most = {name: (decoder, 1) for name, (decoder, _) in settings.items()}, 16
    return interleaved(settings, over, heat, most, label)


@cache
def peer_lookup(quick):
    """The quickest of transformers' prompt lookups, by the first prompt of each kind."""
    model = target(quick)
    decoders = [(theirs(model, **setting), 1) for setting in PEER_LOOKUPS]
    over = first_of_each(quick)
    runs = timed(dict(enumerate(decoders)), over, 0.0, quick, "settings of the peer", FEWER)
    return PEER_LOOKUPS[quickest(runs)]


@cache
def greedy(quick):
    model = target(quick)
    settings = {
        "generate": (theirs(model), PAIRS),
        "plain": (ours(model), 2),
        "lookup": (ours(model, "lookup"), PAIRS),
        "their lookup": (theirs(model, **peer_lookup(quick)), PAIRS),
    }
    settings |= {BEST: (ours(model, best(quick)), PAIRS)}
    return timed(settings, prompts(quick), 0.0, quick, "greedy")


@cache
def sampled(quick):
    model = target(quick)
    settings = {"generate": (theirs(model), 1), BEST: (ours(model, best(quick)), 1)}
    return timed(settings, first_of_each(quick), 1.0, quick, "temperature 1")


def compared(name, model, mine, peer, goal, peer_is, **more):
    """A record of two settings, by their geometric means over kinds."""
    told = by_kind(mine, peer)
    return record(
        name,
        over_kinds(told, "ours_ms"),
        over_kinds(told, "peer_ms"),
        "ms a token",
        device=str(model.device),
        goal=goal,
        peer_is=peer_is,
        end_to_end_ratio=over_kinds(told, "end_to_end_ratio"),
        by_kind=told,
        **about(model),
        **more,
    )


def about(model):
    import torch

    return {
        "weights": model.weights,
        "dtype": str(model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "prompts": asked["prompts"].name,
    }


def plain_vs_generate(quick):
    """Our loop without a draft: what every other figure stands on."""
    runs = greedy(quick)
    goal, peer_is = "at least 1", "generate"
    return compared(
        "plain-vs-generate", target(quick), runs["plain"], runs["generate"], goal, peer_is
    )


def overall_vs_generate(quick):
    """Our best single setting, and what it does to our own plain loop."""
    runs, goal = greedy(quick), "at least 2.2"
    plain = over_kinds(by_kind(runs[BEST], runs["plain"]), "ratio")
    pair = (runs[BEST], runs["generate"])
    more = {"draft": BEST, "ratio_to_our_plain": plain}
    return compared("overall-vs-generate", target(quick), *pair, goal, "generate", **more)


def worst_kind_vs_generate(quick):
    """The kind of prompt on which our best single setting gains least."""
    runs = greedy(quick)
    told = by_kind(runs[BEST], runs["generate"])
    kind = min(told, key=lambda kind: told[kind]["ratio"])
    mine, peer = ({kind: runs[name][kind]} for name in (BEST, "generate"))
    more = {"draft": BEST, "kind": kind}
    goal = "at least 0.97"
    return compared("worst-kind-vs-generate", target(quick), mine, peer, goal, "generate", **more)


def sampled_vs_generate(quick):
    """The same at temperature 1, where less can be foreseen; one prompt a kind."""
    runs = sampled(quick)
    goal, peer_is = "none of its own; shown beside greedy", "generate, sampling"
    pair = (runs[BEST], runs["generate"])
    more = {"draft": BEST, "temperature": 1.0}
    return compared("sampled-vs-generate", target(quick), *pair, goal, peer_is, **more)


def lookup_vs_assisted(quick):
    """Our prompt lookup beside transformers'."""
    runs, setting = greedy(quick), peer_lookup(quick)
    peer_is = "generate with {}, the quickest of {}".format(
        ", ".join(f"{name}={value}" for name, value in setting.items()), len(PEER_LOOKUPS)
    )
    pair = (runs["lookup"], runs["their lookup"])
    more = {"peer_setting": setting}
    return compared("lookup-vs-assisted", target(quick), *pair, "at least 1.2", peer_is, **more)


def pair_of_models(quick):
    """A target and the small model that writes ahead for both."""
    if quick:
        return random_llama(0), random_llama(1, layers=1)
    return tuple(lab.load(name, dtype="bfloat16") for name in PAIR)


def draft_vs_assisted(quick):
    """The same draft model in both, adaptive in ours, and in theirs at its best setting."""
    model, draft = pair_of_models(quick)
    over = {kind: fitted(model, of) for kind, of in prompts_for(model, quick).items()}
    settings = {"ours": (ours(model, draft), PAIRS)}
    for name, assistance in PEER_ASSISTANCE.items():
        settings[name] = (theirs(model, draft.model, assistance), PAIRS)
    runs = timed(settings, over, 0.0, quick, "draft model")
    mine = runs.pop("ours")
    best = quickest(runs)
    return compared(
        "draft-vs-assisted",
        model,
        mine,
        runs[best],
        "at least 1.5",
        f"generate(assistant_model=…), {best}, the quickest of {len(runs)}",
        draft=draft.weights,
    )


def fitted(model, of_kind):
    """The ends of prompts that a small context cannot hold."""
    room = model.model.config.max_position_embeddings - NEW_TOKENS
    return [ids[-room:] for ids in of_kind]


def share_of_formula(quick):
    """Speedup measured over speedup expected, a share for every draft and prompt.

    Only rounds count in which `GAMMA` tokens were drafted: lookup finds nothing in the others.
    """
    model = target(quick)
    settings = {name: (ours(model, name, GAMMA), 1) for name in FIXED} | {"plain": (ours(model), 1)}
    runs = timed(settings, first_of_each(quick), 0.0, quick, "formula", FEWER)
    plain = runs.pop("plain")
    told = {name: middle_of(of_draft, plain, GAMMA) for name, of_draft in runs.items()}
    least = min(told, key=lambda name: told[name]["share"])
    return record(
        "share-of-formula",
        told[least]["measured"],
        told[least]["formula"],
        "times plain",
        device=str(model.device),
        higher_is_better=True,
        goal="at least 0.9 of the formula",
        peer_is="(1 - alpha^(gamma+1)) / ((1 - alpha)(gamma c + v))",
        draft=least,
        gamma=GAMMA,
        by_draft=told,
        **about(model),
    )


def host_share(quick):
    """Decode time outside layers and head, whose clock is the same for ours and the peer."""
    model, most = target(quick), 16 if quick else FEWER
    decoders = {
        BEST: ours(model, best(quick)),
        "plain": ours(model),
        "generate": theirs(model),
        "their lookup": theirs(model, **peer_lookup(quick)),
    }
    texts = [ids for (ids,) in first_of_each(quick).values()]
    percent = {name: host_percent(model, run, texts, most) for name, run in decoders.items()}
    return record(
        "host-share",
        percent[BEST],
        percent["their lookup"],
        "%",
        device=str(model.device),
        goal="at most 10 % of decode time outside the model",
        peer_is="generate with prompt lookup, by the same clock",
        draft=BEST,
        by_setting=percent,
        **about(model),
    )


@cache
def seconds_to_compile(quick):
    """What the first call of all takes longer than the next, with nothing kept from before."""
    from torch._inductor.utils import fresh_inductor_cache

    [ids] = next(iter(first_of_each(quick).values()))
    run = ours(target(quick), best(quick), compiled=True)
    with fresh_inductor_cache():
        first, again = (run(ids, 0.0, 2, 0).total for _ in range(2))
    return first - again


def compiled_vs_eager(quick):
    """Our best draft, its target compiled: beside itself, and `generate` in the same run."""
    model, seconds = target(quick), seconds_to_compile(quick)
    settings = {
        "compiled": (ours(model, best(quick), compiled=True), PAIRS),
        "eager": (ours(model, best(quick)), PAIRS),
        "generate": (theirs(model), PAIRS),
    }
    runs = timed(settings, prompts(quick), 0.0, quick, "compiled")
    to_generate = over_kinds(by_kind(runs["compiled"], runs["generate"]), "ratio")
    more = {"draft": BEST, "ratio_to_generate": to_generate, "compile_seconds": seconds}
    pair = (runs["compiled"], runs["eager"])
    goal, peer_is = "at least 1", "the same, eager"
    return compared("compiled-vs-eager", model, *pair, goal, peer_is, **more)


def compiled_vs_assisted(quick):
    """On a GPU: our best draft compiled, beside transformers' assisted decoding (its look-up)."""
    model, seconds = target(quick), seconds_to_compile(quick)
    settings = {
        "compiled": (ours(model, best(quick), compiled=True), PAIRS),
        "compiled plain": (ours(model, compiled=True), PAIRS),
        "assisted": (theirs(model, **peer_lookup(quick)), PAIRS),
    }
    runs = timed(settings, prompts(quick), 0.0, quick, "compiled")
    plain = over_kinds(by_kind(runs["compiled"], runs["compiled plain"]), "ratio")
    more = {"draft": BEST, "ratio_to_our_compiled_plain": plain, "compile_seconds": seconds}
    pair = (runs["compiled"], runs["assisted"])
    peer_is = "generate with prompt lookup, at its quickest setting"
    return compared("compiled-vs-assisted", model, *pair, "at least 5", peer_is, **more)


RECORDS = {
    "plain-vs-generate": plain_vs_generate,
    "overall-vs-generate": overall_vs_generate,
    "worst-kind-vs-generate": worst_kind_vs_generate,
    "sampled-vs-generate": sampled_vs_generate,
    "lookup-vs-assisted": lookup_vs_assisted,
    "share-of-formula": share_of_formula,
    "host-share": host_share,
    "draft-vs-assisted": draft_vs_assisted,
    "compiled-vs-eager": compiled_vs_eager,
}
if has_gpu():
    RECORDS |= {
        "compiled-vs-assisted": compiled_vs_assisted,
        "big-share-of-formula": big_share_of_formula,
    }
