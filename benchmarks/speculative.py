"""Speed of the tokens level: speculative decoding against transformers' `generate`.

Run with ``make bench BENCH=speculative`` on a machine
that does nothing else; about half an hour on two cores, and three minutes a record beside another
engine (`pip install -e .[peers]`, economize with `--no-deps`). Prompts of your own:
``--prompts FILE``, JSON lines with `turns` or `prompt` and perhaps a `category`.

Every kind of prompt counts alike: medians over the timed pairs of a kind (its prompts once each,
and from the first again up to five pairs), then the geometric mean over kinds. Times are
milliseconds a generated token, because in bfloat16 two texts may part and end elsewhere.
"""

from functools import cache, partial
from pathlib import Path

import ensemble_lab as lab
from benchmarks.parts import beside_engines, together, trees
from benchmarks.parts.accounts import host_percent, middle_of
from benchmarks.parts.compare import record, side_by_side
from benchmarks.parts.decoders import ours, theirs
from benchmarks.parts.on_gpu import big_share_of_formula, has_gpu
from benchmarks.parts.paired import by_kind, over_kinds, quickest
from benchmarks.parts.prompts import read_prompts
from benchmarks.parts.speculating import (
    BEST,
    FEWER,
    FIXED,
    FROZEN,
    GAMMA,
    NEW_TOKENS,
    PAIRS,
    PEER_ASSISTANCE,
    PEER_LOOKUPS,
    Bench,
    timed,
)

COMPILED = f"{BEST}, compiled"
asked = {"prompts": FROZEN}


def use_prompts(path):
    """Measure on another file."""
    read_prompts(path)  # errors in it are raised before anything runs
    asked["prompts"] = Path(path)


@cache
def bench(quick):
    return Bench(quick, asked["prompts"])


@cache
def greedy(quick, compiled):
    """Runs of all settings that are compared without sampling.

    A quick run compiles only for the record that is about it: that takes longer than all the rest.
    """
    model = bench(quick).target
    settings = {
        "generate": (theirs(model), PAIRS),
        "plain": (ours(model), 2),
        "lookup": (ours(model, "lookup"), PAIRS),
        "their lookup": (theirs(model, **bench(quick).peer_lookup), PAIRS),
    }
    best = bench(quick).best
    settings |= {BEST: (ours(model, best), PAIRS)}
    if compiled:
        seconds_to_compile(quick)  # the first time must be seen there
        settings |= {COMPILED: (ours(model, best, compiled=True), PAIRS)}
    return timed(settings, bench(quick).prompts, 0.0, quick, "greedy")


@cache
def sampled(quick):
    model = bench(quick).target
    settings = {"generate": (theirs(model), 1), BEST: (ours(model, bench(quick).best), 1)}
    return timed(settings, bench(quick).first_of_each, 1.0, quick, "temperature 1")


def plain_vs_generate(quick):
    """Our loop without a draft, on which every other figure depends."""
    runs = greedy(quick, not quick)
    goal, peer_is = "at least 1", "generate"
    return bench(quick).compared(
        "plain-vs-generate", runs["plain"], runs["generate"], goal, peer_is
    )


def overall_vs_generate(quick):
    """Our best single setting, and what it does to our own plain loop."""
    runs, goal = greedy(quick, not quick), "at least 2.7"
    plain = over_kinds(by_kind(runs[BEST], runs["plain"]), "ratio")
    pair = (runs[BEST], runs["generate"])
    more = {"draft": BEST, "ratio_to_our_plain": plain}
    return bench(quick).compared("overall-vs-generate", *pair, goal, "generate", **more)


def worst_kind_vs_generate(quick):
    """The kind of prompt on which our best single setting gains least."""
    runs = greedy(quick, not quick)
    found = by_kind(runs[BEST], runs["generate"])
    kind = min(found, key=lambda kind: found[kind]["ratio"])
    mine, peer = ({kind: runs[name][kind]} for name in (BEST, "generate"))
    more = {"draft": BEST, "kind": kind}
    goal = "at least 0.97"
    return bench(quick).compared("worst-kind-vs-generate", mine, peer, goal, "generate", **more)


def sampled_vs_generate(quick):
    """The same at temperature 1, where less can be foreseen; one prompt a kind."""
    runs = sampled(quick)
    goal, peer_is = "none of its own; shown beside greedy", "generate, sampling"
    pair = (runs[BEST], runs["generate"])
    more = {"draft": BEST, "temperature": 1.0}
    return bench(quick).compared("sampled-vs-generate", *pair, goal, peer_is, **more)


