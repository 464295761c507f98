"""Records of the tokens level beside other engines on a CPU, one function of a `Bench` each.

Both sides take their quickest setting, found on the first prompt of each kind. Their texts part,
since each rounds in its own way and one other choice leads elsewhere. So a record also says whether
the peer read the same weights: `same_text` is the share of tokens, of our text and of the peer's,
that are the target's likeliest in bfloat16 after what comes before them.
"""

from contextlib import ExitStack
from functools import cache, partial
from importlib import metadata
from itertools import chain, zip_longest
from statistics import mean
from time import perf_counter

from benchmarks.parts.decoders import Run, ours
from benchmarks.parts.engines import Economize, Engine, LlamaCpp, LlamaCppNative, OpenVino
from benchmarks.parts.paired import quickest
from benchmarks.parts.peers import check_installed
from benchmarks.parts.speculating import FEWER, NEW_TOKENS, PAIRS, timed

OURS = {"plain": None, "lookup": "lookup", "ngram": "ngram", "head": "head"}
ROWS = 8  # decoded at once in the record about a batch
SHORT = {"size_n": 3, "size_m": 8}
ON_GGUF = {  # peers that read the GGUF file, each with the settings of which the quickest counts
    "llamacpp": (LlamaCpp, {"plain": {}}),
    "llamacpp-speculative": (
        LlamaCpp,
        {  # its n-gram drafts as they are, which need a match of 12 and more, and for short texts
            "ngram-simple": {"speculation": "ngram_simple"},
            "ngram-map-k": {"speculation": "ngram_map_k"},
            "ngram-map-k4v": {"speculation": "ngram_map_k4v"},
            "ngram-mod": {"speculation": "ngram_mod"},
            "ngram-cache": {"speculation": "ngram_cache"},
            "ngram-simple, 3 tokens give 8": {"speculation": "ngram_simple"} | SHORT,
            "ngram-map-k, 3 tokens give 8": {"speculation": "ngram_map_k"} | SHORT,
        },
    ),
    "llamacpp-native": (LlamaCppNative, {"plain": {}}),
    "openvino": (
        OpenVino,
        {
            "paged attention": {"ATTENTION_BACKEND": "PA"},
            "a stateful model": {"ATTENTION_BACKEND": "SDPA"},
        },
    ),
}
LOOKUPS = {  # of economize, the first one as it is
    "lookup, cycles of 4": {},
    "lookup, cycles of 11": {"cycle": 11},
    "lookup, cycles of 11, latest match": {"cycle": 11, "match": "latest"},
}
DRAFTS = {
    "cycles of 4": {},
    "cycles of 9": {"cycle": 9},
    "cycles of 9, confidence 0.4": {"cycle": 9, "confidence": 0.4},
}
PLAIN = {"plain": {"cycle": 1}}


def against_gguf(peer, mine, goal, bench):
    """Ours at four bits, `plain` or at its `best`, against a peer that reads the same file."""
    runs, best, setting, build = on_gguf(bench, peer)
    name = best if mine == "best" else mine
    return compared(
        bench,
        f"{'overall' if mine == 'best' else mine}-vs-{peer}",
        runs[name],
        runs["peer"],
        goal,
        told(ON_GGUF[peer][0], setting, len(ON_GGUF[peer][1])),
        bench.four_bits,
        draft=name,
        peer_build=build,
    )


@cache
def on_gguf(bench, peer):
    """Runs of ours and of the peer, our best setting, and the peer's with how it was built."""
    build, settings = ON_GGUF[peer]
    of = {"gguf": bench.gguf, "ends": sorted(bench.target.ends), "threads": bench.threads}
    setting = best_of_peer(bench, build, settings, of, bench.first_of_each, FEWER)
    best = best_of_ours(bench)
    names = dict.fromkeys(("plain", best))
    mine = {name: (ours(bench.four_bits, OURS[name]), PAIRS) for name in names}
    with Engine(build, of | settings[setting]) as engine:
        both = mine | {"peer": (engine, PAIRS)}
        runs = timed(both, bench.prompts, 0.0, bench.quick, f"beside {peer}")
    return runs, best, setting, engine.about


