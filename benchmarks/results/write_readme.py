"""Writes the numbers of README.md and docs/measured.md, and the badges of README.md.

Numbers come from the README's quickstart and from `results/*.json`, the repository of the badges
and of `git clone` from the URL in pyproject.toml, the versions of Python from there and from the
workflow of the tests. Run ``python benchmarks/results/write_readme.py`` after a benchmark; a test
holds the files equal to what it writes.
"""

import contextlib
import io
import json
import re
import tomllib
from pathlib import Path

RESULTS = Path(__file__).parent
ROOT = RESULTS.parents[1]
DRAFTS = RESULTS / "distil_drafts.json"
README, MEASURED = ROOT / "README.md", ROOT / "docs/measured.md"
BENCHMARKS = (
    "answers",
    "routing",
    "committees",
    "advise",
    "explorers",
    "speculative",
    "training",
    "distillation",
    "submodels",
    "pairs",
    "systems",
    "links",
    "gpu",
)
MULTIPLIES = "Speculation multiplies whatever engine runs below it."
# Benchmark, record and sentence of each claim in the README. `beside` is the ratio in words.
CLAIMS = (
    ("answers", "import", "Import of the package: {beside} `import sklearn.ensemble`."),
    ("answers", "decide", "Replay of a vote ({ours}): {beside} scikit-learn's hard vote."),
    (
        "answers",
        "threshold-grid",
        "All 101 x 101 thresholds of a cascade: {beside} one replay each.",
    ),
    ("answers", "budget-cascade-vs-brute", "`BudgetCascade.fit`: {beside} `scipy.optimize.brute`."),
    (
        "answers",
        "budget-cascade-vs-numpy-brute",
        "`BudgetCascade.fit`: {beside} brute force in NumPy.",
    ),
    (
        "routing",
        "routers",
        "The best of twelve routers on MMLU: {ours}; its subjects alone: {peer}.",
    ),
    (
        "routing",
        "slowest-router-decisions",
        "A choice by 60 neighbours: {beside} scikit-learn's.",
    ),
    (
        "routing",
        "slowest-router-fit",
        "A router's fit: {beside} scikit-learn's logistic regressions.",
    ),
    ("routing", "slider-routing", "A step of the slider: {beside} plotly's full update."),
    ("routing", "aiq-vs-cubic", "AIQ: {beside} the search over all pairs."),
    (
        "committees",
        "stopping-replay",
        "Stopping as soon as the vote is decided: {beside} AdaptiveConsistency.",
    ),
    ("committees", "codet-agreement", "Dual agreement: {beside} CodeT's algorithm in sets."),
    ("explorers", "slider-python", "A step of a slider, in Python: {beside} plotly's full update."),
    (
        "explorers",
        "slider-browser",
        "A step of a slider, in a browser: {beside} a slider that moves one point.",
    ),
    (
        "explorers",
        "first-figure",
        "The first figure ({ours}): {beside} plotly.express and sklearn.",
    ),
    ("speculative", "plain-vs-generate", "Plain decoding: {beside} `generate`."),
    ("speculative", "overall-vs-generate", "Decoding with the best draft: {beside} `generate`."),
    ("speculative", "worst-kind-vs-generate", "Its worst kind of prompt: {beside} `generate`."),
    ("speculative", "sampled-vs-generate", "Sampling: {beside} `generate`."),
    ("speculative", "lookup-vs-assisted", "Prompt lookup: {beside} transformers' own."),
    (
        "speculative",
        "suffix-vs-lookup",
        "Suffix decoding over past answers: {beside} prompt lookup.",
    ),
    (
        "speculative",
        "draft-vs-assisted",
        "A draft model: {beside} transformers' assisted decoding.",
    ),
    ("speculative", "together-vs-loop", "Two models' mean: {beside} a plain loop over both."),
    ("speculative", "bild", "Big-little decoding, by the paper's thresholds: {beside} plain."),
    ("speculative", "compiled-vs-eager", "Compiled: {beside} the same without compilation."),
    ("speculative", "share-of-formula", "The speedup is {share} of that by the formula."),
    (
        "speculative",
        "host-share",
        "Time outside the model: {ours}, in `generate` with prompt lookup {peer}.",
    ),
    (
        "speculative",
        "plain-vs-llamacpp",
        "Plain decoding at four bits: {beside} llama.cpp.",
    ),
    (
        "speculative",
        "overall-vs-llamacpp",
        f"{MULTIPLIES} Four bits and the best draft: {{beside}} llama.cpp.",
    ),
    (
        "speculative",
        "overall-vs-llamacpp-speculative",
        "The best draft: {beside} llama.cpp's n-gram speculation.",
    ),
    (
        "speculative",
        "plain-vs-llamacpp-native",
        "Plain decoding at four bits: {beside} llama.cpp compiled here.",
    ),
    (
        "speculative",
        "overall-vs-llamacpp-native",
        "Four bits and a draft: {beside} llama.cpp compiled here.",
    ),
    ("speculative", "plain-vs-openvino", "Plain: {beside} OpenVINO GenAI."),
    ("speculative", "overall-vs-openvino", "The best draft: {beside} OpenVINO GenAI."),
    ("speculative", "lookup-vs-economize", "In bfloat16, prompt lookup: {beside} economize's."),
    (
        "speculative",
        "draft-vs-economize",
        "In bfloat16, a draft model: {beside} the same in economize.",
    ),
    ("speculative", "batch-of-8-vs-economize", "Eight prompts at once: {beside} economize."),
    ("training", "bagging-vs-loop", "Bagged networks: {beside} a loop in plain PyTorch."),
    ("training", "bagging-vs-torchensemble", "Bagged networks: {beside} torchensemble."),
    (
        "distillation",
        "students-vs-loop",
        "{members} students of one teacher: {beside} a loop in plain PyTorch.",
    ),
    (
        "submodels",
        "experts-vs-transformers",
        "A layer of eight experts: {beside} the quickest of transformers'.",
    ),
    ("submodels", "exits-saved", "Early exits: {beside} the whole network."),
    ("pairs", "seeds-vs-loop", "{members} seeds of a GAN: {beside} a loop in plain PyTorch."),
    ("systems", "events-vs-simpy", "Events in a queue with ten servers: {beside} simpy."),
    (
        "systems",
        "azure-trace",
        "19,366 real requests under the slowest of 17 rules: {ours}.",
    ),
    (
        "systems",
        "plateau-error",
        "A real engine's load, fitted on three rates: served rates are missed by at most {ours}.",
    ),
    ("systems", "slider-queues", "A step of the slider: {beside} plotly's full update."),
    ("systems", "gateway-overhead", "A call through the gateway: {ours}, without it {peer}."),
    ("systems", "gateway-vote-of-three", "A vote of three models: {ours}, one without it {peer}."),
    ("systems", "gateway-throughput", "16 clients through the gateway: {beside} without it."),
    (
        "systems",
        "stream-gap",
        "Streams, how late a frame is at the 99th percentile: {ours}, without it {peer}.",
    ),
    ("systems", "replay-rows", "A replay by parts: {beside} the same in one table."),
    ("links", "split-overhead", "A token of two stages: {ours}, of one process {peer}."),
    ("links", "link-error", "A link in user space: {share} times as exact as asked."),
    ("links", "recovery", "Recovery from `kill -9`: {beside} 1.2 prefills."),
    (
        "gpu",
        "smollm2-decoding",
        "SmolLM2 with a draft on a GPU: {beside} assisted decoding (goal: {goal}).",
    ),
    ("gpu", "1b-decoding", "{size} random parameters: {beside} assisted decoding."),
    ("gpu", "big-share-of-formula", "{size}: {share} of the speedup by the formula."),
    (
        "gpu",
        "compiled-plain-vs-static-generate",
        "Plain decoding on a GPU, compiled: {beside} compiled `generate`.",
    ),
    (
        "gpu",
        "1b-vs-compiled-generate",
        "With a draft, {size} parameters: {beside} compiled `generate`.",
    ),
    ("gpu", "smollm2-vs-flashspec", "SmolLM2: {beside} flashspec."),
    (
        "gpu",
        "experts-vs-transformers",
        "A layer of experts on a GPU: {beside} the quickest of transformers'.",
    ),
    ("gpu", "bagging-vs-loop", "Bagged networks: {beside} a loop on the same GPU."),
)

