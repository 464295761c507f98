"""Record what the explorers of notebook 05 show at once: rounds, and pairs on the speedup map.

    python -m recipes.record_rounds [--target tiny] [--only pairs]

Writes `data/rounds/TARGET.json` (traces) and `TARGET_pairs.json` (measurements). Traces repeat on
any machine of this kind of arithmetic; times are of the machine that ran this, which should have
nothing else to do. On few cores `OMP_NUM_THREADS=1` keeps threads from waiting for one another.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.rounds import ASKED as PROMPTS
from ensemble_lab.tokens.measure import measure_pair
from ensemble_lab.tokens.traces import write_traces
from ensemble_lab.tokens.tracing import trace

FOLDER = Path(__file__).resolve().parents[1] / "data/rounds"
# What a draft is called in a picture -> (target, draft)
PAIRS = {
    "tiny": {
        "tiny: its own small draft": ("tiny", "tiny-draft"),
        "tiny: untrained early exit": ("tiny", "early-exit:2"),
    },
    "smollm2": {
        "SmolLM2: prompt lookup": ("smollm2", "lookup"),
        "SmolLM2: untrained early exit": ("smollm2", "early-exit:8"),
    },
}
TIMED = {  # beside these: a draft that wins on chat
    "smollm2": {"SmolLM2: lookup, table and head": ("smollm2", "head")},
}
LOADED = {"tiny": {}, "tiny-draft": {}, "smollm2": {"dtype": "bfloat16"}}  # as notebook 05 does
GAMMAS, TEMPERATURES, TOKENS = (2, 4, 8), (0.0, 0.7, 1.0), 18
MEASURED, GAMMA = 48, 4  # tokens of each prompt, and their draft length, when time is taken
CHATS = PROMPTS["chat"], "How do I make a good cup of tea?", "Write a short letter to a friend."
COPIES = (
    PROMPTS["a text to copy"],
    "Say this three times: the cat sat on the mat and the dog sat on the cat.",
    "Repeat this list twice: red, green, blue, yellow, black, white, brown.",
)
KINDS = {  # what is timed: prompts, and at which temperature
    "chat": (CHATS, 1.0),
    "chat, greedy": (CHATS, 0.0),
    "a text to copy, greedy": (COPIES, 0.0),
}


def about(target) -> dict[str, str]:
    """The header of a file."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    device = f"{platform.machine()} CPU, {torch.get_num_threads()} threads, {target.dtype}"
    return {
        "target": target.weights,
        "device": device,
        "versions": versions,
        "date": date.today().isoformat(),
    }


def traces(models: dict, pairs: dict) -> list:
    """Every prompt, draft, gamma and temperature; temperature 0 and all others by seed 0."""
    grid = product(pairs.items(), PROMPTS.items(), GAMMAS, TEMPERATURES)
    return [
        trace(
            models[target],
            prompt,
            models.get(draft, draft),
            gamma=gamma,
            temperature=heat,
            max_new_tokens=TOKENS,
            names=(called, name),
        )
        for (name, (target, draft)), (called, prompt), gamma, heat in grid
    ]


def measured(models: dict, pairs: dict) -> dict[str, dict]:
    """Acceptance, costs and speedup of every draft, on each kind of prompts."""
    found = {}
    for name, (target, draft) in pairs.items():
        for kind, (prompts, heat) in KINDS.items():
            settings = {"temperature": heat, "seed": 0, "max_new_tokens": MEASURED}
            writer = models.get(draft, draft)
            pair = measure_pair(models[target], prompts, writer, GAMMA, **settings)
            found[f"{kind}, {name.partition(': ')[2]} ({target})"] = asdict(pair)
    return found


def main() -> None:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=PAIRS, action="append", help="default: both")
    parser.add_argument("--only", choices=("rounds", "pairs"), help="default: both")
    asked = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name in asked.target or PAIRS:
        needed = dict.fromkeys(part for pair in PAIRS[name].values() for part in pair)
        models = {
            part: lab.load(part, device="cpu", **LOADED[part]) for part in needed if part in LOADED
        }
        if asked.only != "pairs":
            found = traces(models, PAIRS[name])
            write_traces(FOLDER / f"{name}.json", found, **about(models[name]))
        if asked.only != "rounds":
            found = {
                "about": about(models[name]),
                "pairs": measured(models, PAIRS[name] | TIMED.get(name, {})),
            }
            text = json.dumps(found, indent=1) + "\n"
            (FOLDER / f"{name}_pairs.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
