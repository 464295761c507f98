"""Best of n by tests that a model wrote, by a verifier that errs, and by agreement."""

from __future__ import annotations

import numpy as np

from ensemble_lab.answers.committees.agreement import sizes
from ensemble_lab.explorers.answers.verifier_replay import (
    LEFT_OUT,
    SAMPLES,
    Found,
    Tested,
    recorded,
    verifier,
)
from ensemble_lab.widgets.axes import Axes, log_axis, shares
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

POSITIVES = (0, 1, 2, 4, 6, 10, 15, 20, 30, 50)  # %
NEGATIVES = (0, 10, 25, 50, 75, 90)
MOST_TESTS = 300  # the most that a solution passes is 212

TASKS = (
    Task("Find the number of samples at which best of n by all tests is best.",
         lambda state, picture: state["left_out"] == 0
         and state["n"] == SAMPLES[int(_here(state).tested.best.argmax())]),
    Task("With which tests does best of 100 beat agreement?",
         lambda state, picture: state["n"] == 100
         and _here(state).tested.best[-1] > _here(state).tested.agreement[-1]),
    Task("Let a verifier that accepts at most half of the right ones reach 60 %.",
         lambda state, picture: state["false_negative"] >= 50
         and _here(state).verified.best[SAMPLES.index(state["n"])] > 0.6),
    Task("With a false-positive rate of 20 %, let the vote beat the best of n by eight points.",
         lambda state, picture: state["false_positive"] == 20 and _lead(state) > 0.08),
)  # fmt: skip


def _here(state: State) -> Found:
    return verifier(state["left_out"], state["false_positive"], state["false_negative"])


def _lead(state: State) -> float:
    """How far the vote of what the verifier accepts is above the best of n."""
    found, at = _here(state).verified, SAMPLES.index(state["n"])
    return float(found.vote[at] - found.best[at])


def explorer() -> Explorer:
    """CodeT's 164 problems: 100 solutions of each, and the tests that the same model wrote.

    A setting is worked out when first asked for.

    References
    ----------
    Chen et al., CodeT: code generation with generated tests, ICLR 2023.
    Cobbe et al., Training verifiers to solve math word problems, 2021.
    """
    names = recorded().problems.tolist()
    return Explorer(
        name="verifier",
        controls=(
            steps("n", "samples", SAMPLES, 20, "How many solutions of each problem are drawn."),
            steps("left_out", "wrong tests left out (%)", LEFT_OUT, 0,
                  "Tests that the reference solution fails; only who has it can leave them out."),
            steps("false_positive", "false positives (%)", POSITIVES, 6,
                  "Wrong solutions that the verifier accepts."),
            steps("false_negative", "false negatives (%)", NEGATIVES, 10,
                  "Right solutions that the verifier rejects."),
            steps("problem", "problem", names, 5, "Whose groups are shown on the right."),
        ),
        compute=verifier,
        draw=draw,
        tasks=TASKS,
        presets={
            "five samples": {"n": 5},
            "true tests only": {"n": 100, "left_out": 100},
            "strict verifier": {"n": 100, "false_positive": 1, "false_negative": 50},
            "wrong tests": Failing(n=100),
            "false positives": Failing(n=100, false_positive=20, false_negative=0),
            "a wrong crowd": Failing(n=100, problem=24),
        },
        sequence="n",
        opens={"n": 100},
    )  # fmt: skip


def draw(found: Found, state: State) -> Picture:
    """Both kinds of verifiers by the number of samples, and the groups of one problem."""
    at, problem = SAMPLES.index(state["n"]), recorded().problems.tolist().index(state["problem"])
    rows = shares("", 0, 0.78, dtick=0.2)
    ticks = (1, 2, 5, 10, 20, 50, 100)
    panels = mosaic(
        "tests verifier groups",
        widths=(10, 10, 8),
        tests=Axes(log_axis("samples n", ticks), rows, "Right, by the model's tests", 44, 78),
        verifier=Axes(log_axis("samples n", ticks), rows, "Right, by a verifier", 44, 76),
        groups=Axes(log_axis(f"tests passed, problem {state['problem']}", (1, 10, 100, MOST_TESTS),
                             ticktext=["1", "10", "100", ""]),
                    log_axis("solutions in the group", ticks), "", 44, 10),
    )  # fmt: skip
    marks = [
        *tests(panels.tests, found, at),
        *verified(panels.verifier, found, at),
        *groups(panels.groups, found.tested, problem),
    ]
    return panels.picture(marks, finding(found, at), lambda: table(found), also(found, at, problem))