# What the README tells of the gains; it tells every loss.
HEADLINES = (
    ("answers", "decide"),
    ("answers", "budget-cascade-vs-numpy-brute"),
    ("committees", "stopping-replay"),
    ("speculative", "overall-vs-generate"),
    ("speculative", "lookup-vs-assisted"),
    ("speculative", "overall-vs-llamacpp"),
    ("speculative", "overall-vs-openvino"),
    ("training", "bagging-vs-torchensemble"),
    ("systems", "events-vs-simpy"),
    ("gpu", "smollm2-decoding"),
    ("gpu", "smollm2-vs-flashspec"),
)

# Records whose peers are optional: no claim where none was measured.
OPTIONAL = {
    record
    for of, record, _ in CLAIMS
    if record.endswith(("-llamacpp", "-speculative", "-native", "-openvino", "-economize"))
}


def quickstart(text):
    """What the README's first Python block prints, as a block of text."""
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return f"```text\n{printed.getvalue()}```"


def bench_table(name):
    """The records of one benchmark as a Markdown table, without those whose peers are optional."""
    return table([r for r in measured(name) if r["name"] not in OPTIONAL])


def engines():
    """The records beside other engines on a CPU as a table, and how those engines were built."""
    records = [r for r in measured("speculative") if r["name"] in OPTIONAL]
    if not records:
        return "None of these records was measured on this machine."
    built = [r for r in records if "peer_build" in r]
    builds = {f"{r['peer_is'].partition(',')[0]}: {r['peer_build']}" for r in built}
    threads = sorted({r["threads"] for r in records})
    used = f"Threads of both sides: {', '.join(map(str, threads))}."
    return "\n".join([table(records), "", used, *(f"- {build}" for build in sorted(builds))])


