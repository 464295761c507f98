"""The page of an advice: its figures are those of the advice, and it needs no network."""

import html
import math
import re
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.advice import changes
from ensemble_lab.advice.page import advice_page, write_advice
from ensemble_lab.advice.picture import frontier_picture
from ensemble_lab.advice.saving import save_advised
from tests.advice.tables import services

FIVE = ("gemma-2-9b-it", "Meta-Llama-3.1-8B-Instruct", "Mistral-Nemo-Instruct-2407",
        "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022")  # fmt: skip


@cache
def priced():
    table = lab.load_outcomes("gsm8k-44-llms").select(models=FIVE).take(np.arange(500))
    price, speed = np.array([0.2, 0.2, 0.2, 0.6, 15.0]), np.array([100, 100, 100, 80, 60])
    return replace(
        table, cost=table.tokens * price / 1e6, latency=table.tokens / speed, features={}
    )


@cache
def advice(**more):
    return lab.advise(priced(), progress=False, **more)


def words(page):
    body = re.sub(r"(?is)<(script|style)\b.*?</\1>", " ", page)
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", body).split()))


def test_the_recommendation_comes_first_and_the_figures_are_those_of_the_advice(tmp_path):
    found = advice(budget=0.001)
    files = save_advised(found.policy, tmp_path / "advised.toml", found.outcomes)
    page = write_advice(found, tmp_path / "page.html", files, ["a doubt of the reader"]).read_text(
        "utf-8"
    )
    assert f"<h1>{html.escape(found.sentence())}</h1>" in page
    assert page.index("<h1>") < page.index("<h2>") < page.index("All candidates")
    text = words(page)
    for row in found.frontier.itertuples():
        assert row.candidate in text and f"[{100 * row.low:.1f}, {100 * row.high:.1f}]" in text
        assert f"{1e4 * row.cost:.4g}" in text
    assert f"{100 * found.sure:.0f} % of the draws" in text
    if math.isfinite(found.needed_rows):
        assert f"{found.needed_rows:,.0f} graded rows" in text
    assert found.what_not in text and "a doubt of the reader" in text
    assert all(doubt in text for doubt in found.said)
    assert "ensemble-lab serve advised.toml" in text and "nan" not in text.lower().split()


def test_a_cheaper_one_that_is_as_accurate_is_named_first():
    table = services(300)  # a cascade to big leads one to middle by less than the error
    found = lab.advise(table, progress=False, budget=6)
    cheaper = found.bargain()
    text = words(advice_page(found))
    told = next(line for line in repr(found).splitlines() if line.startswith("Cheaper: "))
    assert told in text and text.index(told) < text.index("How sure is that?")
    frontier = found.frontier.set_index("candidate")
    one, other = frontier.loc[cheaper], frontier.loc[found.chosen]
    assert one["cost"] <= 0.8 * other["cost"] and one["accuracy"] <= other["accuracy"]
    assert f"{100 * one['accuracy']:.1f} %" in told and f"{100 * other['accuracy']:.1f} %" in told
    dear = found.frontier.assign(cost=1.0)
    equal = replace(found, frontier=dear)
    assert not equal.bargain() and "Cheaper: " not in words(advice_page(equal)) + repr(equal)


def test_the_page_asks_nothing_of_the_network():
    page = advice_page(advice())
    without = re.sub(r"(?is)<script\b.*?</script>", "", page)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", without)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy and "connect-src" not in policy
    nonce = re.search(r"'nonce-([^']+)'", policy)[1]
    assert page.count("plotly.js v") == 1
    outside = re.sub(r"(?is)(<script\b[^>]*>).*?</script>", r"\1", page)
    scripts = re.findall(r"<script\b[^>]*>", outside)
    assert scripts and all(f'nonce="{nonce}"' in one for one in scripts)


def test_names_are_text_not_markup():
    names = ["<script>alert(1)</script>", "a & b", '"><img src=x onerror=alert(1)>', "$x$ %{y}",
             "</table>"]  # fmt: skip
    table = replace(priced(), models=names)
    page = advice_page(lab.advise(table, progress=False))
    body = re.sub(r"(?is)<script nonce.*?</script>", "", page)
    assert "<script>alert" not in body and "<img" not in body
    assert body.count("</table>") == body.count("<table>")
    figure = page[page.rindex("Plotly.newPlot") :]
    assert "\\u003cscript>alert" not in figure and "<script>alert" not in figure


def weighted_choice(found, weight):
    """The most accurate allowed candidate under these row weights, computed row by row."""
    best = []
    for j, name in enumerate(found.scores.names):
        right = np.average(found.scores.correct[:, j].astype(float), weights=weight)
        cost = np.average(found.scores.cost[:, j].astype(float), weights=weight)
        if cost <= found.limits.get("budget", np.inf) * (1 + 1e-6):
            best.append((right, name == found.chosen, -cost, name))
    return max((round(right, 9), stays, cost, name) for right, stays, cost, name in best)


