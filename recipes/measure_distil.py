"""Which divergence makes the draft of `tiny` more often right: `distil_drafts.json`.

    python -m recipes.measure_distil --raw DIR

The shipped draft learns for the same number of steps in several ways, over several seeds. Each is
judged on what the target writes to prompts that nobody learned from: by acceptance, at temperature
1 and 0, and by perplexity on the same texts and on SmolLM2's own answers. `--raw` is that of
`train_tiny`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ensemble_lab.doctor import cpu_model
from ensemble_lab.models.load import load
from ensemble_lab.tokens.decode import decode
from ensemble_lab.training.distillation.language import distil
from ensemble_lab.training.distillation.pairs import expected_acceptance
from recipes.measure_tiny import perplexity
from recipes.train_tiny import encoded, read, split

OUT = Path(__file__).resolve().parents[1] / "benchmarks/results/distil_drafts.json"
MOST, BATCH, STEPS, RATE, SEEDS = 64, 8, 100, 3e-3, 5
GIVEN = "forward KL, SmolLM2's text"
WAYS = {
    GIVEN: {},  # as the draft was trained: more of the same
    "forward KL, target's text": {},
    "JSD 0.5, half its own text": {"divergence": "jsd", "student_share": 0.5},
    "reverse KL, its own text": {"divergence": "reverse_kl", "student_share": 1.0},
    "total variation, target's text": {"divergence": "total_variation"},
    "total variation, its own text": {"divergence": "total_variation", "student_share": 1.0},
    "cross-entropy, target's text": {"divergence": "cross_entropy"},
    "cross-entropy, target's likeliest text": {"divergence": "cross_entropy", "temperature": 0},
}


class Judge:
    """Held-out texts, and what a draft is worth on them."""

    def __init__(self, target, held):
        self.target = target
        self.prompts = [f"{prompt}\n" for prompt in sorted({text.prompt for text in held})]
        how = {"max_new_tokens": MOST, "seed": 0}
        self.texts = {
            heat: [made.tokens for made in decode(target, self.prompts, temperature=heat, **how)]
            for heat in (1.0, 0.0)
        }
        self.corpus = encoded(target.tokenizer, held)
        asked = [target.tokenizer(prompt)["input_ids"] for prompt in self.prompts]
        self.own = [
            np.array([[*p, *a], [0] * len(p) + [1] * len(a)])
            for p, a in zip(asked, self.texts[1.0], strict=True)
        ]

    def __call__(self, draft) -> dict:
        """Acceptance by temperature, and perplexity by kind of text."""
        accepted = {
            f"acceptance {heat:g}": expected_acceptance(
                self.target, draft, self.prompts, texts, temperature=heat
            )
            for heat, texts in self.texts.items()
        }
        return {
            **accepted,
            "perplexity": perplexity(draft.model, self.own),
            "perplexity of SmolLM2's text": perplexity(draft.model, self.corpus),
        }


def rows_of(name: str, train) -> dict:
    """Prompts and, where they are given, answers."""
    if name != GIVEN:
        return {"prompts": [f"{prompt}\n" for prompt in sorted({text.prompt for text in train})]}
    return {"prompts": [f"{t.prompt}\n" for t in train], "answers": [t.answer for t in train]}


def summary(found: list[dict]) -> dict:
    """Mean and standard deviation of each figure over the seeds."""
    table = {key: [one[key] for one in found] for key in found[0]}
    return {
        key: {"mean": round(np.mean(each), 4), "sd": round(np.std(each, ddof=1), 4)}
        for key, each in table.items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder with smollm2_generations")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)  # such small matrices gain nothing from a second
    target, draft = (load(name, "cpu", "float32") for name in ("tiny", "tiny-draft"))
    train, held = split(read(args.raw))
    judge = Judge(target, held)
    about = {
        "date": date.today().isoformat(),
        "device": cpu_model(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "steps": args.steps,
        "texts_a_step": BATCH,
        "new_tokens": MOST,
        "learning_rate": RATE,
        "held_out": {"prompts": len(judge.prompts), "tokens": sum(map(len, judge.texts[1.0]))},
        "before": {key: round(value, 4) for key, value in judge(draft).items()},
    }
    found = {name: [] for name in WAYS}
    for seed in range(args.seeds):
        for name, how in WAYS.items():
            begun = time.process_time()
            made = distil(
                target,
                draft,
                **rows_of(name, train),
                **how,
                max_new_tokens=MOST,
                steps=args.steps,
                batch_size=BATCH,
                learning_rate=RATE,
                seed=seed,
                progress=False,
            )
            seconds = time.process_time() - begun
            found[name].append({**judge(made.draft), "seconds of a core": seconds})
            print(seed, name, found[name][-1], flush=True)
        if not seed:
            continue  # one seed has no spread
        ways = {name: summary(each) for name, each in found.items()}
        about |= {"seeds": seed + 1, "ways": ways}
        args.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
