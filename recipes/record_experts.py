"""Record what the explorer of experts shows: `data/experts/digits.parquet`.

    python -m recipes.record_experts

Trains each network over five seeds, two minutes in all. A row has one network: the experts that
each held-out image chose, their weights in steps of 1/255, and the answers with all choices,
without the first, without the second, without both, and so on. On another processor a few images
may choose differently.
"""

from __future__ import annotations

import json
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ensemble_lab.doctor import cpu_model
from ensemble_lab.explorers.training.experts_replay import (
    BALANCES,
    EXPERTS,
    FILE,
    HIDDEN,
    KS,
    SEEDS,
    digits,
)
from ensemble_lab.training.experts.classifier import ExpertsClassifier
from ensemble_lab.training.experts.products import mixed

FOLDER = Path(__file__).resolve().parents[1] / "data/experts"


def trained(experts: int, k: int, balance: str, hidden: int, seed: int) -> ExpertsClassifier:
    """A network of one setting and seed."""
    X, _, y, *_ = digits(seed)
    how = {"router": "switch" if k == 1 else "softmax", **BALANCES[balance]}
    return ExpertsClassifier(experts, k, hidden, random_state=seed, **how).fit(X, y)


def row(model: ExpertsClassifier, X: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of a network with one layer: bytes, the images one after another."""
    network = model.network_
    (layer,), (norm,) = network.layers, network.norms
    with torch.no_grad():
        tokens = network.embed(torch.tensor(X, dtype=torch.float32))
        normed = norm(tokens)
        routing = layer.route(normed)
        answers = []
        for dropped in range(2**model.k):
            bits = torch.tensor([dropped >> j & 1 for j in range(model.k)], dtype=torch.bool)
            choices = routing.choices.masked_fill(bits, model.experts)
            found = mixed(normed, choices, routing.weights, layer.gate_up, layer.down)
            answers.append(model.classes_[network.head(tokens + found).argmax(-1)])
    weights = (255 * routing.weights).round()
    kept = {"choices": routing.choices, "weights": weights, "answers": np.stack(answers, axis=1)}
    return {name: np.asarray(values).astype(np.uint8).ravel() for name, values in kept.items()}


def main() -> None:
    """Train all networks and write both files."""
    settings = [(*each, HIDDEN) for each in product(EXPERTS, KS, BALANCES)]
    dense = sorted({HIDDEN * times for times in (*EXPERTS, *KS)})
    settings += [(1, 1, "not at all", hidden) for hidden in dense]
    rows = []
    for experts, k, balance, hidden in settings:
        for seed in SEEDS:
            model = trained(experts, k, balance, hidden, seed)
            about = {"experts": experts, "k": k, "balance": balance, "hidden": hidden, "seed": seed}
            rows.append(about | row(model, digits(seed)[1]))
    FOLDER.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(FOLDER / FILE, index=False, compression="zstd")
    told = {
        "title": "Routing of networks of experts on digits of four kinds",
        "command": "python -m recipes.record_experts",
        "recorded": date.today().isoformat(),
        "device": cpu_model(),
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        "source": "scikit-learn's digits (Alpaydin and Kaynak, UCI, 1998)",
        "licence": "CC BY 4.0",
    }
    (FOLDER / "about.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
