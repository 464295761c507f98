"""Distillation: what a student is shown at a temperature, and what it makes of it."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.distillation_replay import (
    LESSONS,
    MISSING,
    SEEDS,
    TEACHERS,
    TEMPERATURES,
    TRANSFERS,
    WIDTHS,
    Students,
    softened,
    students,
    weights_of,
)
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, ORACLE, SMALL, WRONG

GREY = [[0, "#FFFFFF"], [1, "#222222"]]
SMALLEST = WIDTHS.index(8)  # of the students whose temperature is drawn
LABELS, ANSWERS = (LESSONS.index(name) for name in ("labels", "answers"))
SIZES = (300, 1000, 3000, 10_000, 30_000, 100_000)


TASKS = (
    Task("Cool the teacher down to 1. What is left of its second thought?",
         lambda state, picture: state["temperature"] == 1),
    Task("Teach a digit that no student has ever seen.",
         lambda state, picture: state["transfer"] == "no 3" and state["temperature"] >= 8
         and state["digit"] == MISSING),
    Task("Find a teacher that does harm.",
         lambda state, picture: state["transfer"] == "weak teacher"),
)  # fmt: skip


def explorer() -> Explorer:
    """Small students of an ensemble of digit networks.

    All students of a setting are trained when it is first asked for, those of one size as one
    batch: five seeds at every temperature, and the students of labels and of answers alone.

    References
    ----------
    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015.
    """
    return Explorer(
        name="distillation",
        controls=(
            steps("temperature", "temperature", TEMPERATURES, 4,
                  "1: the teacher's probabilities as they are. Higher: the unlikely digits count."),
            steps("teachers", "networks in the teacher", TEACHERS, 8,
                  "The teacher says the mean of their probabilities."),
            steps("digit", "digit on the left", range(10), 8,
                  "Of the new images of this digit, the one that the teacher is least sure of."),
            choice("transfer", "students learn from", TRANSFERS, "few labels",
                   "998 images, of which 100 have labels, or all have; or no image of a 3; or"
                   " all labels and a teacher that is worse than its students."),
        ),
        compute=students,
        draw=draw,
        tasks=TASKS,
        presets={
            "few labels": {},
            "the missing 3": {"transfer": "no 3", "digit": MISSING, "temperature": 20},
            "the missing 3, cold": Failing(transfer="no 3", digit=MISSING, temperature=1),
            "all labels": Failing(transfer="all labels"),
            "weak teacher": Failing(transfer="weak teacher"),
        },
        sequence="temperature",
        opens={"transfer": "no 3", "digit": MISSING, "temperature": 20},
    )  # fmt: skip


def draw(found: Students, state: State) -> Picture:
    """What teacher and student say of one image, and how often they are right."""
    at = LESSONS.index(state["temperature"])
    image = found.least_sure(state["digit"])
    judged = found.right(found.said), found.right(found.teacher)
    low = min(judged[0].mean(0).min(), judged[1].mean())
    low = 0.0 if found.missing else 0.05 * np.floor((low - 0.02) / 0.05)
    what = f"Right on new {MISSING}s" if found.missing else "Right on new images"
    up, ticks = shares("", low, 1.01), {"tickvals": [0, 0.5, 1], "showgrid": False}
    panels = mosaic(
        "opinions heat / opinions sizes",
        widths=(8, 11),
        opinions=Axes(axis("digit", -0.6, 9.6, dtick=1), shares("", 0, 2.2, **ticks), "", 44),
        heat=Axes(log_axis("temperature", (1, 2, 4, 8, 20)), up, what, 44, 100),
        sizes=Axes(log_axis("weights in the network", SIZES), up, "The same, by size", 44, 100),
    )
    marks = panels.marks(found, at, image, judged, opinions=opinions, heat=over_temperature,
                         sizes=over_size)  # fmt: skip
    told = finding(found, state, at, judged)
    return panels.picture(marks, told, lambda: table(found, judged), also(found, state, at, image))


def opinions(panel: Panel, found: Students, at: int, image: int, judged) -> list[Mark]:
    """The image, the teacher's probabilities at the temperature, and the student's at the same."""
    heat, digits = LESSONS[at], np.arange(10)
    teacher = softened(found.teacher[0, image], heat)
    student = softened(found.said[0, SMALLEST, at, image], heat)
    told = {"hovertemplate": "%{x}: %{y:.1%}"}
    cells = found.images[0, image].reshape(8, 8)[::-1]  # drawn from the bottom up
    across, up = np.linspace(2.4, 6.6, 8), np.linspace(1.17, 2.08, 8)
    return [
        panel.heat(cells, across, up, "image", 0, 1, GREY, hoverinfo="skip"),
        panel.bars(digits, teacher, BIG, "teacher says", **told),
        panel.points(digits, student, COMBINED, "its student says", size=9, **told),
    ]


def over_temperature(panel: Panel, found: Students, at: int, image: int, judged) -> list[Mark]:
    """Students of 8 hidden units at every temperature, beside the other lessons."""
    right, teacher = judged
    own = right[:, SMALLEST]  # (5, lessons)
    return [
        panel.rule(teacher.mean(), BIG, "teacher"),
        panel.rule(own[:, ANSWERS].mean(), ORACLE, "its answers"),
        panel.rule(own[:, LABELS].mean(), SMALL, "labels alone"),
        panel.curve(TEMPERATURES, own[:, 2:], COMBINED, "distilled", width=4),
        panel.here(LESSONS[at], own[:, at], worth(own, at)),
    ]


def over_size(panel: Panel, found: Students, at: int, image: int, judged) -> list[Mark]:
    """Students of every size at this temperature, and the teacher, whose networks all count."""
    right, teacher = judged
    sizes = [weights_of(width) for width in WIDTHS]
    return [
        panel.curve(sizes, right[:, :, LABELS], SMALL, "labels alone, by size",
                    label="labels alone"),
        panel.curve(sizes, right[:, :, at], COMBINED, "distilled, by size", label="distilled",
                    width=4),
        panel.points([found.teacher_size], [teacher.mean()], BIG, "teacher's size", key=False,
                     size=13),
        panel.label(found.teacher_size, teacher.mean(), "teacher", BIG),
    ]  # fmt: skip


def worth(own: np.ndarray, at: int) -> str:
    """The student's colour: whether it beats labels alone, by more than the seeds' luck."""
    gain = own[:, at] - own[:, LABELS]
    return COMBINED if gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5 else WRONG


# -- in words -----------------------------------------------------------------------------------


def finding(found: Students, state: State, at: int, judged) -> str:
    """How often the student is right, and beside whom."""
    own, teacher = judged[0][:, SMALLEST], judged[1].mean()
    of = f"the {MISSING}s that it never saw" if found.missing else "new images"
    beside = (
        f"Labels alone: {own[:, LABELS].mean():.1%}; the teacher's answers:"
        f" {own[:, ANSWERS].mean():.1%}; the teacher itself: {teacher:.1%}"
    )
    return (
        f"At temperature {state['temperature']} the student is right on {own[:, at].mean():.1%} of"
        f" {of}\n{beside}"
    )


def also(found: Students, state: State, at: int, image: int) -> str:
    """What the words say beyond the finding."""
    heat = LESSONS[at]
    teacher = softened(found.teacher[0, image], heat)
    first, second = np.argsort(-teacher)[:2]
    said = int(found.said[0, SMALLEST, at, image].argmax())
    return (
        f"Of the {state['digit']} on the left the teacher says {first} with"
        f" {teacher[first]:.0%} and {second} with {teacher[second]:.0%} at temperature {heat}; its"
        f" student says {said}. Means over {len(SEEDS)} seeds."
    )


def table(found: Students, judged):
    """Shares right of students of every size and lesson: means, and spreads of the small ones."""
    right, teacher = judged
    names = ["labels alone", "the teacher's answers", *(f"temperature {t}" for t in TEMPERATURES)]
    columns = {
        f"{weights_of(width):,} weights": right[:, w].mean(0) for w, width in enumerate(WIDTHS)
    }
    columns["spread over 5 seeds"] = right[:, SMALLEST].std(0, ddof=1)
    columns["teacher"] = np.full(len(names), teacher.mean())
    return table_of(columns, names, "student learned from")