def measured(name):
    """The records of a benchmark that were measured."""
    records = json.loads((RESULTS / f"{name}.json").read_text())
    return [r for r in records if not {"error", "skipped"} & r.keys()]


def table(records):
    """Records as a Markdown table, and below it where and with what they were measured."""
    rows = ["| record | ours | peer | ratio | the peer is | goal |", "|---|---|---|---|---|---|"]
    for r in records:
        cells = [f"`{r['name']}`", *(f"{r[k]:.3g} {r['unit']}" for k in ("ours", "peer"))]
        ratio = r["ratio"]
        cells += [
            f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}",
            r["peer_is"],
            r["goal"] + extra(r),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    where = records[0]
    used = where["versions"] | {k: v for r in records for k, v in r.get("shown_by", {}).items()}
    versions = ", ".join(f"{k} {v}" for k, v in used.items() if k != "ensemble-lab")
    dates = sorted({r["date"] for r in records})
    ran = f"{where['device']}; {versions}; {', '.join(dates)}."
    weights = sorted({r["weights"] for r in records if "weights" in r})
    return "\n".join([*rows, "", ran + "".join(f" Weights: {name}." for name in weights)])


def extra(record):
    """Further numbers of a record."""
    if "slowest_ms" in record:
        return f"; slowest {record['slowest_ms']:.3g} ms"
    if "ours_found" in record:
        ours, brute = record["ours_found"], record["brute_found"]
        pair = "; {}: ours {:.2%}, brute {:.2%}"
        over = ours["held_out_cost_over_budget"] - 1
        return (
            pair.format("train", ours["train_accuracy"], brute["train_accuracy"])
            + pair.format("held out", ours["held_out_accuracy"], brute["held_out_accuracy"])
            + f"; held-out cost {over:+.1%} of the budget"
        )
    if "peer_median_ms" in record:
        ours, peer = record["median_ms"], record["peer_median_ms"]
        return f"; median {ours:.3g} ms, the peer's {peer:.3g} ms, {record['presses']} presses"
    if "by_notebook" in record:
        ran = record["by_notebook"].items()
        return "".join(f"; {n} {r['seconds']:.3g} s, {r['peak_gb']:.2g} GB" for n, r in ran)
    if "published_a_second" in record:
        published = ", ".join(f"{name} {n:g}" for name, n in record["published_a_second"].items())
        slowest = f"{record['slowest']} {record['slowest_a_second']:,} a second"
        own = record["with_embedding_a_second"]
        embedded = f"; with the embedding {own:g} a second on one core" if own else ""
        return f"; slowest {slowest}{embedded}; published with the embedding: {published}"
    if "others_a_second" in record:
        return f"; {record['a_second']:,} steps a second on {record['arms']} models"
    if "guides" in record:
        form = (
            "; {}: alone {alone:.3g}, with a guide {guided:.3g} (gain {gain[mean]:+.2g} ±"
            " {gain[error]:.2g}), router {router[mean]:.3g} ± {router[sd]:.2g} with"
            " {strong_share[mean]:.0%} strong answers, random mixture {mixture[mean]:.3g}"
        )
        return "".join(form.format(name, **of) for name, of in record["guides"].items())
    if "memories" in record:
        form = "; {}: recovers in {recovers_in_share:.0%} of the runs"
        return "".join(form.format(name, **of) for name, of in record["memories"].items())
    if "slowest_s" in record:
        return f"; slowest {record['slowest']} {record['slowest_s']:.3g} s"
    if "shares_asked" in record:
        form = "; {} {ratio:.3g} ({expected_by_multiply_adds:.3g} by multiply-adds)"
        return "".join(form.format(name, **of) for name, of in record["by_setting"].items())
    if "by_rule" in record:
        return f"; slowest: {record['slowest']}"
    if "p95_ms" in record:
        return f"; at the 95th percentile {record['p95_ms']:.3g} ms"
    if "routellm_mmlu" in record:
        return f"; {record['best']}; {record['seeds']} halves, see below"
    if "kernel_start_seconds" in record:
        return f"; the kernel's start, {record['kernel_start_seconds']:.2g} s, comes before"
    return of_training(record) or of_decoding(record)


