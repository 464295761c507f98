"""Train `tiny-layerskip`: the target of `tiny`, trained further so that its first layers can draft.

    python -m recipes.train_layerskip --raw DIR  # a quarter of an hour

`DIR` is that of `train_tiny`, and so are the texts, their split and the tokenizer. The shipped
target is where training begins; its own files stay as they are. Every layer's state goes through
the same last norm and head, so `lab.decode(model, prompts, "early-exit:2")` needs no more weights.

References
----------
Elhoushi et al., LayerSkip: enabling early exit inference and self-speculative decoding, ACL 2024.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm
from transformers import AutoTokenizer, LlamaForCausalLM

from ensemble_lab.models.load import load
from ensemble_lab.tokens.decode import decode
from ensemble_lab.training.submodels.exits import exit_shares
from recipes.train_tiny import (
    BATCH,
    DATA,
    SEED,
    blocks,
    encoded,
    endless,
    optimisers_of,
    rate,
    read,
    split,
    step,
)

FOLDER = DATA / "models/tiny-layerskip"
GAMMA, PROMPTS, NEW_TOKENS, SEEDS = 3, 20, 64, 5

STEPS, EVERY = 1500, 50
DROPPED = 0.2  # p_max: how often the last layer is left out; the first never is
SCALE = 4.0  # of the early exits in the loss
SHARE = 0.75  # of the learning rates with which `tiny` was trained


def dropout_of(layers: int) -> torch.Tensor:
    """How often each layer (L,) is left out in training: 0 for the first, DROPPED for the last."""
    return DROPPED * (2 ** (torch.arange(layers) / (layers - 1)) - 1)


def shares_at(i: int, layers: int) -> dict[int, float]:
    """The shares of the exits in the loss of step i, by the exit from 1.

    The last layer learns in every step; of the others one a step, by turns (rotational curriculum).
    """
    weights = exit_shares(layers, SCALE)
    exits = 1 + i % (layers - 1), layers
    total = sum(weights[one - 1] for one in exits)
    return {one: weights[one - 1] / total for one in exits}


def states_of(model: LlamaForCausalLM, tokens: torch.Tensor, dropped=None) -> Iterator:
    """States (B, t, D) after each layer for tokens (B, t), before the last norm.

    `dropped` (L, B) tells which texts leave out which layers.
    """
    trunk = model.model
    x, places = trunk.embed_tokens(tokens), torch.arange(tokens.shape[1])[None]
    turns = trunk.rotary_emb(x, places)
    for i, layer in enumerate(trunk.layers):
        made = layer(x, position_ids=places, position_embeddings=turns)
        x = made if dropped is None else torch.where(dropped[i, :, None, None], x, made)
        yield x


def logits_of(model: LlamaForCausalLM, states: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """Logits (tokens, V) before every learned token of a batch (B, 2, t)."""
    return model.lm_head(model.model.norm(states[:, :-1][batch[:, 1, 1:].bool()]))


def loss_of(model: LlamaForCausalLM, batch: torch.Tensor, shares: dict, dropped) -> torch.Tensor:
    """The surprises at the exits, summed by their shares."""
    wanted = batch[:, 0, 1:][batch[:, 1, 1:].bool()]
    return sum(
        shares[exit] * F.cross_entropy(logits_of(model, states, batch), wanted)
        for exit, states in enumerate(states_of(model, batch[:, 0], dropped), start=1)
        if exit in shares
    )


@torch.no_grad()
def judged(model: LlamaForCausalLM, texts: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """Of each exit on held-out texts: the mean surprise, and its agreement with the last layer."""
    nats, agreed = [], []
    for batch in blocks(texts).split(BATCH):
        wanted = batch[:, 0, 1:][batch[:, 1, 1:].bool()]
        each = [logits_of(model, x, batch) for x in states_of(model, batch[:, 0])]
        said = each[-1].argmax(-1)
        nats.append([F.cross_entropy(one, wanted).item() for one in each])
        agreed.append([(one.argmax(-1) == said).float().mean().item() for one in each])
    return {
        name: np.mean(found, 0).round(3).tolist()
        for name, found in (("held_out", nats), ("agreement", agreed))
    }


def fit(model: LlamaForCausalLM, train, held, steps: int = STEPS) -> list[dict]:
    """Train in place; what `judged` finds every EVERY steps."""
    layers, batches = model.config.num_hidden_layers, endless(train)
    chance = dropout_of(layers)[:, None].expand(-1, BATCH)
    found = [{"step": 0, **judged(model, held)}]
    optimisers = optimisers_of(model, "target")
    for group in (group for one in optimisers for group in one.param_groups):
        group["lr"] *= SHARE
    schedules = [LambdaLR(one, lambda i: rate(i, steps)) for one in optimisers]
    torch.manual_seed(SEED)
    for i in tqdm(range(1, steps + 1), mininterval=20):
        shares, dropped = shares_at(i, layers), torch.rand(layers, BATCH) < chance
        step(model, loss_of(model, next(batches), shares, dropped), optimisers)
        for schedule in schedules:
            schedule.step()
        if i % EVERY == 0:
            found.append({"step": i, **judged(model, held)})
            tqdm.write(str(found[-1]))
    return found


def acceptances(source: str | Path, prompts: Sequence[str]) -> dict[str, dict]:
    """How much of what its first layers draft a model accepts, greedy and at temperature 1."""
    model = load(source, "cpu", "float32")
    found = {}
    for exit in range(1, model.model.config.num_hidden_layers):
        runs = {
            (temperature, seed): decode(
                model, list(prompts), f"early-exit:{exit}", gamma=GAMMA, seed=seed,
                temperature=temperature, max_new_tokens=NEW_TOKENS,
            )
            for temperature, seed in [(0.0, 0), *((1.0, seed) for seed in range(SEEDS))]
        }  # fmt: skip
        each = {run: acceptance(made) for run, made in runs.items()}
        sampled = [value for (temperature, _), value in each.items() if temperature]
        found[str(exit)] = {
            "greedy": round(each[0.0, 0], 3),
            "sampled": [round(value, 3) for value in sampled],
            "tokens_a_round": round(np.mean([m.tokens_a_round for m in runs[0.0, 0]]), 2),
        }
    return found


def acceptance(generations: Sequence) -> float:
    """Accepted of the drafted tokens that were examined."""
    rounds = [one for made in generations for one in made.rounds]
    examined = sum(min(one.accepted + 1, len(one.proposed)) for one in rounds)
    return sum(one.accepted for one in rounds) / examined


def about(found: list[dict], minutes: float, prompts: Sequence[str], folder: Path) -> dict:
    """What is written beside the weights."""
    return {
        "name": "tiny-layerskip",
        "licence": "Apache-2.0",
        "corpus": "as that of tiny",
        "begun_from": "the target of tiny",
        "steps": STEPS,
        "dropped": DROPPED,
        "scale": SCALE,
        "minutes": round(minutes, 1),
        "by_exit": found,
        "gamma": GAMMA,
        "prompts": len(prompts),
        "acceptance": {
            "tiny": acceptances("tiny", prompts),
            "tiny-layerskip": acceptances(folder, prompts),
        },
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder with smollm2_generations")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.monotonic()
    train, held = split(read(asked.raw))
    start = DATA / "models/tiny/target"
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    found = fit(model, encoded(tokenizer, train), encoded(tokenizer, held))
    model.to(torch.float16).save_pretrained(asked.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(start / name, asked.out / name)
    minutes = (time.monotonic() - begun) / 60
    prompts = [text.prompt for text in held[:PROMPTS]]
    text = json.dumps(about(found, minutes, prompts, asked.out), indent=1) + "\n"
    (asked.out / "about.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
