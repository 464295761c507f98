"""Adversarial pairs: what a generator makes step by step, and what the losses say of it."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.gan_replay import (
    CELLS,
    EDGE,
    EVERY,
    KINDS,
    LAST,
    RATIOS,
    SEEDS,
    STEPS,
    Recorded,
    centres,
    held,
    recorded,
)
from ensemble_lab.widgets.axes import FRAMED, Axes, axis
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

MODES = 8
SHADE = [[0, "#FFFFFF"], [1, "#9ECAE1"]]  # from what the discriminator takes for generated to real
END = STEPS[-1] + 60  # of the axes of steps: the last state is drawn whole
NEAR = 0.2  # losses that differ by less look alike


def at_step(state: State) -> tuple[Recorded, int, int]:
    """The pairs of a state, its seed, and its place among the recorded steps."""
    return recorded(state["kind"], state["ratio"]), state["seed"], STEPS.index(state["step"])


def judged(state: State) -> tuple[int, float]:
    """Covered modes and share of good samples of a state."""
    found, seed, t = at_step(state)
    return int(found.modes[seed, t]), float(found.good[seed, t])


def looks_like_a_better_one(state: State) -> bool:
    """Whether a seed with six modes more has the same losses, within 0.2."""
    found, seed, t = at_step(state)
    losses = found.losses_at(state["step"])
    alike = (np.abs(losses - losses[seed]) < NEAR).all(1)
    return bool((alike & (found.modes[:, t] >= found.modes[seed, t] + 6)).any())


def all_covered(state: State) -> bool:
    """Whether every seed covers every mode."""
    found, _, t = at_step(state)
    return bool((found.modes[:, t] == MODES).all())


TASKS = (
    Task("Find a seed whose losses are those of another, which covers six modes more.",
         lambda state, picture: looks_like_a_better_one(state)),
    Task("Find eight covered modes, and fewer than one good sample in ten.",
         lambda state, picture: judged(state)[0] == MODES and judged(state)[1] < 0.1),
    Task("Find a setting in which all five seeds cover all modes.",
         lambda state, picture: all_covered(state)),
)  # fmt: skip


def explorer() -> Explorer:
    """Pairs of a generator and a discriminator on eight Gaussians, trained and recorded.

    Everything that a pair did was recorded at the steps of the slider. A generator's rate is the
    same everywhere; `ratio` changes that of the discriminator.

    References
    ----------
    Goodfellow et al., Generative adversarial nets, NeurIPS 2014.
    Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017.
    """
    return Explorer(
        name="gan",
        controls=(
            steps("step", "step", STEPS, 300,
                  "How many updates of the generator. All steps were recorded."),
            steps("seed", "seed", SEEDS, 2,
                  "The seed decides the first weights and every draw, and nothing else differs."),
            choice("kind", "loss", tuple(KINDS), "non-saturating",
                   "What the generator learns from. The WGAN has a critic instead of a"
                   " discriminator, and its penalty keeps the critic's slope near 1."),
            steps("ratio", "rate of discriminator / generator", RATIOS, 1.0,
                  "How many times the generator's learning rate the discriminator has."),
        ),
        compute=recorded,
        draw=draw,
        tasks=TASKS,
        presets={
            "lucky seed": {"step": 2000, "seed": 3},
            "unlucky seed": Failing(step=2000, seed=2),
            "fast discriminator": {"step": 2000, "seed": 2, "ratio": 3.0},
            "slow discriminator": Failing(step=2000, seed=3, ratio=0.3),
            "WGAN-GP": {"step": 2000, "seed": 2, "kind": "WGAN-GP, penalty 0.1"},
            "strong penalty": Failing(step=2000, seed=2, kind="WGAN-GP, penalty 10"),
        },
        along="step",
        sequence="step",
        opens={"step": 2000},
    )  # fmt: skip


def draw(found: Recorded, state: State) -> Picture:
    """Samples over the discriminator's field, both losses, and covered modes by step."""
    seed, t = state["seed"], STEPS.index(state["step"])
    low, high = loss_range(found)
    square = {"showticklabels": False, **FRAMED}
    panels = mosaic(
        "plane losses / plane modes",
        widths=(10, 10),
        plane=Axes(axis("", -EDGE, EDGE, **square), axis("", -EDGE, EDGE, **square), "Samples", 12),
        losses=Axes(axis("", -40, END, showticklabels=False), axis("", low, high), "Losses",
                    44, 100),
        modes=Axes(axis("step", -40, END), axis("", -0.3, MODES + 0.4, dtick=2),
                   "Covered modes", 44, 100),
    )  # fmt: skip
    marks = panels.marks(found, state, seed, t, plane=plane, losses=losses, modes=modes)
    return panels.picture(marks, finding(found, state), lambda: table(found, seed),
                          also(found, state))  # fmt: skip