def lookup_vs_assisted(quick):
    """Our prompt lookup against transformers'."""
    runs, setting = greedy(quick, not quick), bench(quick).peer_lookup
    peer_is = "generate with {}, the quickest of {}".format(
        ", ".join(f"{name}={value}" for name, value in setting.items()), len(PEER_LOOKUPS)
    )
    pair = (runs["lookup"], runs["their lookup"])
    more = {"peer_setting": setting}
    return bench(quick).compared("lookup-vs-assisted", *pair, "at least 1.2", peer_is, **more)


def draft_vs_assisted(quick):
    """The same draft model in both, adaptive in ours, and in theirs at its best setting."""
    model, draft = bench(quick).target, bench(quick).draft
    settings = {"ours": (ours(model, draft), PAIRS)}
    for name, assistance in PEER_ASSISTANCE.items():
        settings[name] = (theirs(model, draft.model, assistance), PAIRS)
    runs = timed(settings, bench(quick).prompts, 0.0, quick, "draft model")
    mine = runs.pop("ours")
    best = quickest(runs)
    return bench(quick).compared(
        "draft-vs-assisted",
        mine,
        runs[best],
        "at least 1.5",
        f"generate(assistant_model=…), {best}, the quickest of {len(runs)}",
        draft=draft.weights,
    )


def tree_vs_chain(quick):
    """The same head: the quickest of a few small trees against its quickest chain."""
    return trees.tree_vs_chain(bench(quick))


def together_vs_loop(quick):
    """Two models that write one text, without a draft."""
    return together.together_vs_loop(bench(quick))


def bild(quick):
    """Big-little decoding with our draft model, which changes the text."""
    return together.big_little_vs_large(bench(quick))


def suffix_vs_lookup(quick):
    """Suffix decoding with the answers to all other prompts as its corpus, against our lookup."""
    model, prompts = bench(quick).target, bench(quick).prompts
    most = 16 if quick else NEW_TOKENS
    answers = [
        (ids, list(made.tokens))
        for of_kind in prompts.values()
        for ids, made in zip(of_kind, lab.decode(model, of_kind, max_new_tokens=most), strict=True)
    ]

    def with_corpus(ids, *settings):
        corpus = [answer for prompt, answer in answers if prompt != ids]
        return ours(model, lab.SuffixDraft(corpus))(ids, *settings)

    settings = {
        "corpus": (with_corpus, PAIRS),
        "alone": (ours(model, "suffix"), PAIRS),
        "lookup": (ours(model, "lookup"), PAIRS),
    }
    runs = timed(settings, prompts, 0.0, quick, "suffix")
    alone = {kind: found["ratio"] for kind, found in by_kind(runs["alone"], runs["lookup"]).items()}
    return bench(quick).compared(
        "suffix-vs-lookup",
        runs["corpus"],
        runs["lookup"],
        "at least 1.05 on passage and summary",
        "our prompt lookup",
        ratio_without_corpus=alone,
    )


def share_of_formula(quick):
    """Speedup measured over speedup expected, a share for every draft and prompt.

    Only rounds count in which `GAMMA` tokens were drafted: lookup finds nothing in the others.
    """
    model = bench(quick).target
    settings = {name: (ours(model, name, GAMMA), 1) for name in FIXED} | {"plain": (ours(model), 1)}
    runs = timed(settings, bench(quick).first_of_each, 0.0, quick, "formula", FEWER)
    plain = runs.pop("plain")
    found = {name: middle_of(of_draft, plain, GAMMA) for name, of_draft in runs.items()}
    least = min(found, key=lambda name: found[name]["share"])
    return record(
        "share-of-formula",
        found[least]["measured"],
        found[least]["formula"],
        "times plain",
        higher_is_better=True,
        goal="at least 0.9 of the formula",
        peer_is="(1 - alpha^(gamma+1)) / ((1 - alpha)(gamma c + v))",
        draft=least,
        gamma=GAMMA,
        by_draft=found,
        **bench(quick).about,
    )


