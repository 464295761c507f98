"""Speed of routing: metrics, decisions and fits.

Run with ``python -m benchmarks routing --json benchmarks/results/routing.json``.
"""

import warnings
from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

import ensemble_lab as lab
from benchmarks.explorers import slider_of
from benchmarks.parts.bandits import bandit_memory, bandit_steps
from benchmarks.parts.compare import record, side_by_side
from benchmarks.parts.guiding import guided_answers
from benchmarks.parts.prompts import read_prompts
from benchmarks.parts.speculating import FROZEN
from ensemble_lab import metrics
from ensemble_lab.instruments.meter import Meter

ROUNDS = 5


def search_over_pairs(cost, quality):
    """AIQ as RouterBench defines it: at every cost the best line between any two settings.

    It has cubic time; the third loop, over costs, is NumPy's. From the lowest cost to the highest,
    and never falling: behind the best setting the height stays.
    """
    order = np.argsort(cost)
    x, y = cost[order], quality[order]
    best = y.copy()
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            line = y[i] + (y[j] - y[i]) / (x[j] - x[i]) * (x[i : j + 1] - x[i])
            np.maximum(best[i : j + 1], line, out=best[i : j + 1])
    best = np.maximum.accumulate(best)
    return float(np.sum(np.diff(x) * (best[1:] + best[:-1])) / 2 / (x[-1] - x[0]))


def aiq_vs_cubic(quick):
    """The hull by one sorted pass against the search over all pairs of settings."""
    points = 60 if quick else 500
    rng = np.random.default_rng(0)
    cost = rng.random(points)
    quality = np.sqrt(cost) * rng.random(points)  # many settings lie below the hull
    ours, theirs = (partial(aiq, cost, quality) for aiq in (metrics.aiq, search_over_pairs))
    differ = abs(ours() - theirs())
    if differ > 1e-9:
        raise ValueError(f"AIQ differs by {differ:.2g} from the search over all pairs")
    timed = side_by_side(ours, theirs, 1 if quick else ROUNDS)
    return record(
        "aiq-vs-cubic",
        1000 * timed.ours,
        1000 * timed.peer,
        "ms",
        goal="equal to 1e-9",
        peer_is="a search over all pairs of settings at every cost, as RouterBench defines AIQ",
        settings=points,
        difference=differ,
        spread=timed.spread,
    )


def routers(first):
    """One of each router, by its name; `first` is the model that a `LabelRouter` asks first."""
    boosted = HistGradientBoostingClassifier(max_iter=40, max_depth=3, random_state=0)
    return {
        "RandomRouter": lab.RandomRouter(),
        "LengthRouter": lab.LengthRouter(),
        "GroupRouter": lab.GroupRouter(),
        "ClusterRouter": lab.ClusterRouter(),
        "QualityRouter": lab.QualityRouter(),
        "QualityRouter, gradient boosting": lab.QualityRouter(boosted),
        "GapRouter": lab.GapRouter(),
        "FactorRouter": lab.FactorRouter(),
        "NeighbourRouter": lab.NeighbourRouter(),
        "NeighbourRouter, groups": lab.NeighbourRouter(groups=True),
        "SimilarityRouter": lab.SimilarityRouter(),
        "EloRouter": lab.EloRouter(),
        "DynamicSelection": lab.DynamicSelection(),
        "LabelRouter": lab.LabelRouter(first=first),
        "BudgetRouter": lab.BudgetRouter(0.5),
        "SubsetRouter": lab.SubsetRouter(),
        "CachedRouter": lab.CachedRouter(),
    }


def llms(quick):
    """8,000 questions to 29 models, with confidences and prices that only the timing needs."""
    table = lab.load_outcomes("mmlu-pro-29-llms")
    rows = np.random.default_rng(0).permutation(len(table))[: 400 if quick else 8000]
    table, m = table.take(rows), len(table.models)
    sure = np.random.default_rng(1).random(table.correct.shape)
    return replace(table, confidence=sure, cost=np.broadcast_to(np.linspace(0.1, 1, m), sure.shape))


