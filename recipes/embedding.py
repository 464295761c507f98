"""The projection of sentence embeddings to a few small integers, fitted on a table's questions."""

from __future__ import annotations

from functools import cache

import numpy as np

from ensemble_lab.models.questions import embedding_names
from ensemble_lab.models.sentences import encode, placed

DIMENSIONS = 16  # a router gains nothing from 32 or 64: data/questions/measured.json


@cache  # two tables have the questions of GSM8K, and a table is fitted and then placed
def encoded(texts: tuple[str, ...]) -> np.ndarray:
    """Sentence embeddings (n, 384)."""
    return encode(list(texts))


def fitted(vectors: np.ndarray, dimensions: int = DIMENSIONS) -> np.ndarray:
    """The projection (1 + d, 384) in float16: PCA of `vectors` (n, 384), which see no outcome.

    One scale for all dimensions, so that distances keep their meaning; the largest value is 127.
    """
    from sklearn.decomposition import PCA

    pca = PCA(dimensions, svd_solver="full")
    steps = 127 / np.abs(pca.fit_transform(vectors.astype(float))).max()
    rows = np.vstack([pca.mean_, pca.components_ * steps])
    return rows.astype(np.float16, order="C")  # safetensors writes memory as it lies


def projection(texts) -> np.ndarray:
    """The projection (1 + d, 384) of a table with these questions."""
    return fitted(encoded(tuple(texts)))


def embedding(texts) -> dict[str, np.ndarray]:
    """Features ``embedding_00`` … in int8, by the rounded projection that ships."""
    steps = placed(encoded(tuple(texts)), projection(texts))
    return dict(zip(embedding_names(DIMENSIONS), steps.T, strict=True))
