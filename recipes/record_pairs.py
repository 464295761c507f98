"""Record what the explorer of adversarial pairs shows: `data/adversarial/ring.npz`.

    python -m recipes.record_pairs

Trains five seeds of each kind and ratio of learning rates as one batch: twelve batches, some
minutes on one core. Another processor rounds otherwise, and after some hundred steps the same
seed has become another pair.
"""

from __future__ import annotations

import json
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ensemble_lab.doctor import cpu_model
from ensemble_lab.explorers.training.gan_replay import (
    CELLS,
    EDGE,
    EVERY,
    FILE,
    JUDGED,
    KINDS,
    RATIOS,
    SCALE,
    SEEDS,
    SHOWN,
    STEPS,
)
from ensemble_lab.training.adversarial.data import Ring
from ensemble_lab.training.adversarial.gan import GAN, WassersteinGAN

FOLDER = Path(__file__).resolve().parents[1] / "data/adversarial"
METHODS = {"GAN": GAN, "WassersteinGAN": WassersteinGAN}
RING = Ring(sd=0.1)
ROWS = 10_000  # of the data that all pairs learn from


def trained(kind: str, ratio: float, steps: int = STEPS[-1], progress: bool = True):
    """The pairs of five seeds, with all recorded states."""
    method, settings = KINDS[kind]
    rates = {"generator_rate": 1e-3, "discriminator_rate": 1e-3 * ratio}
    how = {"seeds": SEEDS, "steps": steps, "record_every": 50, "progress": progress}
    return METHODS[method](**settings, **rates, **how).fit(RING.sample(ROWS, rng=0))


def field_of(scores: np.ndarray, critic: bool) -> np.ndarray:
    """Scores (…, cells) as bytes: a probability, or a critic's score between its ends."""
    if critic:
        low, high = scores.min(-1, keepdims=True), scores.max(-1, keepdims=True)
        scores = (scores - low) / np.maximum(high - low, 1e-12)
    else:
        scores = 1 / (1 + np.exp(-scores))
    return np.round(255 * scores).astype(np.uint8)


def kept(pairs, critic: bool) -> dict[str, np.ndarray]:
    """What is kept of the five pairs of one state."""
    drawn = pairs.sample(JUDGED, rng=1)  # (5, n, 2)
    away = np.linalg.norm(drawn[:, :, None] - RING.centres, axis=-1)  # (5, n, modes)
    good = away.min(-1) <= 3 * RING.sd
    modes = [len(np.unique(one[ok])) for one, ok in zip(away.argmin(-1), good, strict=True)]
    middles = (np.arange(CELLS) + 0.5) * 2 * EDGE / CELLS - EDGE
    across, up = np.meshgrid(middles, middles)
    scores = pairs.score(np.stack([across.ravel(), up.ravel()], axis=1))
    ends = np.iinfo(np.int16)
    whole = np.round(SCALE * drawn[:, :SHOWN]).clip(ends.min, ends.max)
    return {
        "samples": whole.astype(np.int16),
        "field": field_of(scores, critic).reshape(-1, CELLS, CELLS),
        "modes": np.array(modes, np.uint8),
        "good": good.sum(-1).astype(np.uint16),
    }


def setting(kind: str, ratio: float) -> dict[str, np.ndarray]:
    """What is kept of a kind and ratio: arrays whose first axes are seeds and states."""
    made = trained(kind, ratio)
    states = {pairs.step: pairs for pairs in made.states}
    rows = [kept(states[step], kind.startswith("WGAN")) for step in STEPS]
    found = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    both = np.stack([made.discriminator_losses.T, made.generator_losses.T], axis=1)
    found["losses"] = both.reshape(len(SEEDS), 2, -1, EVERY).mean(-1).astype(np.float16)
    return found


def main() -> None:
    """Train all pairs and write both files."""
    found = [[setting(kind, ratio) for ratio in RATIOS] for kind in KINDS]
    arrays = {name: np.stack([np.stack([one[name] for one in row]) for row in found])
              for name in found[0][0]}  # fmt: skip
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / FILE, centres=RING.centres, sd=RING.sd, **arrays)
    told = {
        "title": "Training of adversarial pairs on a ring of eight Gaussians",
        "command": "python -m recipes.record_pairs",
        "recorded": date.today().isoformat(),
        "device": cpu_model(),
        "versions": {name: version(name) for name in ("torch", "numpy")},
        "source": "this project's own draws and training",
        "licence": "Apache-2.0",
    }
    (FOLDER / "about.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