def with_embedding(quick):
    """Questions a second that are embedded and routed, on one core; None without the encoder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the encoder is missing: the record says so
        features = lab.QuestionFeatures.of("routellm-mmlu")
    if not features.embeds:
        return None
    router = lab.QualityRouter(groups=False).fit(lab.load_outcomes("routellm-mmlu"))
    turns = [text for kind in read_prompts(FROZEN).values() for texts in kind for text in texts]
    texts = [f"{i}. {text}" for i in range(1 if quick else 3) for text in turns]
    features(texts[:2])  # the encoder is loaded
    torch = import_module("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Meter() as meter:
            known = features(texts)
            table = lab.Outcomes(
                models=router.models, items=range(len(texts)), features=known,
                correct=np.full((len(texts), len(router.models)), np.nan),
            )  # fmt: skip
            router.decide(table)
    finally:
        torch.set_num_threads(threads)
    return round(len(texts) / meter.seconds, 1)


def slowest_decisions(quick):
    """Decisions a second from ready features on one core, beside scikit-learn's neighbours."""
    table = llms(quick)
    rounds = 1 if quick else ROUNDS
    rates = {}
    with threadpool_limits(1):
        for name, router in routers(table.models[0]).items():
            fitted = router.fit(table)
            timed = side_by_side(lambda f=fitted: f.decide(table), lambda: None, rounds)
            rates[name] = round(len(table) / timed.ours)
        points = np.column_stack([v for k, v in sorted(table.features.items()) if "embed" in k])
        grades = np.nan_to_num(table.correct)
        theirs = KNeighborsRegressor(60, algorithm="brute").fit(points, grades)
        ours = lab.NeighbourRouter().fit(table)
        timed = side_by_side(
            lambda: ours.decide(table), lambda: theirs.predict(points).argmax(axis=1), rounds
        )
    slowest = min(rates, key=rates.get)
    return record(
        "slowest-router-decisions",
        1e6 * timed.ours / len(table),
        1e6 * timed.peer / len(table),
        "µs a decision of 60 neighbours",
        goal="at least 5,000 decisions a second for every router",
        peer_is="scikit-learn's KNeighborsRegressor on the same features, then argmax",
        questions=len(table),
        models=len(table.models),
        slowest=slowest,
        slowest_a_second=rates[slowest],
        a_second=rates,
        with_embedding_a_second=with_embedding(quick),
        published_a_second={"RouteLLM mf": 155, "RouteLLM bert": 69.6},
        published_are="requests a second with the embedding, on the authors' machines",
        spread=timed.spread,
    )


def slowest_fit(quick):
    """Seconds to fit each router, beside scikit-learn's logistic regressions with its defaults."""
    table, seconds = llms(quick), {}
    rounds = 1 if quick else ROUNDS
    for name, router in routers(table.models[0]).items():
        with Meter() as meter:
            router.fit(table)
        seconds[name] = round(meter.seconds, 3)
    router = lab.QualityRouter(groups=False)
    points = np.column_stack([v.astype(float) for _, v in sorted(table.features.items())])
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    known = ~np.isnan(table.correct)

    def theirs():
        for grades, rows in zip(table.correct.T, known.T, strict=True):
            LogisticRegression().fit(points[rows], grades[rows])

    timed = side_by_side(lambda: router.fit(table), theirs, rounds)
    slowest = max(seconds, key=seconds.get)
    return record(
        "slowest-router-fit",
        timed.ours,
        timed.peer,
        "s for the QualityRouter",
        goal="1 s for a default router on 8,000 x 29, the slowest under 30 s",
        peer_is="scikit-learn's LogisticRegression() of each model, on the same features",
        questions=len(table),
        models=len(table.models),
        slowest=slowest,
        slowest_s=seconds[slowest],
        seconds=seconds,
        spread=timed.spread,
    )


SERVICES = ("rafdb", "expw", "audiomnist", "fluent", "imdb", "waimai", "shop")
SEEDS = range(5)


