"""Speed of the answers level: import, decisions, threshold grids and budget cascades.

Run with ``python -m benchmarks answers --json benchmarks/results/answers.json``.
"""

import subprocess
import sys
from itertools import permutations

import numpy as np
from scipy.optimize import brute

import ensemble_lab as lab
from benchmarks.parts.compare import record, side_by_side

HEAVY = ("torch", "transformers", "plotly", "ipywidgets", "pandas", "sklearn", "scipy", "pyarrow")
ROUNDS = 7


def import_time(quick):
    """Ours against scikit-learn's ensemble module, each in a fresh interpreter.

    `ours` is what the import adds to starting Python, taken in the same rounds.
    """

    def start(code):
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    rounds = 3 if quick else ROUNDS
    bare = side_by_side(start("pass"), start("import ensemble_lab"), rounds)
    peer = side_by_side(start("pass"), start("import sklearn.ensemble"), rounds)
    listed = f"import ensemble_lab, sys; print([m for m in {HEAVY} if m in sys.modules])"
    heavy = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True)
    use = "import ensemble_lab as lab; lab.Cascade(('DeepSpeech', 'Microsoft'), (0.7,)).decide("
    used = side_by_side(
        start("pass"), start(use + "lab.load_outcomes('audiomnist-services'))"), rounds
    )
    return record(
        "import",
        bare.peer - bare.ours,
        peer.peer - peer.ours,
        "s",
        goal="under 0.3 s, nothing heavy loaded",
        peer_is="import sklearn.ensemble",
        heavy_modules_loaded=heavy.stdout.strip(),
        to_first_decision_on_30000_items_s=used.peer - used.ours,
    )


def decide(quick):
    """Every policy on the two largest tables; scikit-learn's hard vote is the peer."""
    services, llms = lab.load_outcomes("shop-services"), lab.load_outcomes("mmlu-pro-29-llms")
    rounds = 1 if quick else ROUNDS
    votes = [lab.MajorityVote(), lab.WeightedVote()]
    over_confidence = [lab.MeanVote(), lab.ProductVote(), lab.MaxVote(), lab.MinVote()]
    a, b, c, d = services.models
    on_services = [
        *votes,
        *over_confidence,
        lab.MedianVote(),
        lab.Cascade((a, b, c, d), (0.9, 0.9, 0.9)),
        lab.AgreementCascade(((a, b), (c, d))),
        lab.BudgetCascade(2e-4),
    ]
    halves = (llms.models[:14], llms.models[14:])
    on_llms = [*votes, lab.AgreementCascade(halves, agreement=0.7)]
    milliseconds = {}
    for table, policies in ((services, on_services), (llms, on_llms)):
        for policy in policies:
            fitted = policy.fit(table)
            timed = side_by_side(lambda f=fitted, t=table: f.decide(t), lambda: None, rounds)
            name = f"{type(policy).__name__} {len(table)} x {len(table.models)}"
            milliseconds[name] = round(1000 * timed.ours, 2)

    def theirs():  # what sklearn.ensemble.VotingClassifier.predict does with the answers
        count = lambda row: np.argmax(np.bincount(row))  # noqa: E731
        return np.apply_along_axis(count, 1, services.answer)

    hard = side_by_side(lambda: lab.MajorityVote().decide(services), theirs, rounds)
    return record(
        "decide",
        1000 * hard.ours,
        1000 * hard.peer,
        "ms",
        goal="20 ms or less for any policy",
        peer_is="the hard vote of sklearn.ensemble.VotingClassifier on the same answers",
        slowest_ms=max(milliseconds.values()),
        by_policy_ms=milliseconds,
    )


def threshold_grid(quick):
    """All thresholds of a three-stage cascade; replaying each setting is the peer."""
    items, size = (2_000, 11) if quick else (25_000, 101)
    table = lab.load_outcomes("imdb-services").take(np.arange(items))
    cascade = lab.Cascade(("Vader", "Amazon", "Google"), (0.5, 0.5))
    levels = np.linspace(0, 1, size)
    every = [(s, t) for s in levels.tolist() for t in levels.tolist()]
    timed = side_by_side(
        lambda: lab.frontier(cascade, table, thresholds=levels),
        lambda: lab.frontier(cascade, table, thresholds=every),
        1 if quick else 5,
    )
    return record(
        "threshold-grid",
        timed.ours,
        timed.peer,
        "s",
        goal=f"under 1 s for {size} x {size} settings on {items} items",
        peer_is="Cascade.decide for every setting, itself array arithmetic",
        spread=timed.spread,
    )


