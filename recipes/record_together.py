"""Record what the explorer of notebook 07 shows: the texts that two models can write together.

    python -m recipes.record_together [--pair tiny] [--only trees | places]

Writes `data/trees/together.json`. From each prompt all settings of all rules write side by side:
texts that begin alike are one row, which both models read once. What is kept of a place is each
model's first choice, its probability, and how far the two distributions are apart. The same is kept
of each place of answers that SmolLM2 wrote greedily (`data/texts/smollm2-tasks.parquet`).
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.together_replay import (
    ALPHAS,
    BOTH,
    CONTRAST,
    KINDS,
    MOST,
    PAIRS,
    ROLLBACKS,
    RULES,
    Node,
    Places,
    Setting,
    follows,
)
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.together.combinations import Averaging, ContrastiveDecoding
from ensemble_lab.tokens.tracing import Words
from recipes.record_drafts import Numbers
from recipes.record_rounds import PROMPTS, about

DATA = Path(__file__).resolve().parents[1] / "data"
FILE, TEXTS = DATA / "trees/together.json", DATA / "texts/smollm2-tasks.parquet"
ASKED = {
    "a story": "Tell me a story about a lost dog.",
    "chat": PROMPTS["chat"],
    "a sum": PROMPTS["a sum"],
    "counting": "Count from 1 to 20, with commas.",
}
TOKENS = 40
ANSWERS, LEAST = 60, 60  # how many, and how many letters each has at least
LIKELY = 64  # tokens of each model among which contrast chooses: its mask leaves fewer
LEVELS, GROUP = 16, 64  # of the weights in four bits, and how many share their range
SETTINGS = [
    Setting(rule, alpha, rollback)
    for rule in RULES
    for alpha in ALPHAS
    for rollback in (ROLLBACKS if rule == RULES[0] else ROLLBACKS[-1:])
]
COLUMNS = ("parent", "token", "loss", "small", "large", "q", "p", "small_loss", "distance")


@torch.no_grad()
def rounded(model):
    """The model with the weights of its layers rounded to `LEVELS` in each `GROUP`."""
    for layer in model.model.model.layers.modules():
        if isinstance(layer, torch.nn.Linear):
            groups = layer.weight.float().reshape(-1, GROUP)
            low, high = groups.aminmax(dim=1, keepdim=True)
            step = (high - low) / (LEVELS - 1)
            near = ((groups - low) / step).round() * step + low
            layer.weight.copy_(near.reshape(layer.weight.shape))
    return model


def pair_of(name: str, dtype: str) -> tuple:
    """The large model and the small one."""
    small = {"tiny": "tiny-draft", PAIRS[0]: "smollm2-draft", PAIRS[1]: "smollm2"}[name]
    names = "tiny" if name == "tiny" else "smollm2", small
    large, small = (lab.load(one, device="cpu", dtype=dtype) for one in names)
    return large, rounded(small) if name == PAIRS[1] else small


def together(rule: str, alpha: float):
    """Averaging with this weight of the small model, or contrast of this strength."""
    return ContrastiveDecoding(alpha) if rule == CONTRAST else Averaging((1 - alpha, alpha))


class Reading:
    """Two models that read rows of texts, with their caches."""

    def __init__(self, models, ids: list[int]):
        from transformers import DynamicCache

        self.models = [one.model for one in models]
        self.caches = [DynamicCache() for _ in models]
        self.logits = self.read([ids])

    def read(self, rows: list[list[int]]) -> list[torch.Tensor]:
        """The logits (rows, V) of each model behind rows of new tokens."""
        many = torch.tensor(rows)
        return [
            model(many, past_key_values=cache, logits_to_keep=1).logits[:, -1].float()
            for model, cache in zip(self.models, self.caches, strict=True)
        ]

    def go_on(self, rows: list[int], tokens: list[int]) -> None:
        """Write a token behind each of these rows, one of which may be there several times."""
        for cache in self.caches:
            cache.batch_select_indices(torch.tensor(rows))
        self.logits = self.read([[token] for token in tokens])

    def node(self, row: int) -> Node:
        """What is kept of a row, rounded as it is written."""
        p, q = (one[row].double().softmax(-1) for one in self.logits)
        small, large = int(q.argmax()), int(p.argmax())
        far = round(float((p - q).clamp(min=0).sum()), 4)
        peaks = round(float(q.max()), 4), round(float(p.max()), 4)
        return Node(small, large, *peaks, round(-float(p[small].log()), 2), far)

    def combined(self, setting: Setting, row: int) -> int:
        """The first choice of both models together."""
        rule = together(setting.rule, setting.alpha)
        return int(rule.combined([one[row] for one in self.logits]).argmax())

    def loss(self, row: int, token: int) -> float:
        return round(-float(self.logits[0][row].double().log_softmax(-1)[token]), 2)


@torch.inference_mode()
def tree(models, name: str, prompt: str) -> dict:
    """All texts behind one prompt."""
    large = models[0]
    (ids,), _ = tokens_of(large, prompt)
    reading, ends, known = Reading(models, ids), set(large.ends), Numbers()
    table = [(-1, -1, 0.0, reading.node(0))]
    at = dict.fromkeys(SETTINGS, 0)  # the row of each setting that still writes
    runs, places = dict.fromkeys(SETTINGS, MOST), [0]  # the node of each row
    texts = {rule: {alpha: [] for alpha in ALPHAS} for rule in BOTH}
    for place in tqdm(range(TOKENS), desc=name):
        nexts, wanted = {}, {}
        for setting, row in at.items():
            if setting.rule in BOTH:
                texts[setting.rule][setting.alpha].append(reading.combined(setting, row))
            here = {rule: list(each.values()) for rule, each in texts.items()}
            token, by, _ = follows(setting, place, table[places[row]][3], runs[setting], here)
            runs[setting] = runs[setting] + 1 if by == "small" else 0
            nexts[setting] = wanted.setdefault((row, token), len(wanted))
        rows, tokens = map(list, zip(*wanted, strict=True))
        losses = [reading.loss(*way) for way in wanted]
        reading.go_on(rows, tokens)
        before, places = places, []
        for i, (row, token) in enumerate(wanted):
            places.append(len(table))
            table.append((before[row], token, losses[i], reading.node(i)))
        at = {setting: row for setting, row in nexts.items() if tokens[row] not in ends}
        if not at:
            break
    columns = {column: [] for column in COLUMNS}
    for parent, token, loss, node in table:
        token = known[token] if parent >= 0 else -1
        first = known[node.small], known[node.large]
        q, p, far = (round(share * 1e4) for share in (node.q, node.p, node.distance))
        row = parent, token, loss, *first, q, p, node.loss, far
        for column, value in zip(COLUMNS, row, strict=True):
            columns[column].append(value)
    numbered = {rule: [[known[t] for t in text] for text in each.values()]
                for rule, each in texts.items()}  # fmt: skip
    word = Words(large.tokenizer)
    return {
        "name": name,
        "prompt": prompt.strip(),
        "ends": [known[token] for token in ends if token in known],
        "texts": numbered,
        "nodes": columns,
        "words": [word(token) for token in known],
    }


# -- places -------------------------------------------------------------------------------------


def kind_of(before: str, token: str) -> int:
    """The index in `KINDS` of a token behind a text."""
    word = token.strip()
    if not any(sign.isalnum() for sign in word):
        name = "sign"
    elif any(sign.isdigit() for sign in word):
        name = "number"
    elif not token[0].isspace() and before[-1:].isalpha():
        name = "rest of a word"
    elif word[0].isupper() and before.rstrip()[-1:].isalpha() and len(word) > 1:
        name = "name"  # a capital letter within a sentence
    else:
        name = "short word" if len(word) <= 3 else "longer word"
    return KINDS.index(name)


@torch.inference_mode()
def places(models, end: str) -> tuple[dict, dict]:
    """What both think at each place of the answers, and what they choose together."""
    answers = pd.read_parquet(TEXTS).drop_duplicates("answer")
    answers = answers[answers.answer.str.len() >= LEAST][:ANSWERS]
    large = models[0]
    kept = {column: [] for column in Places._fields}
    other = {rule: np.zeros((len(ALPHAS), len(KINDS)), int) for rule in BOTH}
    for task, answer in tqdm(list(zip(answers.task, answers.answer, strict=True)), desc="places"):
        (prompt,), _ = tokens_of(large, task + end)
        ids = large.tokenizer(answer, add_special_tokens=False)["input_ids"][:TOKENS]
        many = torch.tensor([[*prompt, *ids]])
        here = slice(len(prompt) - 1, -1)
        logits = [one.model(many).logits[0, here].float() for one in models]  # (n, V) each
        p, q = (one.softmax(-1) for one in logits)
        first, small = p.argmax(-1), q.argmax(-1)
        words = [large.tokenizer.decode(ids[: i + 1]) for i in range(len(ids))]
        kinds = [kind_of(a, b[len(a) :] or "?") for a, b in pairwise(["", *words])]
        peaks = [(1e4 * one.amax(-1)).round().int().tolist() for one in (q, p)]
        losses = -p.gather(-1, small[:, None])[:, 0].log()
        far = (1e4 * (p - q).clamp(min=0).sum(-1)).round().int().tolist()
        rounded_losses = [round(loss, 2) for loss in losses.tolist()]
        same = (small == first).int().tolist()
        found = kinds, same, *peaks, rounded_losses, far
        for column, values in zip(Places._fields, found, strict=True):
            kept[column] += values
        likely = torch.cat([one.topk(LIKELY).indices for one in logits], 1)
        few = [one.gather(1, likely) for one in logits]
        for i, alpha in enumerate(ALPHAS):
            contrasted = together(CONTRAST, alpha).combined(few).argmax(-1, keepdim=True)
            averaged = ((1 - alpha) * p + alpha * q).argmax(-1)
            for rule, chosen in zip(
                BOTH, (averaged, likely.gather(1, contrasted)[:, 0]), strict=True
            ):
                differ = np.array(kinds)[(chosen != first).numpy()]
                other[rule][i] += np.bincount(differ, minlength=len(KINDS))
    return kept, {rule: counts.tolist() for rule, counts in other.items()}


def main() -> None:
    """Write what was asked for, beside what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pair", choices=PAIRS, action="append", help="default: all")
    parser.add_argument("--only", choices=("trees", "places"), help="default: both")
    asked = parser.parse_args()
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name in asked.pair or PAIRS:
        made, end = {}, "\n" if name == "tiny" else ""
        if asked.only != "places":  # as they would be decoded
            models = pair_of(name, "float32" if name == "tiny" else "bfloat16")
            made["pairs"] = [tree(models, text, ask + end) for text, ask in ASKED.items()]
            made["about"] = about(models[0]) | {"small": models[1].weights}
        if asked.only != "trees":  # whole texts are read, which is quicker in float32
            models = pair_of(name, "float32")
            made["places"], made["combined"] = places(models, end)
        found |= {"tokens": TOKENS, "answers": ANSWERS, "kinds": KINDS}
        for part, value in made.items():
            found[part] = {**found.get(part, {}), name: value}
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        FILE.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
