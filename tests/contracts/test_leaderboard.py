"""A leaderboard refuses what it cannot rank, with the fix, and keeps what was entered."""

from __future__ import annotations

import math

import numpy as np

import ensemble_lab as lab
from tests.advice.tables import services
from tests.contracts.registry import collected, contract


@contract("Leaderboard")
def test_what_cannot_be_ranked_is_refused(tmp_path):
    known, place = services(60), tmp_path / "openings.jsonl"
    make = lambda **more: lab.Leaderboard(known, **{"path": place} | more)  # noqa: E731
    board = make()
    board.enter("small", lab.Cascade(("small",)))
    one = lab.MajorityVote()
    gaps = known.correct.copy()
    gaps[3, 0] = math.nan
    collected(
        {f"outcomes {x!r}": lambda x=x: lab.Leaderboard(x) for x in (None, "t.csv", [[1]], {})}
        | {f"budget {x!r}": lambda x=x: make(budget=x) for x in ("1", -1, math.nan, True, [1])}
        | {f"seed {x!r}": lambda x=x: make(seed=x) for x in ("1", -1, 0.5, True, None)}
        | {f"path {x!r}": lambda x=x: make(path=x) for x in (None, 7, "", True, [])}
        | {f"name {x!r}": lambda x=x: board.enter(x, one) for x in (None, 7, "", " ", ["a"])}
        | {
            f"policy {x!r}": lambda x=x: board.enter("new", x)
            for x in (None, "vote", lab.MajorityVote, lab.Thompson(), np.mean, {})
        }
        | {
            "twice": lambda: board.enter("small", one),
            "other models": lambda: board.enter("new", lab.Cascade(("none",))),
            "few": lambda: lab.Leaderboard(services(19)),
            "gaps": lambda: lab.Leaderboard(services(correct=np.full((300, 3), math.nan))),
            "one gap": lambda: lab.Leaderboard(services(60, correct=gaps)),
            "no prices": lambda: lab.Leaderboard(services(cost=None), budget=1),
            "nothing entered": lambda: make().open(),
            "a folder": lambda: lab.Leaderboard(known, path=tmp_path).openings(),
        }
    )
    assert [entry.name for entry in board.entries] == ["small"] and not place.exists()


@contract("Leaderboard")
def test_names_and_the_order_of_rows_change_no_score(tmp_path):
    known = services(80)
    other = lab.Outcomes(
        models=["Ω:\n", "a → b", "ß"], items=known.items, correct=known.correct,
        answer=known.answer, labels=["x", "y", "z"], truth=known.truth, cost=known.cost,
    )  # fmt: skip
    found = []
    for outcomes in (known, other):
        board = lab.Leaderboard(outcomes, path=tmp_path / "o")
        for name in ("vote\n", "Ω"):
            board.enter(name, lab.WeightedVote())
        assert board.table().index.tolist() == ["vote\n", "Ω"]
        found.append(board.table())
    assert found[0].equals(found[1])
    assert lab.Leaderboard(known, path=tmp_path / "o").table().empty