def of_training(record):
    """Further numbers of a record about members that learn together."""
    if "seconds_a_member" in record:
        cost = {members: 1000 * s for members, s in record["seconds_a_member"].items()}
        costs = ", ".join(f"{members}: {ms:.3g}" for members, ms in cost.items())
        flat = record["batching_pays_up_to"]
        return f"; ms a member by their number {costs}; hardly cheaper after {flat}"
    workers = record.get("peer_seconds_by_workers", {}).items()
    return "".join(f"; the peer with {n} worker{'s' * (n != '1')} {s:.3g} s" for n, s in workers)


def of_decoding(record):
    """Further numbers of a record about decoding."""
    if "by_kind" in record:
        kinds = record["by_kind"].items()
        ratios = ", ".join(f"{kind} {found['ratio']:.3g}" for kind, found in kinds)
        repeated = sum(found["repeated_8_grams"] for _, found in kinds) / len(kinds)
        total = record["end_to_end_ratio"]
        once = "; {ratio_to_generate:.3g} beside generate; compiled in {compile_seconds:.2g} s"
        compiled = once.format(**record) if "compile_seconds" in record else ""
        shown = f"; end to end {total:.3g}; {ratios}; {repeated:.0%} of 8-grams repeated"
        near = "; ours with {draft}; the target's likeliest: {ours:.1%} of our tokens, {peer:.1%}"
        text = record.get("same_text")
        judged = near.format(draft=record["draft"], **text) + " of the peer's" if text else ""
        few, turns = record.get("ratio_in_four_bits"), by_threshold(record)
        return shown + compiled + judged + turns + (f"; {few:.3g} in four bits" if few else "")
    if "by_draft" in record:
        form = "; {}: {:.3g} with alpha {:.2g}, c {:.2g}, v {:.3g}"
        keys = ("share", "alpha", "c", "v")
        drafts = record["by_draft"].items()
        return "".join(form.format(name, *(found[k] for k in keys)) for name, found in drafts)
    if "compared" in record:
        form = "; {}: {:.3g} and {:.3g} ms a token, ratio {:.2g}"
        keys = ("ours_ms", "peer_ms", "ratio")
        both = record["compared"].items()
        return "".join(form.format(name, *(found[k] for k in keys)) for name, found in both)
    if "peak_over_weights_and_caches" in record:
        return f"; peak memory {record['peak_over_weights_and_caches']:.3g} of weights and caches"
    if "by_setting" in record:
        return "".join(f"; {name} {x:.3g} %" for name, x in record["by_setting"].items())
    return ""