def host_share(quick):
    """Decode time outside all layers and heads, whose clock is the same for ours and the peer."""
    model, most = bench(quick).target, 16 if quick else FEWER
    decoders = {
        BEST: lambda clock: ours(model, bench(quick).best, prepared=clock.hear_draft),
        "plain": lambda _: ours(model),
        "generate": lambda _: theirs(model),
        "their lookup": lambda _: theirs(model, **bench(quick).peer_lookup),
    }
    texts = [ids for (ids,) in bench(quick).first_of_each.values()]
    percent = {name: host_percent(model, run, texts, most) for name, run in decoders.items()}
    return record(
        "host-share",
        percent[BEST],
        percent["their lookup"],
        "%",
        goal="at most 10 % of decode time outside the model",
        peer_is="generate with prompt lookup, by the same clock",
        draft=BEST,
        by_setting=percent,
        **bench(quick).about,
    )


@cache
def seconds_to_compile(quick):
    """What the first call of all takes longer than the next, with nothing kept from before."""
    from torch._inductor.utils import fresh_inductor_cache

    [ids] = next(iter(bench(quick).first_of_each.values()))
    run = ours(bench(quick).target, bench(quick).best, compiled=True)
    with fresh_inductor_cache():
        first, again = (run(ids, 0.0, 2, 0).total for _ in range(2))
    return first - again


def compiled_vs_eager(quick):
    """Our best draft with a compiled target, against the same eager one and `generate`."""
    seconds, runs = seconds_to_compile(quick), greedy(quick, True)
    to_generate = over_kinds(by_kind(runs[COMPILED], runs["generate"]), "ratio")
    more = {"draft": BEST, "ratio_to_generate": to_generate, "compile_seconds": seconds}
    goal, peer_is = "at least 1", "the same, eager"
    pair = (runs[COMPILED], runs[BEST])
    return bench(quick).compared("compiled-vs-eager", *pair, goal, peer_is, **more)


def compiled_vs_assisted(quick):
    """On a GPU: our best draft compiled, against transformers' assisted decoding (its lookup)."""
    model, seconds = bench(quick).target, seconds_to_compile(quick)
    settings = {
        "compiled": (ours(model, bench(quick).best, compiled=True), PAIRS),
        "compiled plain": (ours(model, compiled=True), PAIRS),
        "assisted": (theirs(model, **bench(quick).peer_lookup), PAIRS),
    }
    runs = timed(settings, bench(quick).prompts, 0.0, quick, "compiled")
    plain = over_kinds(by_kind(runs["compiled"], runs["compiled plain"]), "ratio")
    more = {"draft": BEST, "ratio_to_our_compiled_plain": plain, "compile_seconds": seconds}
    pair = (runs["compiled"], runs["assisted"])
    peer_is = "generate with prompt lookup, at its quickest setting"
    return bench(quick).compared("compiled-vs-assisted", *pair, "at least 5", peer_is, **more)


def first_token(quick):
    """Time to the first token after a long prompt: in four bits and in bfloat16."""
    few, plain = bench(quick).four_bits, bench(quick).target
    ids = [5 + 7 * i % 251 for i in range(64 if quick else 500)]

    def written(model):
        return lambda: ours(model)(ids, 0.0, 1, 0)

    timed = side_by_side(written(few), written(plain), 5)
    return record(
        "first-token",
        1000 * timed.ours,
        1000 * timed.peer,
        "ms",
        goal="at most 1.2 times the time of bfloat16",
        peer_is="the same weights in bfloat16",
        prompt_tokens=len(ids),
        **bench(quick).about_model(few),
    )


def beside_engine(name, quick):
    """A record against an engine that is no part of transformers; its peer is optional."""
    return beside_engines.measured(name, bench(quick))


RECORDS = {
    "plain-vs-generate": plain_vs_generate,
    "overall-vs-generate": overall_vs_generate,
    "worst-kind-vs-generate": worst_kind_vs_generate,
    "sampled-vs-generate": sampled_vs_generate,
    "lookup-vs-assisted": lookup_vs_assisted,
    "suffix-vs-lookup": suffix_vs_lookup,
    "share-of-formula": share_of_formula,
    "host-share": host_share,
    "draft-vs-assisted": draft_vs_assisted,
    "tree-vs-chain": tree_vs_chain,
    "together-vs-loop": together_vs_loop,
    "bild": bild,
    "compiled-vs-eager": compiled_vs_eager,
    "first-token": first_token,
    **{name: partial(beside_engine, name) for name in beside_engines.RECORDS},
}
if has_gpu():
    RECORDS |= {
        "compiled-vs-assisted": compiled_vs_assisted,
        "big-share-of-formula": big_share_of_formula,
    }