def halves(quick):
    """Train and test rows of the speech services and a budget of 30 % of the most expensive."""
    train, test = lab.load_outcomes("audiomnist-services").split(0.02 if quick else 1 / 6, seed=0)
    return train, test, 0.3 * float(train.cost[0].max())


def brute_over_orders(table, budget, objective, points):
    """FrugalGPT's search: `scipy.optimize.brute` over two thresholds, for every order of three."""
    best = (np.inf, None, None)
    for order in permutations(range(len(table.models)), 3):
        right, spent = table.correct[:, order], np.cumsum(table.cost[:, order], axis=1)
        matrices = (right, spent, table.confidence[:, order[:2]])
        if objective is by_row:  # what a Python loop reads fastest: rows of plain numbers
            arguments = (*(matrix.tolist() for matrix in matrices), budget)
        else:  # and NumPy: whole columns
            arguments = (*(np.ascontiguousarray(matrix.T) for matrix in matrices), budget)
        x, loss, *_ = brute(objective, ((0, 1), (0, 1)), arguments, Ns=points, full_output=True)
        if loss < best[0]:
            best = (loss, [table.models[j] for j in order], tuple(np.clip(x, 0, 2)))
    return best[1:]


def by_row(thresholds, right, spent, sure, budget):
    """One setting: right answers and USD summed row by row."""
    hits = paid = 0.0
    first, second = thresholds.tolist()
    for rights, spents, (one, two) in zip(right, spent, sure, strict=True):
        stage = 0 if one >= first else 1 if two >= second else 2
        hits += rights[stage]
        paid += spents[stage]
    return -hits / len(right) if paid / len(right) <= budget else 1.0


def by_column(thresholds, right, spent, sure, budget):
    """One setting: whole columns at a time."""
    one, two = sure[0] >= thresholds[0], sure[1] >= thresholds[1]

    def mean(values):
        return np.where(one, values[0], np.where(two, values[1], values[2])).mean()

    return -mean(right) if mean(spent) <= budget else 1.0


def budget_record(name, objective, goal, quick, rounds):
    train, test, budget = halves(quick)
    how = "a Python loop over rows" if objective is by_row else "vectorised in NumPy"
    points = 6 if quick else 40
    found = {}

    def ours():
        found["ours_found"] = lab.BudgetCascade(budget).fit(train).cascade

    def theirs():
        order, thresholds = brute_over_orders(train, budget, objective, points)
        found["brute_found"] = lab.Cascade(order, thresholds)

    timed = side_by_side(ours, theirs, rounds)
    judged = {}
    for who, cascade in found.items():
        fitted, held_out = cascade.decide(train), cascade.decide(test)
        judged[who] = {
            "order": cascade.order,
            "thresholds": cascade.thresholds,
            "train_accuracy": fitted.accuracy,
            "train_cost_over_budget": fitted.mean_cost / budget,
            "held_out_accuracy": held_out.accuracy,
            "held_out_cost_over_budget": held_out.mean_cost / budget,
        }
    return record(
        name,
        timed.ours,
        timed.peer,
        "s",
        goal=goal,
        peer_is=f"scipy.optimize.brute(Ns={points}), all orders of three, {how}",
        spread=timed.spread,
        items=len(train),
        **judged,
    )


def budget_vs_loop(quick):
    goal = "at least 100 times quicker, training accuracy at least as high"
    return budget_record("budget-cascade-vs-brute", by_row, goal, quick, 1 if quick else 5)


def budget_vs_numpy(quick):
    goal = "at least 5 times quicker, training accuracy at least as high"
    name = "budget-cascade-vs-numpy-brute"
    return budget_record(name, by_column, goal, quick, 1 if quick else 5)


RECORDS = {
    "import": import_time,
    "decide": decide,
    "threshold-grid": threshold_grid,
    "budget-cascade-vs-brute": budget_vs_loop,
    "budget-cascade-vs-numpy-brute": budget_vs_numpy,
}
