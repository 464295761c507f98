"""One table: every rule on the same requests and machines, for several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
import pandas as pd

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.systems.rules.alpaserve import AlpaServe
from ensemble_lab.systems.rules.andes import Andes
from ensemble_lab.systems.rules.clipper import Clipper
from ensemble_lab.systems.rules.cocktail import Cocktail
from ensemble_lab.systems.rules.distserve import DistServe
from ensemble_lab.systems.rules.fastserve import FastServe
from ensemble_lab.systems.rules.fleet import Fleet, Variant
from ensemble_lab.systems.rules.infaas import INFaaS
from ensemble_lab.systems.rules.inferline import InferLine
from ensemble_lab.systems.rules.llumnix import Llumnix
from ensemble_lab.systems.rules.loki import Loki
from ensemble_lab.systems.rules.muxserve import MuxServe
from ensemble_lab.systems.rules.nexus import Nexus
from ensemble_lab.systems.rules.preble import Preble
from ensemble_lab.systems.rules.serverless import ServerlessLLM
from ensemble_lab.systems.rules.shepherd import Shepherd
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.inputs import instance, numbers, positive, whole
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests
from ensemble_lab.systems.simulator.served import Served

# Of an older machine: with 16 requests of an hour of conversations (1,155 tokens read and 211
# written on average) a step takes 56 ms, and it answers 1.0 a second. Memory is never full.
ENGINE = Engine(
    step=0.040, per_task=0.001, prompt=0.005, per_token=0.0002, slots=16, capacity=250_000
)

# Variants of each model in the scene: share of the time of the best, and of right answers.
SPEEDS, ACCURACIES = (1.0, 0.6, 0.35), (0.80, 0.74, 0.65)
CHOICES = 4  # answers to a question of the scene
DISK = 5.0  # GB a second
OPENINGS, BLOCK = 20, 512  # blocks that prompts begin with, and tokens of a block


@dataclass(frozen=True, eq=False)
class Scene:
    """What all rules of a table share.

    Attributes
    ----------
    requests : Requests
        What is served.
    sample : Requests
        An earlier trace; rules that plan look at nothing else beforehand.
    variants : tuple of tuple of Variant
        Of each model, the best first.
    machines : int
    outcomes : Outcomes
        Answers of the variants: request i asks item i, counted round.
    """

    requests: Requests
    sample: Requests
    variants: tuple[tuple[Variant, ...], ...]
    machines: int
    outcomes: Outcomes

    def serve(self, rule: Rule) -> Served:
        """Serve the requests on new machines; a rule that knows no variants has the best ones.

        Raises
        ------
        ValueError
            A rule that is none, or one for other models.
        """
        instance(rule, Rule, "rule")
        best = self.variants[0][0]
        machines = [Machine(i, best.engine) for i in range(self.machines)]
        served = serve_requests(self.requests, machines, rule)
        if (served.quality == 1.0).all():
            served = replace(served, quality=np.full(len(self.requests), best.accuracy))
        return served


def draw_scene(
    trace: Requests,
    seed: int,
    *,
    engine: Engine = ENGINE,
    machines: int = 12,
    popularity: Sequence[float] = (0.4, 0.3, 0.2, 0.1),
    limit: float = 40.0,
    load: float = 10.0,
) -> Scene:
    """A trace, its models drawn by seed, cut into an earlier tenth and the rest.

    The seed draws which model each request asks for, each request's limit (`limit` or, for one in
    two, 1.5 times that), how the variants answer, and, unless the trace has blocks, with which of
    20 blocks of 512 tokens each prompt begins. Arrivals and lengths are those of the trace.

    Parameters
    ----------
    trace : Requests
        Arrivals and lengths; its models and limits are not used.
    seed : int
    engine : Engine
        Of the best variant of each model; the others need .6 and .35 of its times.
    machines : int
    popularity : sequence of float
        Shares of the models, sum 1.
    limit, load : float
        Seconds until an answer is late, and seconds to load a variant.

    Raises
    ------
    ValueError
        Fewer than 20 requests, or not more than models; shares that are no probabilities; no
        machine.
    """
    n, shares = len(instance(trace, Requests, "trace")), numbers(popularity, "popularity")
    rng = np.random.default_rng(whole(seed, "seed", 0))
    instance(engine, Engine, "engine")
    machines, limit = whole(machines, "machines"), positive(limit, "limit", " s")
    if n < 20:
        raise ValueError(f"{n} requests are too few; give at least 20")
    if shares.ndim != 1 or not (shares >= 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"popularity is {shown(popularity)}; give shares that sum to 1")
    if n <= len(shares):
        raise ValueError(f"{n} requests for {len(shares)} models; give more requests than models")
    model = rng.choice(len(shares), n, p=shares / shares.sum())
    model[: len(shares)] = range(len(shares))  # the earlier part knows them all
    limits = limit * rng.choice([1.0, 1.5], n)
    truth = rng.integers(0, CHOICES, 1000)
    right = rng.random((1000, len(ACCURACIES))) < ACCURACIES
    wrong = (truth[:, None] + rng.integers(1, CHOICES, right.shape)) % CHOICES
    outcomes = Outcomes(
        models=("large", "medium", "small"), items=np.arange(1000), correct=right,
        answer=np.where(right, truth[:, None], wrong), labels=tuple(range(CHOICES)), truth=truth,
    )  # fmt: skip
    ways = tuple(
        Variant(_faster(engine, speed), accuracy, load)
        for speed, accuracy in zip(SPEEDS, ACCURACIES, strict=True)
    )
    blocks = trace.blocks
    if blocks is None:
        opening, new = rng.integers(0, OPENINGS, n), count(OPENINGS)
        blocks = tuple(
            (int(first), *islice(new, int(prompt) // BLOCK))
            for first, prompt in zip(opening, trace.prompt, strict=True)
        )
    cut = max(n // 10, len(shares))
    parts = [
        Requests(
            *(field[part] for field in (trace.arrival, trace.prompt, trace.output, model, limits)),
            blocks[part],
        )
        for part in (slice(cut), slice(cut, None))
    ]  # fmt: skip
    return Scene(parts[1], parts[0], (ways,) * len(shares), machines, outcomes)


def _faster(engine: Engine, share: float) -> Engine:
    times = ("step", "per_task", "prompt", "per_token")
    return replace(engine, **{name: getattr(engine, name) * share for name in times})


#: Makes each rule for a scene, by name.
RULES: dict[str, Callable[[Scene], Rule]] = {
    "least loaded": lambda scene: Rule(),
    "a model a machine": lambda scene: Fleet(scene.variants, scene.sample),
    "Clipper": lambda scene: Clipper(scene.variants, scene.sample),
    "Nexus": lambda scene: Nexus(scene.variants, scene.sample),
    "InferLine": lambda scene: InferLine(scene.variants, scene.sample),
    "INFaaS": lambda scene: INFaaS(scene.variants, scene.sample, accuracy=0.7),
    "Cocktail": lambda scene: Cocktail(scene.variants, scene.sample, scene.outcomes),
    "Loki": lambda scene: Loki(scene.variants, scene.sample),
    "SHEPHERD": lambda scene: Shepherd(scene.variants, scene.sample),
    "AlpaServe": lambda scene: AlpaServe(scene.variants, scene.sample, overhead=0.002),
    "Andes": lambda scene: Andes(),
    "DistServe": lambda scene: DistServe(readers=max(scene.machines // 4, 1)),
    "FastServe": lambda scene: FastServe(20 * scene.variants[0][0].engine.step),
    "Llumnix": lambda scene: Llumnix(),
    "MuxServe": lambda scene: MuxServe(scene.sample),
    "Preble": lambda scene: Preble(BLOCK),
    "ServerlessLLM": lambda scene: ServerlessLLM(
        [way[0].load * DISK for way in scene.variants], disk=DISK, answer=10.0
    ),
}


def compare_rules(
    scenes: Sequence[Scene], rules: Mapping[str, Callable[[Scene], Rule]] = RULES
) -> pd.DataFrame:
    """Every rule on every scene: one row a rule, means over the scenes.

    Parameters
    ----------
    scenes : sequence of Scene
        Such as one for each of five seeds.
    rules : mapping of str to a function of a Scene
        Makes a new rule for each scene; all rules by default.

    Returns
    -------
    DataFrame
        Columns of `Served.row`: median and p99 of the answered requests (seconds; a rule that
        drops many looks quick), dropped, late and utilisation (shares), machine_seconds, quality.
        ``attrs["spread"]`` holds their standard deviations over the scenes.

    Raises
    ------
    ValueError
        No scene, no rule.
    """
    scenes = [instance(one, Scene, "a scene") for one in several(scenes, "scenes")]
    if not isinstance(rules, Mapping) or not all(map(callable, rules.values())):
        raise ValueError(
            f"rules is {type(rules).__name__}; give a mapping of names to functions that make a"
            " rule for a scene"
        )
    if not scenes or not rules:
        raise ValueError("there is nothing to compare; give at least one scene and one rule")
    rows = [
        {"rule": name, **scene.serve(make(scene)).row()}
        for name, make in rules.items()
        for scene in scenes
    ]
    by_rule = pd.DataFrame(rows).groupby("rule", sort=False)
    table = by_rule.mean()
    table.attrs["spread"] = by_rule.std(ddof=0)
    return table