def spread(values):
    """Mean and standard deviation over the halves."""
    return [round(float(np.mean(values)), 4), round(float(np.std(values, ddof=1)), 4)]


def between_two(table, routers, base):
    """APGR of each router on the half that is not fitted, and its lead over the router `base`."""
    weak, strong = np.argsort(table.accuracy())
    found = {name: [] for name in routers}
    for seed in SEEDS:
        train, test = table.split(0.5, seed)
        for name, router in routers.items():
            scores = router.fit(train).scores(test)
            gap = scores[:, strong] - scores[:, weak]
            right = (test.correct[:, column] for column in (weak, strong))
            found[name].append(metrics.apgr(gap, *right))
    lead = {name: np.subtract(values, found[base]) for name, values in found.items()}
    return {name: {"apgr": spread(values), "lead": spread(lead[name])}
            for name, values in found.items()}  # fmt: skip


def over_best_single(table, routers):
    """Points of accuracy that each router gains over the best model of the fitted half."""
    found = {name: [] for name in routers}
    for seed in SEEDS:
        train, test = table.split(0.5, seed)
        best = test.columns((train.best_single().model,))[0]
        for name, router in routers.items():
            decision = router.fit(train).decide(test)
            found[name].append(100 * (decision.accuracy - test.accuracy()[best]))
    return {name: spread(values) for name, values in found.items()}


def quality(quick):
    """Every router on every table: fitted on one half, judged on the other, five times."""
    part = np.arange(300) if quick else slice(None)

    def load(name):
        table = lab.load_outcomes(name)
        return table.take(np.arange(len(table))[part])

    every = routers(None)
    for name in ("LabelRouter", "BudgetRouter", "SubsetRouter", "CachedRouter", "DynamicSelection"):
        del every[name]  # they answer with several models or need more than right and wrong
    mmlu = between_two(load("routellm-mmlu"), every, "GroupRouter")
    grouped = {name: r for name, r in every.items() if "roup" not in name}
    gsm8k = between_two(load("routellm-gsm8k"), grouped, "LengthRouter")
    llms = load("mmlu-pro-29-llms")
    whole = [m for m, share in zip(llms.models, llms.coverage(), strict=True) if share > 0.99]
    llms = llms.select(models=whole)
    chosen = every | {
        "SubsetRouter of 3, groups": lab.SubsetRouter(3, lab.GroupRouter()),
        "DynamicSelection": lab.DynamicSelection(),
    }
    pro = over_best_single(llms, chosen)
    services = {}
    for name in SERVICES:
        table = load(f"{name}-services")
        first = table.models[int(np.argmin(table.cost.mean(axis=0)))]
        services[name] = over_best_single(table, {"LabelRouter": lab.LabelRouter(first=first)})
    best = max(mmlu, key=lambda name: mmlu[name]["apgr"])
    return record(
        "routers",
        mmlu[best]["apgr"][0],
        mmlu["GroupRouter"]["apgr"][0],
        "APGR",
        higher_is_better=True,
        goal="0.020 above the subject table, or the sentence that there is none",
        peer_is="the accuracy of each subject, GroupRouter",
        best=best,
        seeds=len(SEEDS),
        routellm_mmlu=mmlu,
        routellm_gsm8k=gsm8k,
        mmlu_pro_points_over_best_single=pro,
        services_points_over_best_single=services,
        published_apgr={"routellm-mmlu mf": 0.597, "routellm-mmlu sw": 0.603,
                        "routellm-gsm8k bert": 0.531},
        published_are="trained on other data",
    )  # fmt: skip


RECORDS = {
    "routers": quality,
    "slider-routing": partial(slider_of, "routing"),
    "aiq-vs-cubic": aiq_vs_cubic,
    "slowest-router-decisions": slowest_decisions,
    "slowest-router-fit": slowest_fit,
    "bandit-steps": bandit_steps,
    "bandit-memory": bandit_memory,
    "guided-answers": guided_answers,
}
