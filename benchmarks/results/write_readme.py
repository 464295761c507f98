"""Writes the README's numbers: the output of its quickstart and the tables of `results/*.json`.

Run ``python benchmarks/results/write_readme.py`` after a benchmark; a test holds them equal.
"""

import contextlib
import io
import json
import re
from pathlib import Path

RESULTS = Path(__file__).parent
README = RESULTS.parents[1] / "README.md"
BENCHMARKS = ("answers", "explorers", "speculative", "training", "gpu")


def quickstart(text):
    """What the README's first Python block prints, as a block of text."""
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return f"```text\n{printed.getvalue()}```"


def bench_table(name):
    """The records of one benchmark as a Markdown table."""
    records = json.loads((RESULTS / f"{name}.json").read_text())
    records = [r for r in records if not {"error", "skipped"} & r.keys()]
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
    said = f"{where['device']}; {versions}; {', '.join(dates)}."
    weights = sorted({r["weights"] for r in records if "weights" in r})
    return "\n".join([*rows, "", said + "".join(f" Weights: {name}." for name in weights)])


def extra(record):
    """What a record says beyond its ratio."""
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
    if "kernel_start_seconds" in record:
        return f"; the kernel's start, {record['kernel_start_seconds']:.2g} s, comes before"
    return of_training(record) or of_decoding(record)


def of_training(record):
    """What a record about members that learn together says beyond its ratio."""
    if "seconds_a_member" in record:
        cost = {members: 1000 * s for members, s in record["seconds_a_member"].items()}
        told = ", ".join(f"{members}: {ms:.3g}" for members, ms in cost.items())
        flat = record["batching_pays_up_to"]
        return f"; ms a member by their number {told}; hardly cheaper after {flat}"
    workers = record.get("peer_seconds_by_workers", {}).items()
    return "".join(f"; the peer with {n} worker{'s' * (n != '1')} {s:.3g} s" for n, s in workers)


def of_decoding(record):
    """What a record about decoding says beyond its ratio."""
    if "by_kind" in record:
        kinds = record["by_kind"].items()
        ratios = ", ".join(f"{kind} {found['ratio']:.3g}" for kind, found in kinds)
        repeated = sum(found["repeated_8_grams"] for _, found in kinds) / len(kinds)
        total = record["end_to_end_ratio"]
        once = "; {ratio_to_generate:.3g} beside generate; compiled in {compile_seconds:.2g} s"
        compiled = once.format(**record) if "compile_seconds" in record else ""
        shown = f"; end to end {total:.3g}; {ratios}; {repeated:.0%} of 8-grams repeated"
        return shown + compiled
    if "by_draft" in record:
        told = "; {}: {:.3g} with alpha {:.2g}, c {:.2g}, v {:.3g}"
        keys = ("share", "alpha", "c", "v")
        drafts = record["by_draft"].items()
        return "".join(told.format(name, *(found[k] for k in keys)) for name, found in drafts)
    if "compared" in record:
        told = "; {}: {:.3g} and {:.3g} ms a token, ratio {:.2g}"
        keys = ("ours_ms", "peer_ms", "ratio")
        both = record["compared"].items()
        return "".join(told.format(name, *(found[k] for k in keys)) for name, found in both)
    if "peak_over_weights_and_caches" in record:
        return f"; peak memory {record['peak_over_weights_and_caches']:.3g} of weights and caches"
    if "by_setting" in record:
        return "".join(f"; {name} {x:.3g} %" for name, x in record["by_setting"].items())
    return ""


def written(text):
    """The README with every marked part made anew."""
    parts = {"quickstart": quickstart(text)}
    measured = [name for name in BENCHMARKS if (RESULTS / f"{name}.json").exists()]
    parts |= {f"bench {name}": bench_table(name) for name in measured}
    for name, part in parts.items():
        mark = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end -->)"
        text = re.sub(mark, lambda m, part=part: f"{m[1]}{part}\n{m[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