def test_other_shares_of_hard_items_are_the_matrix_weighed_otherwise():
    found = advice(budget=0.001)
    hard = np.nanmean(found.outcomes.correct, axis=1) <= 0.5
    table = changes.by_hardness(found)
    assert len(set(table["candidate"])) > 1  # so that the test sees a change
    for row in table.itertuples():
        weight = np.where(hard, row.share / hard.mean(), (1 - row.share) / (~hard).mean())
        right, _, _, name = weighted_choice(found, weight)
        assert row.accuracy == pytest.approx(right, abs=1e-6)
        assert row.candidate == name or row.accuracy == pytest.approx(right, abs=1e-9)
    here = table[np.isclose(table["share"], hard.mean())].iloc[0]
    assert here["candidate"] == found.chosen


def test_blocks_of_time_are_judged_one_by_one():
    table = priced()
    assert not len(changes.by_block(advice()))
    found = lab.advise(table, time=np.arange(len(table)), progress=False)
    blocks = changes.by_block(found)
    fold = found.scores.fold
    assert blocks["rows"].sum() == (fold >= 0).sum() and len(blocks) == fold.max() + 1
    advised = found.scores.correct[:, found.scores.names.index(found.chosen)]
    for row in blocks.itertuples():
        assert row.advised == pytest.approx(float(advised[fold == row.block - 1].mean()), abs=1e-6)
        assert row.accuracy >= row.advised
    assert "In each block of time" in words(advice_page(found))


def test_the_price_at_which_nothing_is_saved():
    found = advice(budget=0.001)
    prices = changes.by_price(found)
    single = found.outcomes.columns([found.best_single.model])[0]
    seen = 0
    for row in prices.dropna().itertuples():
        cost = found.outcomes.cost.copy()
        cost[:, found.outcomes.columns([row.model])[0]] *= row.factor
        called = found.policy.decide(found.outcomes).called
        policy = np.where(called, cost, 0).sum(axis=1).mean()
        assert policy == pytest.approx(cost[:, single].mean())
        seen += 1
    assert seen or found.chosen in found.outcomes.models


def test_budgets_are_steps_of_the_frontier():
    found = advice()
    steps = changes.by_budget(found)
    assert steps["budget"].is_monotonic_increasing and steps["accuracy"].is_monotonic_increasing
    for row in steps.itertuples():
        within = found.frontier[found.frontier["cost"] <= row.budget]
        assert row.accuracy == within["accuracy"].max()
    assert steps["accuracy"].iloc[-1] == found.frontier["accuracy"].max()


def test_waits_are_those_of_the_simulator():
    found = advice(budget=0.001)
    table = changes.by_rate(found)
    single = lab.Cascade((found.best_single.model,))
    servers = dict.fromkeys(found.outcomes.models, 4)
    alone = lab.under_load(single, found.outcomes, servers, table["rate"].tolist())
    assert np.allclose(alone["p99"], table["single_p99"])
    assert alone["load"].tolist() == pytest.approx([0.3, 0.6, 0.9])
    untimed = lab.advise(replace(priced(), latency=None), progress=False)
    assert not len(changes.by_rate(untimed))
    assert "How long do people wait?" not in words(advice_page(untimed))


def test_waits_take_the_rate_and_the_servers_that_are_given():
    servers = {name: 2 + j for j, name in enumerate(priced().models)}
    given = lab.advise(priced(), budget=0.001, rate=0.5, servers=servers, progress=False)
    table = changes.by_rate(given)
    assert table["rate"].tolist() == [0.25, 0.5, 0.75]
    with warnings.catch_warnings(action="ignore"):
        alone = lab.under_load(given.policy, given.outcomes, servers, [0.25, 0.5, 0.75])
    known = ~alone["overloaded"]
    assert known.any() and np.allclose(alone["p99"][known], table["advised_p99"][known])
    text = words(advice_page(given))
    assert "servers" in text and "assumed: give yours" not in text
    one = replace(given, servers=1)
    assert "each model has 1 server, and" in words(advice_page(one))
    usual = words(advice_page(replace(given, rate=None, servers=None)))
    assert "each model has 4 servers" in usual
    assert "The rates and the servers are assumed: give yours with --rate and --servers." in usual
    half = words(advice_page(replace(given, servers=None)))
    assert "The servers are assumed: give yours with --servers." in half


def test_a_table_without_prices_and_times_has_a_page_too():
    page = advice_page(lab.advise(replace(priced(), cost=None, latency=None), progress=False))
    text = words(page)
    assert "USD" not in text and "unknown" not in text and "All candidates" in text


def test_many_models_stay_one_page():
    rng = np.random.default_rng(0)
    models = [f"model {j}" for j in range(300)]
    table = lab.Outcomes(models=models, items=range(60), correct=rng.random((60, 300)) < 0.6)
    text = words(advice_page(lab.advise(table, progress=False)))
    assert re.search(r"\d+ less accurate ones are left out", text)


def test_prices_on_a_log_scale_are_written_whole():
    figure = frontier_picture(advice())
    axis = figure.layout.xaxis
    assert axis.type == "log" and list(axis.ticktext) == [f"{x:g}" for x in axis.tickvals]
    assert len(axis.tickvals) >= 3
    paid = [x for trace in figure.data for x in trace.x]
    assert min(axis.tickvals) <= 2 * min(paid) and max(axis.tickvals) >= max(paid) / 5
