"""Random tables of outcomes for property tests, awkward on purpose."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED

# A busy machine is not a failure: no time limit for one example.
settings.register_profile("lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lab")

WORDS = ("yes", "no", "müde", "1,319", "7", "")
STATES = (0.75, 0.1, 0.15)  # answered, unparsed, absent


@st.composite
def outcomes(
    draw,
    min_items=1,
    max_items=8,
    min_models=1,
    max_models=4,
    labels=None,
    with_cost=True,
    with_confidence=True,
    complete=False,
):
    """Random `Outcomes`, with answers and truth always.

    `labels`: how many there are, or the labels themselves; by default 2 to 4 of either kind.
    Confidences and costs come from a few levels, so that ties are common. `with_cost` and
    `with_confidence`: True has them, False leaves them out, None lets either happen.
    `complete`: every model answers every item with a label, every answer is graded, and
    confidence, cost, latency and tokens are all known.
    """
    n = draw(st.integers(min_items, max_items), label="items")
    m = draw(st.integers(min_models, max_models), label="models")
    labels = _labels(draw, labels)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    state = np.zeros((n, m), int) if complete else rng.choice(3, size=(n, m), p=STATES)
    answer = rng.integers(0, len(labels), (n, m))
    answer[state == 1], answer[state == 2] = UNPARSED, ABSENT
    truth = rng.integers(0, len(labels), n)
    if not complete:
        truth[rng.random(n) < 0.1] = ABSENT
    correct = (answer == truth[:, None]).astype(float)
    correct[(answer == ABSENT) | (truth[:, None] == ABSENT)] = np.nan

    def measure(levels, wanted=None):
        if not (draw(st.booleans()) if wanted is None else wanted):
            return None
        values = rng.choice(levels, (n, m))
        # Whoever was not asked has no measure; now and then one was not kept.
        gone = (state == 2) | (rng.random((n, m)) < 0.05)
        return values if complete else np.where(gone, np.nan, values)

    parts = {
        "confidence": measure(np.linspace(0, 1, 6), with_confidence),
        "cost": measure([0.0, 0.001, 0.03, 1 / 3], with_cost),
        "latency": measure([0.0, 0.1, 1.7], True if complete else None),
        "tokens": measure([0.0, 1.0, 250.0], True if complete else None),
    }
    if draw(st.booleans(), label="probability"):
        proba = rng.dirichlet(np.ones(len(labels)), (n, m))
        proba[state == 2] = np.nan
        parts["probability"] = proba
    if draw(st.booleans(), label="features"):
        parts["features"] = {
            "length": rng.integers(1, 500, n),
            "hardness": rng.random(n).round(2),
        }
    if draw(st.booleans(), label="group"):
        parts["group"] = rng.choice(["algebra", "law"], n)
    if draw(st.booleans(), label="model_group"):
        parts["model_group"] = [f"family {j // 2}" for j in range(m)]
    names = draw(st.permutations(["small", "big", "gpt-4", "a:b", "modèle", "x y"]), label="names")
    named = draw(st.booleans(), label="items named")
    return Outcomes(
        models=[names[j] if j < len(names) else f"model {j}" for j in range(m)],
        items=[f"question {i}" for i in range(n)] if named else np.arange(n) * 3,
        correct=correct,
        answer=answer,
        labels=labels,
        truth=truth,
        cost_is_estimated=parts["cost"] is not None and draw(st.booleans(), label="estimated"),
        **parts,
    )


def _labels(draw, labels):
    if labels is None:
        labels = draw(st.integers(2, 4), label="labels")
    if not isinstance(labels, int):
        return tuple(labels)
    if labels <= len(WORDS) and draw(st.booleans(), label="words"):
        return WORDS[:labels]
    return tuple(range(10, 10 + labels))
