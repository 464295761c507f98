"""Record what the explorer of lesions shows: `data/dual/lesions.parquet`.

    python -m recipes.record_lesion_tokens

Removes each block of SmolLM2 and each pair of blocks, on three short texts, and keeps the loss of
every token. What lies before a removed block is computed once: a state that has lost a block goes
on beside the whole one, in one batch. A text takes some minutes on two cores; a killed run goes on
with the next text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import ensemble_lab as lab
from ensemble_lab.doctor import cpu_model
from ensemble_lab.explorers.training.lesions_replay import FILE, NATS, NONE

FOLDER = Path(__file__).resolve().parents[1] / "data/dual"
LENGTH = 64  # tokens of a text
BATCH = 16  # states through a block at once
TEXTS = {
    "a story": "The keeper of the lighthouse had two lamps. On quiet nights he lit the small"
    " one, because oil was scarce and the fishermen knew the way. When the wind rose he carried"
    " the large lamp up the stairs, one hundred and twelve of them, and polished the glass until"
    " the light reached the last rock. One evening in November both lamps went out.",
    "code": 'def mean(values):\n    """Return the mean of a list of numbers."""\n'
    '    if not values:\n        raise ValueError("the list is empty")\n    total = 0.0\n'
    "    for value in values:\n        total += value\n    return total / len(values)\n\n\n"
    'def variance(values):\n    """Return the variance of a list of numbers."""\n'
    "    middle = mean(values)\n",
    "a chat": "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\nThe light"
    " of the sun has all colours. The molecules of the air scatter blue light more than red light,"
    " so blue reaches our eyes from all directions, and the sky looks blue. In the evening the"
    " light travels a longer way.<|im_end|>\n",
}


@torch.inference_mode()
def lesions(model: torch.nn.Module, ids: torch.Tensor) -> Iterator[tuple[int, int, np.ndarray]]:
    """The losses (T - 1,) of the tokens (1, T) without each block and each pair of blocks.

    Yields (first, second, losses); `NONE` stands for a block that is not removed.
    """
    body = model.model
    x = body.embed_tokens(ids)
    places = body.rotary_emb(x, torch.arange(ids.shape[1])[None])
    removed: list[tuple[int, ...]] = [()]
    for at, block in enumerate(tqdm(body.layers, "blocks", leave=False)):
        without = [i for i, gone in enumerate(removed) if len(gone) < 2]
        through = [block(part, position_embeddings=places) for part in x.split(BATCH)]
        x = torch.cat([*through, x[without]])
        removed += [(*removed[i], at) for i in without]
    for part, gone in zip(x.split(BATCH), _lots(removed, BATCH), strict=True):
        logits = model.lm_head(body.norm(part))[:, :-1]
        target = ids[:, 1:].expand(len(gone), -1)
        losses = cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        for who, row in zip(gone, losses.view(len(gone), -1).numpy(), strict=True):
            yield *(*who, NONE, NONE)[:2], row


def _lots(rows: list, size: int) -> list[list]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def main() -> None:
    """Record the texts that are not there yet, and write both files."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / FILE
    found = [pd.read_parquet(path)] if path.exists() else []
    done = set(found[0].text) if found else set()
    language = lab.load("smollm2", dtype="float32")
    tokens = {}
    for name, text in TEXTS.items():
        ids = language.tokenizer(text, return_tensors="pt")["input_ids"][:, :LENGTH]
        tokens[name] = [language.tokenizer.decode([one]) for one in ids[0]]
        if name in done:
            continue
        rows = [(name, first, second, np.rint(row / NATS).astype(np.uint16))
                for first, second, row in lesions(language.model, ids)]  # fmt: skip
        found.append(pd.DataFrame(rows, columns=["text", "first", "second", "losses"]))
        pd.concat(found).to_parquet(path, index=False, compression="zstd")
    blocks = len(language.model.model.layers)
    rows = sum(1 for size in range(3) for _ in combinations(range(blocks), size))
    assert all(len(one) == rows for _, one in pd.read_parquet(path).groupby("text"))
    told = {
        "title": "Losses of SmolLM2-135M-Instruct without one block and without two",
        "command": "python -m recipes.record_lesion_tokens",
        "recorded": date.today().isoformat(),
        "device": cpu_model(),
        "weights": language.weights,
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "source": "HuggingFaceTB/SmolLM2-135M-Instruct; the texts were written by this project",
        "licence": "Apache-2.0",
        "tokens": tokens,
    }
    about = FOLDER / "lesions.json"
    about.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
