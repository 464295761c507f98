"""One row of a sample file of lm-evaluation-harness: its answer and how sure the model was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

INVALID = "[invalid]"  # what its filters write where they find no answer


class Sample(NamedTuple):
    """One document that one model was asked."""

    item: str
    model: str
    task: str
    correct: float
    answer: str | None
    truth: str | None
    confidence: float
    document: str | None


def is_samples(row: Mapping) -> bool:
    """Whether this is a row of a sample file."""
    return {"doc_id", "resps", "filtered_resps"} <= row.keys()


def sample(row: Mapping, model: str, task: str, metric: str) -> Sample:
    """One row, with the score of a metric."""
    answer, confidence = _answer(row, metric)
    return Sample(
        f"{task}/{row['doc_id']}",
        model,
        task,
        float(row[metric]),
        answer,
        None if row.get("target") is None else str(row["target"]),
        confidence,
        row.get("doc_hash") or json.dumps(row.get("doc"), sort_keys=True, default=str),
    )


def _answer(row: Mapping, metric: str) -> tuple[str | None, float]:
    """The text that was filtered, or the place of the likeliest option and its probability."""
    replies = row["filtered_resps"]
    if len(replies) == 1 and isinstance(replies[0], str):
        return (None if replies[0] == INVALID else replies[0]), math.nan
    likelihoods = _likelihoods(replies)
    if likelihoods is None:
        return None, math.nan
    n = len(likelihoods)
    if "acc_mutual_info" in row:  # the second half is without the question
        n //= 2
    each, alone = likelihoods[:n], likelihoods[n:]
    chosen = each
    if metric == "acc_norm":
        chosen = each / [max(len(_option(row, i)), 1) for i in range(n)]
    elif metric == "acc_bytes":
        chosen = each / [max(len(_option(row, i).encode()), 1) for i in range(n)]
    elif metric == "acc_mutual_info":
        chosen = each - alone
    place = int(chosen.argmax())
    shares = np.exp(each - each.max())
    return str(place), float(shares[place] / shares.sum())


def _likelihoods(replies: list) -> np.ndarray | None:
    """Log-likelihoods of two or more options: pairs of one and whether it is the greedy text."""
    if len(replies) < 2 or not all(isinstance(one, list) and len(one) == 2 for one in replies):
        return None
    try:
        found = np.array([float(one[0]) for one in replies])
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found).all() else None


def _option(row: Mapping, at: int) -> str:
    """The text of an option, without the space before it."""
    asked = row.get("arguments")
    if isinstance(asked, list):  # versions before 0.4.3
        return asked[at][1].removeprefix(" ")
    return asked[f"gen_args_{at}"]["arg_1"].removeprefix(" ")
