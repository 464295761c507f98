"""What notebook 08b says of snapshots and of support vector machines, computed again."""

from functools import cache

import nbformat
import pandas as pd

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

NOTEBOOK = "08b_networks_in_batches"
SEEDS = range(5)


@cache
def runs(cell_id, function, splits=SEEDS):
    """What a function of the notebook finds split by split, as a table."""
    found = {"lab": lab}
    for cell in nbformat.read(ROOT / f"notebooks/{NOTEBOOK}.ipynb", as_version=4).cells:
        if cell.id in ("parameters", "helpers", "helpers-2"):
            exec(cell.source, found)
        if cell.id == "no-weights":
            exec(cell.source.split("try:")[0], found)
        if cell.id == cell_id:
            exec(cell.source.split("\n\n\nruns =")[0].split("\n\n\nmachines =")[0], found)
    return pd.DataFrame([found[function](s) for s in splits])


def snapshots_are_no_better():
    """Differences of mean errors are smaller than the spreads."""
    found = runs("snapshots", "networks_on_digits", range(3))
    found = found[[name for name in found.columns if "error (%)" in name]]
    means, spreads = found.mean(), found.std()
    return bool(means.max() - means.min() < spreads.max())


def company_wins_nothing(*names):
    """Several machines are not better than one by more than a tenth of a point."""
    found = runs("strong", "strong").mean()
    return all(found[name] > found["one machine"] - 0.1 for name in names)


CLAIMS = [
    Claim("five short cycles are no better than one long training", snapshots_are_no_better),
    Claim("Five machines, bagged or boosted, are no better than one",
          lambda: company_wins_nothing("5 bagged", "5 boosted")),
    Claim("With 10 stages that does not change", lambda: company_wins_nothing("10 boosted")),
    Claim("one machine is better than 300 boosted trees on each of the five splits",
          lambda: bool((runs("strong", "strong")["one machine"]
                        < runs("strong", "strong")["300 boosted trees"]).all())),
    Claim("with the usual $C = 1$ the machine hardly learns",
          lambda: runs("strong", "strong")["2 boosted, C = 1"].mean() > 30),
]  # fmt: skip
GIVEN = ["Take the time of a network in a batch of one as 100 %", "cost five times as much"]

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