def by_threshold(record):
    """Big-little decoding at each pair of thresholds, and lossless speculation beside it."""
    if "by_threshold" not in record:
        return ""
    form = (
        "; {}: {ratio:.3g}, {calls_a_token:.2f} calls of the large model a token, {likeliest:.0%}"
        " of the tokens are its likeliest"
    )
    found = "".join(form.format(name, **of) for name, of in record["by_threshold"].items())
    return f"{found}; speculative decoding with the same draft: {record['speculative_ratio']:.3g}"


def routers():
    """Every router on every table, as a Markdown table; mean and standard deviation."""
    record = next(r for r in json.loads((RESULTS / "routing.json").read_text())
                  if r["name"] == "routers")  # fmt: skip
    mmlu, gsm8k = record["routellm_mmlu"], record["routellm_gsm8k"]
    pro = record["mmlu_pro_points_over_best_single"]
    head = "| router | MMLU: APGR | over the subjects | GSM8K: APGR | over the length |"
    rows = [f"{head} MMLU-Pro, 28 models: points over the best |", "|---|---|---|---|---|---|"]
    none = {"apgr": None, "lead": None}
    for name in sorted({*mmlu, *pro}, key=lambda n: (-mmlu.get(n, {"apgr": [0]})["apgr"][0], n)):
        of = [table.get(name, none)[key] for table in (mmlu, gsm8k) for key in ("apgr", "lead")]
        cells = [plus_minus(*pair) if pair else "" for pair in of]
        cells.append(plus_minus(*pro[name], ".2f") if name in pro else "")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    services = record["services_points_over_best_single"].items()
    found = "; ".join(f"{name} {plus_minus(*of['LabelRouter'], '.2f')}" for name, of in services)
    published = ", ".join(f"{name} {x}" for name, x in record["published_apgr"].items())
    return "\n".join(
        [
            *rows,
            "",
            f"Points of `LabelRouter` over the best service: {found}.",
            f"Published ({record['published_are']}): {published}.",
        ]
    )


def plus_minus(mean, spread, form=".3f"):
    """A mean and its standard deviation."""
    return f"{mean:{form}} ± {spread:{form}}"


def claims():
    """One bullet for each benchmark, with its claims and where it ran."""
    lines = []
    for name in BENCHMARKS:
        records, found = named(name), claims_of(name)
        found += [accepted()] if name == "distillation" else []
        one = next(iter(records.values()))
        if found:  # the others have their tables alone
            lines.append(f"- *{name}, {one['device']}, {one['date']}.* {' '.join(found)}")
    return "\n".join(lines)


