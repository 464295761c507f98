"""Record what the explorer of retrieval shows: `data/dual/halves.parquet`.

    python -m recipes.record_halves

Trains five dual encoders for each setting on the left and right halves of digits, all temperatures
and kinds of negatives of a batch size as one batch: ten minutes on one core. A row has one
setting: for each held-out left half how many right halves fit better than its own, how often the
best one is of the same digit, and the vectors of the first encoder in steps of 1/127. On another
processor a few ranks may differ.
"""

from __future__ import annotations

import json
from datetime import date
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ensemble_lab.doctor import cpu_model
from ensemble_lab.explorers.training.retrieval_replay import (
    BATCHES,
    CANDIDATES,
    FILE,
    MEMBERS,
    NEGATIVES,
    TEMPERATURES,
    WIDTH,
    best_is,
    halves,
)
from ensemble_lab.training.batched.losses import learns, weighted_mean
from ensemble_lab.training.batched.members import Members
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.dual.contrastive import surprise
from ensemble_lab.training.dual.towers import Towers

FOLDER = Path(__file__).resolve().parents[1] / "data/dual"
HIDDEN, EPOCHS, LEARNING_RATE = 64, 30, 0.003
SETTINGS = [*product(NEGATIVES, TEMPERATURES)]


def trained(batch: int, settings=SETTINGS, members: int = MEMBERS) -> Members:
    """Dual encoders of these negatives and temperatures, `members` of each, one after another."""
    (left, right, digit), _ = halves()
    each = [setting for setting in settings for _ in range(members)]
    temperature = torch.tensor([t for _, t in each])[:, None, None]
    same, other = (torch.tensor([name == what for name, _ in each])[:, None, None]
                   for what in ("the same digit", "other digits"))  # fmt: skip

    @learns("classes")
    def loss(outputs, targets, weights):
        first, second = outputs.chunk(2, dim=-1)
        alike = targets[:, :, None] == targets[:, None, :]
        own = torch.eye(alike.shape[-1], dtype=torch.bool)
        left_out = (alike & other | ~alike & same) & ~own
        scores = first @ second.mT / temperature
        return weighted_mean(surprise(scores, left_out, symmetric=True), weights)

    return train_members(partial(Towers, left.shape[1], right.shape[1], HIDDEN, WIDTH),
                         np.hstack([left, right]), digit, members=len(each), loss=loss,
                         epochs=EPOCHS, batch_size=batch, learning_rate=LEARNING_RATE, seed=0,
                         device="cpu")  # fmt: skip


def measured(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of the encoders of a setting, from both their vectors (members, n, 2 width)."""
    _, (_, _, digit) = halves()
    first, second = np.split(vectors, 2, axis=-1)
    scores = first @ second.swapaxes(1, 2)
    better = scores > scores.diagonal(axis1=1, axis2=2)[:, :, None]
    alike = digit[:, None] == digit
    same = [[best_is(alike, one, among) for among in CANDIDATES] for one in scores]
    return {
        "better": better.sum(-1).astype(np.uint16).ravel(),
        "same_digit": np.array(same, np.float32).ravel(),
        "vectors": np.rint(127 * vectors[0]).astype(np.int8).ravel(),
    }


def main() -> None:
    """Train all encoders and write both files."""
    rows, (_, (left, right, _)) = [], halves()
    for batch in tqdm(BATCHES, "batch sizes"):
        vectors = trained(batch).outputs(np.hstack([left, right]))
        lots = np.split(vectors, len(SETTINGS))
        for (negatives, temperature), own in zip(SETTINGS, lots, strict=True):
            about = {"negatives": negatives, "temperature": temperature, "batch": batch}
            rows.append(about | measured(own))
    FOLDER.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(FOLDER / FILE, index=False, compression="zstd")
    told = {
        "title": "Dual encoders of the left and right halves of digits",
        "command": "python -m recipes.record_halves",
        "recorded": date.today().isoformat(),
        "device": cpu_model(),
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        "source": "scikit-learn's digits (Alpaydin and Kaynak, UCI, 1998)",
        "licence": "CC BY 4.0",
    }
    about = FOLDER / "halves.json"
    about.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