def loss_range(found: Recorded) -> tuple[float, float]:
    """Where nearly all losses of the five seeds lie, with the level of chance."""
    low, high = np.quantile(found.losses, [0.005, 0.995])
    low, high = min(low, found.chance, 0), max(high, found.chance)
    room = 0.05 * (high - low)
    return low - room, high + room


def plane(panel: Panel, found: Recorded, state: State, seed: int, t: int) -> list[Mark]:
    """What is generated, on the ground of what the discriminator takes for real."""
    x, y = found.samples[seed, t].T
    away = np.linalg.norm(found.samples[seed, t][:, None] - centres(), axis=2).min(1)
    good = away <= 3 * float(held()["sd"])
    edges = np.linspace(-EDGE, EDGE, CELLS + 1)
    inside = (np.abs(found.samples[seed, t]) < EDGE).all(1)
    marks = [panel.heat(found.field[seed, t], edges, edges, "taken for real", 0, 1, SHADE,
                        hovertemplate="%{z:.2f}<extra></extra>"),
             panel.points(*centres().T, INK, "modes", size=34)]  # fmt: skip
    for meaning, name, which in ((WRONG, "other samples", ~good), (COMBINED, "good samples", good)):
        which = which & inside
        marks.append(panel.points(x[which], y[which], meaning, name, size=6))
    return marks


def losses(panel: Panel, found: Recorded, state: State, seed: int, t: int) -> list[Mark]:
    """Both losses, each a mean of twenty steps, and the level of a discriminator that guesses."""
    at = EVERY * (np.arange(found.losses.shape[2]) + 0.5)
    of_d, of_g = found.losses[seed]
    first = "critic" if found.critic else "discriminator"
    return [
        panel.rule(found.chance, ORACLE, "guessing", label="guessing", width=1),
        panel.curve(at, of_d, SMALL, "discriminator's loss", label=first),
        panel.curve(at, of_g, BIG, "generator's loss", label="generator"),
        panel.upright(state["step"], "this step, losses"),
    ]


def modes(panel: Panel, found: Recorded, state: State, seed: int, t: int) -> list[Mark]:
    """Covered modes of this seed, and of all five."""
    return [
        panel.curve(STEPS, found.modes.min(0), WRONG, "lowest of five", label="lowest of 5"),
        panel.curve(STEPS, found.modes.mean(0), ORACLE, "mean of five", label="mean of 5"),
        panel.curve(STEPS, found.modes[seed], COMBINED, "this seed", label=f"seed {seed}"),
        panel.upright(state["step"], "this step, modes"),
        panel.points([state["step"]], [found.modes[seed, t]], INK, "this state", size=13,
                     key=False),
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(found: Recorded, state: State) -> str:
    """Modes, good samples and losses of this seed, and beside them those of the others."""
    seed, t = state["seed"], STEPS.index(state["step"])
    losses = found.losses_at(state["step"])
    others = [s for s in SEEDS if s != seed]
    counts = [str(found.modes[s, t]) for s in others]
    low, high = losses[others].min(0), losses[others].max(0)
    told = [f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)]
    return (
        f"After {state['step']:,} steps seed {seed} covers {found.modes[seed, t]} of {MODES} modes"
        f" ({found.good[seed, t]:.0%} of samples good), with losses of {losses[seed, 0]:.2f} and"
        f" {losses[seed, 1]:.2f}\nThe other seeds cover {', '.join(counts[:-1])} and {counts[-1]},"
        f" with losses of {told[0]} and {told[1]}"
    )


def also(found: Recorded, state: State) -> str:
    """What the words say beyond the finding."""
    t = STEPS.index(state["step"])
    full = int((found.modes[:, t] == MODES).sum())
    return (
        f"Losses are of the {'critic' if found.critic else 'discriminator'} and of the generator,"
        f" each the mean of the last {EVERY * LAST} steps. A sample is good within 3 standard"
        " deviations of a centre, and a mode is covered by one good sample of 2,500. At this step"
        f" {full} of 5 seeds cover all modes."
    )


def table(found: Recorded, seed: int):
    """Every recorded step of this seed, and the modes of all five."""
    import pandas as pd

    both = np.stack([found.losses_at(step)[seed] for step in STEPS])
    return pd.DataFrame({
        "step": STEPS,
        "covered modes": found.modes[seed],
        "good samples": found.good[seed],
        "discriminator's loss": both[:, 0],
        "generator's loss": both[:, 1],
        "modes, lowest of five": found.modes.min(0),
        "modes, mean of five": found.modes.mean(0),
    }).set_index("step")  # fmt: skip
