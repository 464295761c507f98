"""Small tables with a known truth, for the tests of advice."""

import numpy as np

import ensemble_lab as lab


def services(n=300, seed=0, **more):
    """Three models of rising price and accuracy, unsure where they are wrong, with all fields."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    chance = np.clip(np.array([0.65, 0.75, 0.85]) + 0.4 * (0.5 - hard[:, None]), 0, 1)
    right = rng.random((n, 3)) < chance
    truth = rng.integers(0, 3, n)
    wrong = (truth[:, None] + rng.integers(1, 3, (n, 3))) % 3
    known = {
        "models": ["small", "middle", "big"],
        "items": [f"q{i}" for i in range(n)],
        "correct": right.astype(float),
        "answer": np.where(right, truth[:, None], wrong),
        "labels": ["x", "y", "z"],
        "truth": truth,
        "confidence": np.clip(0.35 + 0.3 * right + 0.3 * rng.random((n, 3)), 0, 1),
        "cost": np.tile([1.0, 4.0, 10.0], (n, 1)),
        "latency": np.tile([0.1, 0.2, 0.9], (n, 1)),
        "features": {"length": hard + 0.2 * rng.random(n), "hour": np.arange(float(n))},
        "group": np.where(hard < 0.5, "easy", "hard"),
    }
    return lab.Outcomes(**known | more)