def tests(panel: Panel, found: Found, at: int) -> list[Mark]:
    """How often each choice by tests is right."""
    its, n = found.tested, SAMPLES
    now = [its.best[at], its.agreement[at], its.vote[at]]
    return [
        panel.curve(n, found.any, ORACLE, "any of n", label="any of n"),
        panel.rule(found.one, INK, "one sample", width=1, label="one"),
        panel.curve(n, its.vote, SMALL, "vote of groups", label="vote"),
        panel.curve(n, its.agreement, COMBINED, "dual agreement", label="agreement"),
        panel.curve(n, its.best, BIG, "best of n by tests", label="best of n", width=4),
        panel.upright(n[at]),
        panel.points([n[at]] * 3, now, INK, "by tests, here", size=10, key=False),
    ]


def verified(panel: Panel, found: Found, at: int) -> list[Mark]:
    """How often each choice by the erring verifier is right, and a vote of what it accepts."""
    its, n = found.verified, SAMPLES
    return [
        panel.curve(n, found.any, ORACLE, "any of n, again", label="any of n"),
        panel.rule(found.one, INK, "one sample, again", width=1, label="one"),
        panel.curve(n, its.vote, COMBINED, "vote of the accepted", label="vote"),
        panel.curve(n, its.best, BIG, "best of n by the verifier", label="best of n", width=4),
        panel.upright(n[at], "here too"),
        panel.points([n[at]] * 2, [its.best[at], its.vote[at]], INK, "by the verifier, here",
                     size=10, key=False),
    ]  # fmt: skip


def groups(panel: Panel, tested: Tested, problem: int) -> list[Mark]:
    """Each group of solutions by the tests that it passes and its size; right ones filled."""
    passed, size, right = of_problem(tested, problem)
    marks = []
    for which, meaning, name in ((right, COMBINED, "right"), (~right, WRONG, "wrong")):
        marks.append(panel.points(passed[which], size[which], meaning, name, size=9))
    score = np.sqrt(size) * passed
    level = score.max() if len(score) else np.nan
    along = np.geomspace(1, MOST_TESTS, 61)
    equal = (level / along) ** 2
    equal[(equal < 0.95) | (equal > 105)] = np.nan
    best = score >= level * (1 - 1e-9)
    return [
        *marks,
        panel.curve(along, equal, INK, "as good for agreement", width=1, label=""),
        panel.points(passed[best], size[best], INK, "agreement's choice", size=17, key=False),
    ]  # fmt: skip


def of_problem(tested: Tested, problem: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tests passed, size and whether right, for each group that passes any test.

    A group is right where most of its solutions are.
    """
    codes, correct = tested.groups[problem], recorded().correct[problem]
    first = np.unique(codes[codes >= 0])
    right = np.array([correct[codes == code].mean() > 0.5 for code in first], bool)
    return tested.passed[problem, first], sizes(codes[None])[0, first], right


# -- in words -----------------------------------------------------------------------------------


def finding(found: Found, at: int) -> str:
    """How right each choice is at this number of samples."""
    tests, its = found.tested, found.verified
    top = SAMPLES[int(tests.best.argmax())]
    best = f"Best of {SAMPLES[at]} by tests is right on {tests.best[at]:.1%}"
    if SAMPLES[at] != top:
        best += f", of {top} on {tests.best.max():.1%}"
    verifier = f"By the verifier {its.best[at]:.1%}, a vote of what it accepts {its.vote[at]:.1%}"
    return (
        f"{best}: {tests.wrong:.0%} of them are wrong. Agreement: {tests.agreement[at]:.1%}\n"
        f"{verifier}; any of {SAMPLES[at]} is right on {found.any[at]:.1%}"
    )


def also(found: Found, at: int, problem: int) -> str:
    """What the words say beyond the finding."""
    passed, size, right = of_problem(found.tested, problem)
    told = ""
    if len(passed):
        chosen, largest = np.argmax(np.sqrt(size) * passed), np.argmax(size)
        names = {True: "right", False: "wrong"}
        told = (
            f" They form {len(passed)} groups that pass the same tests, at least one. Agreement"
            f" chooses {size[chosen]:.0f} solutions that pass {passed[chosen]} tests and are"
            f" {names[bool(right[chosen])]}; the largest group has {size[largest]:.0f}, which are"
            f" {names[bool(right[largest])]}. The thin line joins places that are as good for"
            " agreement."
        )
    return (
        f"One sample is right on {found.one:.1%}; the verifier accepts"
        f" {found.verified.accepted:.1%} of all. Of the 100 solutions of problem"
        f" {recorded().problems[problem]} {recorded().correct[problem].sum()} are right.{told}"
    )


def table(found: Found):
    """Every choice at every number of samples."""
    tests, its = found.tested, found.verified
    columns = {
        "best of n by tests": tests.best,
        "dual agreement": tests.agreement,
        "vote of groups": tests.vote,
        "best of n by the verifier": its.best,
        "vote of what it accepts": its.vote,
        "any of n": found.any,
    }
    return table_of(columns, SAMPLES, "samples")