def headlines():
    """The gains that the README tells, then every loss."""
    records = {(name, key): r for name in BENCHMARKS for key, r in named(name).items()}
    told = {(name, key): text for name, key, text in CLAIMS if (name, key) in records}
    gains = [claim(records[key], told[key]) for key in HEADLINES if records[key]["ratio"] >= 1]
    losses = [claim(records[key], text) for key, text in told.items() if records[key]["ratio"] < 1]
    return f"- *Gains.* {' '.join(gains)}\n- *Losses.* {' '.join([*losses, eager(named('gpu'))])}"


def named(name):
    """The records of a benchmark by their names."""
    return {r["name"]: r for r in json.loads((RESULTS / f"{name}.json").read_text())}


def claims_of(name):
    """The sentences of a benchmark."""
    records = named(name)
    found = [
        claim(records[key], text)
        for of, key, text in CLAIMS
        if of == name and (key in records or key not in OPTIONAL)
    ]
    return found + ([eager(records)] if name == "gpu" else [])


def claim(record, text):
    """A sentence with the record's numbers."""
    ours, peer = (f"{record[key]:.3g} {record['unit']}" for key in ("ours", "peer"))
    numbers = re.findall(r"[\d.]+e\+\d+", record.get("weights", ""))
    return text.format(
        ours=ours,
        peer=peer,
        beside=beside(record["ratio"]),
        share=f"{record['ratio']:.3g}",
        goal=record["goal"],
        members=record.get("members"),
        size=f"{float(numbers[0]) / 1e9:.2g} billion" if numbers else "",
    )


def beside(ratio):
    """A ratio in words: below 1 it is a loss."""
    shown = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    return f"**{shown}** times as quick as" if ratio >= 1 else f"**{shown}**, slower than"


def eager(records):
    """What decoding on a GPU loses without `compiled=True`."""
    found = [r["compared"]["plain-vs-generate"]["ratio"] for r in records.values()
             if "plain-vs-generate" in r.get("compared", {})]  # fmt: skip
    low, high = min(found), max(found)
    words = "slower than" if high < 1 else "times as quick as"
    ratios = f"**{low:.2g} to {high:.2g}**, {words} `generate`"
    return f"Plain decoding on a GPU without `compiled=True`: {ratios}."


def accepted():
    """The acceptance of the shipped draft before and after it learned on in the best way."""
    found = json.loads(DRAFTS.read_text())
    before, ways = found["before"]["acceptance 1"], found["ways"]
    best = max(ways, key=lambda way: ways[way]["acceptance 1"]["mean"])
    after = plus_minus(*ways[best]["acceptance 1"].values())
    return f"The draft of `tiny`: acceptance {before:.3f}, after `distil` ({best}) {after}."


def distilled():
    """The ways in which the draft of `tiny` learned on, as a table."""
    found = json.loads(DRAFTS.read_text())
    before = found["before"]
    forms = {column: ".3f" if column.startswith("acceptance") else ".1f" for column in before}
    heads = [re.sub("(?<=acceptance )", "at temperature ", column) for column in before]
    lines = [["way", *heads], ["---"] * (1 + len(heads))]
    lines.append(["before", *(f"{before[column]:{form}}" for column, form in forms.items())])
    for way, values in found["ways"].items():
        told = (plus_minus(*values[column].values(), form) for column, form in forms.items())
        lines.append([way, *told])
    rows = [f"| {' | '.join(cells)} |" for cells in lines]
    used = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    how = (
        f"{found['steps']} steps of {found['texts_a_step']} texts, {found['seeds']} seeds;"
        f" judged on {found['held_out']['tokens']:,} tokens; {used}; {found['date']}."
    )
    return "\n".join([*rows, "", how])


