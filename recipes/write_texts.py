"""Let SmolLM2 write tasks and answer them: `data/texts/smollm2-tasks.parquet`.

    python -m recipes.write_texts

As in Self-Instruct (Wang et al., ACL 2023) and Unnatural Instructions (Honovich et al., ACL 2023):
three tasks of our own, drawn at random, begin a list, and the model writes the next one; then it
answers its own task greedily. Nothing is filtered here. The same seed on the same kind of processor
gives the same texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import ensemble_lab as lab
from ensemble_lab.models.load import SMOLLM2

FOLDER = Path(__file__).resolve().parents[1] / "data/texts"
NAME = "smollm2-tasks"
SEEDS = (
    "Name three animals that live in the sea.",
    "Write a sentence about a rainy day.",
    "What is the opposite of cold?",
    "Explain why people need to sleep.",
    "Give a word that rhymes with light.",
    "Describe a garden in one sentence.",
    "How do you make a cup of tea?",
    "Write a greeting for a friend's birthday.",
    "What do plants need to grow?",
    "List two things that are yellow.",
    "Which month comes after June?",
    "Say in one sentence what a library is for.",
)
LIST = "A list of short tasks.\n"
ANSWER = " Answer in one short sentence."
SHOWN, BATCH, SEED = 3, 64, 0
SAMPLED = {"temperature": 0.8, "top_p": 0.9, "max_new_tokens": 24}
MOST = 40  # tokens of an answer


def first_line(text: str) -> str:
    """What the model wrote before its first new line."""
    return text.strip().partition("\n")[0].strip()


def written(model, batch: int) -> list[dict]:
    """A batch of tasks and answers, by a seed of its own."""
    rng = np.random.default_rng([SEED, batch])
    prompts = []
    for _ in range(BATCH):
        some = [SEEDS[i] for i in rng.permutation(len(SEEDS))[:SHOWN]]
        lines = "".join(f"{i}. {task}\n" for i, task in enumerate(some, 1))
        prompts.append(model.tokenizer(f"{LIST}{lines}{SHOWN + 1}.")["input_ids"])
    made = lab.decode(model, prompts, seed=SEED + batch, **SAMPLED)
    tasks = [first_line(one.text) for one in made]
    asked = [i for i, task in enumerate(tasks) if task]  # nothing can be answered without a task
    answers = lab.decode(model, [tasks[i] + ANSWER for i in asked], max_new_tokens=MOST)
    found = [{"task": task, "answer": "", "ended": False} for task in tasks]
    for i, one in zip(asked, answers, strict=True):
        found[i] |= {"answer": one.text.strip(), "ended": one.tokens[-1] in model.ends}
    return found


def about(rows: int, content: bytes) -> dict:
    """What the catalogue says of the table."""
    return {
        "name": NAME,
        "title": "Tasks that SmolLM2 wrote, and its answers to them",
        "rows": rows,
        "columns": {
            "task": "first line of what it wrote after three tasks of ours",
            "answer": "greedy, at most 40 tokens; empty where there was no task",
            "ended": "whether the answer ended by itself",
        },
        "source": SMOLLM2,
        "licence": "Apache-2.0",
        "attribution": "SmolLM2 (Ben Allal et al., 2025); the twelve seed tasks are this project's",
        "recorded": date.today().isoformat(),
        "settings": {"seed": SEED, "shown": SHOWN, **SAMPLED, "answers": "greedy"},
        "device": f"{platform.machine()} CPU, bfloat16",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
        "caveats": [
            "Nobody checked what the sentences say; many are untrue, and many are repeated.",
        ],
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=16, help=f"of {BATCH} tasks each")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    model = lab.load("smollm2", device="cpu", dtype="bfloat16")
    rows = [one for batch in tqdm(range(args.batches)) for one in written(model, batch)]
    path = args.out / f"{NAME}.parquet"
    pd.DataFrame(rows).to_parquet(path, index=False)
    text = json.dumps(about(len(rows), path.read_bytes()), indent=1) + "\n"
    (args.out / f"{NAME}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
