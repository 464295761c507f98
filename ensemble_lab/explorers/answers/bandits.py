"""Bandits step by step: what they believe, whom they ask, and what learning has cost."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.answers.bandits_replay import (
    CHANGE,
    DISCOUNTS,
    FAILS,
    JUNE,
    POLICIES,
    POOL,
    PRICED,
    QUESTIONS,
    RUNS,
    STILL,
    STREAMS,
    THOMPSON,
    TIMES,
    UCB,
    Bandits,
    bandits,
)
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, ORACLE, SMALL

ACCURACIES = np.linspace(0.002, 0.998, 250)  # at which a belief is drawn
HIGH = 1.16  # of the panel of beliefs, each of which is 1 high

TASKS = (
    Task("Within 300 questions of June, send GPT-3.5 more than half of the last 100",
         lambda state, picture: state["stream"] == JUNE and CHANGE < state["question"] <= 1300
         and bool(_found(state).share(1)[:, _at(state)].mean() > 0.5)),
    Task("Make forgetting cost 50 right answers where nothing changes",
         lambda state, picture: state["stream"] == STILL
         and _lost(state) > _lost({**state, "discount": 1.0}) + 50),
    Task("Lose more than half of what random choices lose, among 28 models, in 2,000 questions",
         lambda state, picture: state["stream"] == POOL and state["question"] == QUESTIONS
         and _lost(state) > float(_found(state).at_random[-1]) / 2),
)  # fmt: skip


def explorer() -> Explorer:
    """Three policies on five streams of 2,000 recorded questions, 20 runs each.

    A setting is worked out when first asked for.

    References
    ----------
    Auer, Cesa-Bianchi and Fischer, Finite-time analysis of the multiarmed bandit problem, 2002.
    Chen, Zaharia and Zou, How is ChatGPT's behavior changing over time?, 2023.
    """
    return Explorer(
        name="bandits",
        controls=(
            steps("question", "questions answered", TIMES, CHANGE,
                  "Where the stream stands. What changes, changes at 1,000."),
            choice("stream", "stream", STREAMS, JUNE,
                   "Whether numbers are prime, to GPT-4 and GPT-3.5 of March and June 2023; or"
                   " exam questions to 28 models. A failure is not announced; a price is."),
            choice("policy", "policy", POLICIES, THOMPSON,
                   "Draws from beliefs, upper bounds, or the best mean so far."),
            steps("discount", "discount", DISCOUNTS, 0.99,
                  "What each new grade leaves of the weight of old ones. 1 forgets nothing; UCB1"
                  " and greedy never forget."),
        ),
        compute=compute,
        draw=draw,
        tasks=TASKS,
        presets={
            "June noticed": {"question": 1400},
            "never forgets": Failing(question=QUESTIONS, discount=1.0),
            "GPT-4 fails": {"stream": FAILS, "question": 1200},
            "price rises": {"stream": PRICED, "question": 1100},
            "28 models": {"stream": POOL, "question": QUESTIONS, "discount": 1.0},
            "bounds on 28": Failing(stream=POOL, question=QUESTIONS, policy=UCB, discount=1.0),
            "nothing changes": Failing(stream=STILL, question=QUESTIONS, discount=0.9),
        },
        sequence="question",
        opens={"question": 1400},
    )  # fmt: skip


def compute(stream: str, policy: str, discount: float) -> Bandits:
    """All runs, at every question."""
    return bandits(stream, policy, discount)


def _found(state: State) -> Bandits:
    return bandits(state["stream"], state["policy"], state["discount"])


def _at(state: State) -> int:
    return TIMES.index(state["question"])


def _lost(state: State) -> float:
    """The mean regret at this question."""
    return float(_found(state).regret[:, state["question"] - 1].mean())


# -- the picture --------------------------------------------------------------------------------


def draw(found: Bandits, state: State) -> Picture:
    """Regret, beliefs about the models, and who was asked."""
    top = 1.1 * max(found.at_random[-1], found.regret[:, -1].max())
    time = lambda: axis("questions", 0, QUESTIONS * 1.02, tickvals=[0, 1000, 2000])  # noqa: E731
    panels = mosaic(
        "regret beliefs calls",
        widths=(9, 9, 8),
        regret=Axes(time(), axis("", -0.03 * top, top), "Right answers lost", 48, 78),
        beliefs=Axes(shares("accuracy", -0.04, 1.04),
                     axis("", 0, HIGH, showticklabels=False, showgrid=False),
                     "Beliefs (first run)", 18, 14),
        calls=Axes(time(), shares("", -0.03, 1.05), "Of the last 100", 48, 66),
    )  # fmt: skip
    marks = [
        *regret(panels.regret, found, state),
        *beliefs(panels.beliefs, found, state),
        *calls(panels.calls, found, state),
    ]
    told = finding(found, state)
    return panels.picture(marks, told, lambda: table(found), also(found, state))


def regret(panel: Panel, found: Bandits, state: State) -> list[Mark]:
    """Up to now thick, later thin; beside choices at random."""
    every = np.arange(0, QUESTIONS, 10)
    mean, now = found.regret.mean(axis=0), found.regret[:, state["question"] - 1]
    past = np.where(every < state["question"], mean[every], np.nan)
    ends = tuple(np.quantile(now, [0.025, 0.975]).tolist())
    return [
        panel.curve(every + 1, found.at_random[every], ORACLE, "at random"),
        panel.curve(every + 1, mean[every], COMBINED, "later", width=1, label=state["policy"],
                    line={"dash": "dot"}),
        panel.curve(every + 1, past, COMBINED, "so far", width=4, label=""),
        panel.here(state["question"], now.mean(), COMBINED, "now", ends=ends),
    ]  # fmt: skip


def beliefs(panel: Panel, found: Bandits, state: State) -> list[Mark]:
    """The posterior of each model, one high at its top; dots are what is true now."""
    right, wrong = found.beliefs[_at(state)]
    logs = right[:, None] * np.log(ACCURACIES) + wrong[:, None] * np.log(1 - ACCURACIES)
    height = np.exp(logs - logs.max(axis=1, keepdims=True))  # (m, 250) of Beta(1 + r, 1 + w)
    first, second = found.names
    rest = np.column_stack([height[2:], np.full(len(height) - 2, np.nan)]).ravel()
    x = np.tile(np.append(ACCURACIES, np.nan), len(height) - 2)
    now = found.accuracy[int(state["question"] > CHANGE)]
    marks = [panel.curve(x, rest, ORACLE, "belief, other models", width=1, label="",
                         line={"dash": "solid"})]  # fmt: skip
    for j, meaning, name in ((1, SMALL, second), (0, BIG, first)):
        marks += [
            panel.curve(ACCURACIES, height[j], meaning, f"belief, model {j + 1}", label=""),
            panel.points([now[j]], [0.02], meaning, f"true, model {j + 1}", key=False),
            panel.label(ACCURACIES[height[j].argmax()], 1.0, name, meaning,
                        xanchor="center", xshift=0, yshift=18 - 16 * j),
        ]  # fmt: skip
    return marks


def calls(panel: Panel, found: Bandits, state: State) -> list[Mark]:
    """The share of each model in the last 100 questions, mean of the runs."""
    share = [found.share(j).mean(axis=0) for j in (0, 1)]
    others = 1 - share[0] - share[1]
    there = 1.0 if found.value.shape[1] > 2 else np.nan  # of two models there are no others
    return [
        panel.curve(np.array(TIMES) * there, others * there, ORACLE, "share, other models",
                    label="others"),
        panel.curve(TIMES, share[1], SMALL, "share, model 2", label=found.names[1]),
        panel.curve(TIMES, share[0], BIG, "share, model 1", label=found.names[0]),
        panel.upright(state["question"]),
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(found: Bandits, state: State) -> str:
    """What was lost so far, who is asked now, and whether a change was noticed."""
    at, now = _at(state), int(state["question"] > CHANGE)
    best = int(found.value[now].argmax())
    share = found.share(best)[:, at].mean()
    name = found.names[best] if best < 2 else "the best model"
    name = f"the {name} model" if state["stream"] == POOL and best < 2 else name
    told = f"{state['question']:,} questions, {_lost(state):.0f} right answers lost"
    told += f" ({found.at_random[state['question'] - 1]:.0f} at random)"
    told += f"\nOf the last 100, {share:.0%} went to {name}"
    if now and found.value[0].argmax() != best:
        until = found.noticed
        seen = until <= state["question"] - CHANGE
        told += f"; the change was noticed in {seen.sum()} of {RUNS} runs"
        if seen.any():
            told += f", after {np.median(until[seen]):.0f} or so"
    return told


def also(found: Bandits, state: State) -> str:
    """What the words say beyond the finding."""
    right, wrong = found.beliefs[_at(state)]
    told = "; ".join(
        f"{name}: {a + b:.0f} grades count, mean {(1 + a) / (2 + a + b):.0%}, in truth {true:.0%}"
        for name, a, b, true in zip(
            found.names, right, wrong, found.accuracy[int(state["question"] > CHANGE)], strict=False
        )
    )
    return (
        f"Means of {RUNS} runs; beliefs are those of the first. {told}. A change is noticed when 80"
        " of 100 calls in a row go to the model that is better now. Where GPT-4 costs more, a call"
        " costs 0.4 right answers, and every policy is told."
    )


def table(found: Bandits):
    """Every hundred questions: regret, and who was asked."""
    at = np.array(TIMES) - 1
    columns = {
        "regret": found.regret[:, at].mean(axis=0),
        "regret, at random": found.at_random[at],
        f"to {found.names[0]}": found.share(0).mean(axis=0),
        f"to {found.names[1]}": found.share(1).mean(axis=0),
    }
    return table_of(columns, TIMES, "questions")