def ruled():
    """The papers' rules on one hour of traffic: means over seeds, from the record azure-trace."""
    [found] = [r for r in measured("systems") if r["name"] == "azure-trace"]
    head = ("rule", "median s", "p99 s", "dropped", "late", "use", "machine hours", "quality")
    rows = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for name, of in found["table"].items():
        cells = [f"{of[key]:.3g}" for key in ("median", "p99")]
        cells += [f"{of[key]:.1%}" for key in ("dropped", "late", "utilisation")]
        cells += [f"{of['machine_seconds'] / 3600:.2f}", f"{of['quality']:.3f}"]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def covered():
    """Whether advice kept its promise, table by table, from the record coverage."""
    [found] = [r for r in measured("advise") if r["name"] == "coverage"]
    head = ("table", "accuracy in the interval", "the same, other rows", "cost in the interval",
            "promise - truth, points", "the same, other rows", "without luck",
            "out-of-fold winner", "naive")  # fmt: skip
    shares = ("coverage_accuracy", "coverage_other_rows", "coverage_cost")
    kinds = ("", "_other_rows", "_other_rows_without_luck", "_out_of_fold", "_naive")
    rows = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for name, of in [*found["tables"].items(), ("together", found["together"])]:
        cells = [f"{of[key]:.1%}" for key in shares]
        cells += [plus_minus(*of[f"points_too_high{kind}"], ".2f") for kind in kinds]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    how = f"{found['draws']} draws of each; ± is a standard error; naive: {found['peer_is']}."
    return "\n".join([*rows, "", how])


def badges(notebook):
    """The two badges of a notebook in the README, by the repository in pyproject.toml."""
    owner = slug()
    colab = f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{notebook}"
    binder = f"https://mybinder.org/v2/gh/{owner}/HEAD?urlpath=lab/tree/notebooks/{notebook}"
    return f"[![Open in Colab][colab]]({colab})", f"[![Binder][binder]]({binder})"


def project():
    """The project's table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def slug():
    """owner/name of the repository, as in pyproject.toml."""
    return project()["urls"]["Repository"].removeprefix("https://github.com/")


def pythons():
    """The versions of Python that pyproject.toml takes, and those that the workflow names."""
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    *some, last = re.findall(r"3\.\d+", re.search(r"python: \[(.*)\]", workflow).group(1))
    oldest = project()["requires-python"].removeprefix(">=")
    named = f"{', '.join(some)} and {last}"
    return (
        f"`pyproject.toml` takes Python {oldest} and newer; `.github/workflows/tests.yml`"
        f" runs the tests on {named}."
    )


def badged(text):
    """The README with its badges and its line for `git clone`.

    The badges of the first notebook are on top, and each row of the series has a cell of them.
    """
    clone = f"git clone {project()['urls']['Repository']}"
    text = re.sub(r"^git clone \S+", clone, text, flags=re.MULTILINE)
    top = "\n".join(badges("00_start_here.ipynb"))
    text = re.sub(
        r"^\[!\[Open in Colab\].*\n\[!\[Binder\].*$", top, text, count=1, flags=re.MULTILINE
    )
    row = r"^(\|.*\]\(notebooks/([\w.-]+\.ipynb)\).*\| )\[!\[Open.*( \|)$"
    return re.sub(row, lambda m: m[1] + " ".join(badges(m[2])) + m[3], text, flags=re.MULTILINE)


def written(text):
    """README.md or docs/measured.md with its marked parts and badges made again."""
    parts = {
        "claims": claims,
        "headlines": headlines,
        "pythons": pythons,
        "routers": routers,
        "engines": engines,
    }
    parts |= {"distilled": distilled, "rules": ruled, "coverage": covered}
    parts |= {f"bench {name}": lambda name=name: bench_table(name) for name in BENCHMARKS}
    if "<!-- quickstart:" in text:
        parts["quickstart"] = lambda: quickstart(text)
    for name, part in parts.items():
        mark = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end -->)"
        text = re.sub(mark, lambda m, part=part: f"{m[1]}{part()}\n{m[2]}", text, flags=re.DOTALL)
    return badged(text)


if __name__ == "__main__":
    for path in (README, MEASURED):
        path.write_text(written(path.read_text()))