@cache
def best_of_ours(bench):
    """The name in `OURS` of our quickest setting at four bits."""
    drafts = {"plain": None, "lookup": "lookup"} if bench.quick else OURS
    mine = {name: (ours(bench.four_bits, draft), 1) for name, draft in drafts.items()}
    return quickest(timed(mine, bench.first_of_each, 0.0, bench.quick, "settings of ours", FEWER))


def best_of_peer(bench, build, settings, of, over, most):
    """The name of a peer's quickest setting; meanwhile each has a process of its own."""
    if len(settings) == 1:
        return next(iter(settings))
    if bench.quick:  # a process takes longer to start than all it is asked then
        settings = dict(list(settings.items())[:2])
    with ExitStack() as stack:
        engines = {
            name: (stack.enter_context(Engine(build, of | setting)), 1)
            for name, setting in settings.items()
        }
        return quickest(timed(engines, over, 0.0, bench.quick, "settings of the peer", most))


def lookup_vs_economize(bench):
    """Prompt lookup in both, in bfloat16."""
    mine = {"lookup": ours(bench.target, "lookup")}
    return against_economize("lookup-vs-economize", mine, LOOKUPS, "at least 2", bench)


def draft_vs_economize(bench):
    """The same draft model in both, in bfloat16."""
    mine = {bench.draft.weights: ours(bench.target, bench.draft)}
    settings = {name: {"draft": bench.draft_folder} | more for name, more in DRAFTS.items()}
    return against_economize("draft-vs-economize", mine, settings, "at least 1.5", bench)


def batch_vs_economize(bench):
    """Eight prompts of all kinds at once, in bfloat16."""
    drafts = [None, "lookup", bench.best]
    mine = {draft or "plain": ours_at_once(bench.target, draft) for draft in drafts}
    name, goal = f"batch-of-{ROWS}-vs-economize", "at least 1.3"
    more = {"prompts": batches(bench), "most": NEW_TOKENS}
    return against_economize(name, mine, PLAIN | LOOKUPS, goal, bench, **more)


def against_economize(name, mine, settings, goal, bench, prompts=None, most=FEWER):
    """The quickest of ours against the quickest of economize's settings on the same weights.

    It takes two to four times our time: `most` tokens keep a record within about three minutes.
    """
    prompts = prompts or bench.prompts
    first = {kind: of_kind[:1] for kind, of_kind in prompts.items()}
    ends = sorted(bench.target.ends)
    of = {"folder": bench.target_folder, "ends": ends, "threads": bench.threads}
    setting = best_of_peer(bench, Economize, settings, of, first, FEWER // 2)
    best = next(iter(mine))
    if len(mine) > 1:
        each = {draft: (decoder, 1) for draft, decoder in mine.items()}
        best = quickest(timed(each, first, 0.0, bench.quick, "settings of ours", FEWER // 2))
    with Engine(Economize, of | settings[setting]) as engine:
        both = {"ours": (mine[best], PAIRS), "peer": (engine, PAIRS)}
        runs = timed(both, prompts, 0.0, bench.quick, name, most)
    pair = runs["ours"], runs["peer"]
    peer_is = told(Economize, setting, len(settings))
    return compared(bench, name, *pair, goal, peer_is, bench.target, prompts, most, draft=best)


def ours_at_once(target, draft):
    """Our loop on a list of prompts, as a function like that of `ours`."""
    from ensemble_lab.tokens.decode import stream

    def run(rows, heat, most, seed):
        begun = perf_counter()
        decoding = stream(target, rows, draft, temperature=heat, max_new_tokens=most, seed=seed)
        since = perf_counter()
        for _ in decoding:
            pass
        ended = perf_counter()
        tokens = tuple(chain.from_iterable(made.tokens for made in decoding.generations))
        return Run(tokens, len(tokens), since, ended - since, ended - begun)

    return run


def batches(bench):
    """All prompts in lists of eight, the kinds in turn; what does not fill a list comes again."""
    turns = zip_longest(*bench.prompts.values())
    mixed = [ids for turn in turns for ids in turn if ids is not None]
    mixed += (mixed * ROWS)[: -len(mixed) % ROWS]
    return {"all kinds": [mixed[i : i + ROWS] for i in range(0, len(mixed), ROWS)]}


# What is said of it


def told(build, setting, count):
    """Which peer it is."""
    of_all = f", the quickest of {count}" if count > 1 else ""
    return f"{build.name} ({build.package} {metadata.version(build.package)}), {setting}{of_all}"


def compared(bench, name, mine, peer, goal, peer_is, model, prompts=None, most=NEW_TOKENS, **more):
    """A record, with how near both texts are to the target's."""
    prompts = prompts or bench.prompts
    if not bench.quick:  # then the model of random weights has other tokens than the peer
        texts = {"ours": mine, "peer": peer}
        more["same_text"] = {
            side: mean(
                likeliest(bench.target, kind_prompts[0], of_kind[kind][0].tokens, most)
                for kind, kind_prompts in prompts.items()
            )
            for side, of_kind in texts.items()
        }
    return bench.compared(name, mine, peer, goal, peer_is, model, new_tokens=most, **more)


def likeliest(target, ids, tokens, most):
    """Share of tokens that a model finds likeliest where they stand, after the prompt.

    For a list of prompts, `tokens` are those of the first row, the second, and so on, each up to an
    end token or `most` tokens long.
    """
    import torch

    prompts = ids if isinstance(ids[0], list) else [ids]
    found = 0
    with torch.inference_mode():
        for prompt, row in zip(prompts, rows_of(tokens, target.ends, most), strict=True):
            whole = torch.tensor([[*prompt, *row]], device=target.device)
            chosen = target.model(whole).logits[0, len(prompt) - 1 : -1].argmax(-1)
            found += (chosen == whole[0, len(prompt) :]).sum().item()
    return found / len(tokens)


def rows_of(tokens, ends, most):
    """The rows of a batch again."""
    rows = [[]]
    for token in tokens:
        if rows[-1] and (rows[-1][-1] in ends or len(rows[-1]) == most):
            rows.append([])
        rows[-1].append(token)
    return rows


def measured(name, bench):
    """The record of that name.

    Raises
    ------
    PeerMissing
        Its peer is not installed, or the GGUF file is not here.
    PeerFailed
        The peer did not do what it was asked.
    """
    build, measure = RECORDS[name]
    check_installed(build.module, build.how)
    return measure(bench)


def both(peer, plain_goal, best_goal):
    """Both records about a peer that reads the GGUF file."""
    build = ON_GGUF[peer][0]
    return {
        f"plain-vs-{peer}": (build, partial(against_gguf, peer, "plain", plain_goal)),
        f"overall-vs-{peer}": (build, partial(against_gguf, peer, "best", best_goal)),
    }


NO_GOAL = "none of its own; the same compiled for this processor"
RECORDS = {  # name: the peer, and a function of a `Bench`
    **both("llamacpp", "at least 0.6", "at least 1"),
    "overall-vs-llamacpp-speculative": (
        LlamaCpp,
        partial(against_gguf, "llamacpp-speculative", "best", "at least 1"),
    ),
    **both("llamacpp-native", NO_GOAL, NO_GOAL),
    **both("openvino", "at least 0.75", "at least 1.3"),
    "lookup-vs-economize": (Economize, lookup_vs_economize),
    "draft-vs-economize": (Economize, draft_vs_economize),
    f"batch-of-{ROWS}-vs-economize": (Economize, batch_vs_economize),
}
