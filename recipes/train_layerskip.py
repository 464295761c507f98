"""Train `tiny-layerskip`: the target of `tiny`, trained further so that its first layers can draft.

    python -m recipes.train_layerskip --raw DIR

`DIR` is that of `train_tiny`, and so are the texts, their split and the tokenizer. The shipped
target is where training begins; its own files stay as they are. Every layer's state goes through
the same last norm and head, so `lab.decode(model, prompts, "early-exit:1")` needs no more weights.

References
----------
Elhoushi et al., LayerSkip: enabling early exit inference and self-speculative decoding, ACL 2024.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version
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
from recipes.measure_tiny import WORDS, acceptance
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

OUT, BEGUN = DATA / "models/tiny-layerskip", DATA / "models/tiny/target"
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
    """Of each exit on held-out texts: its mean surprise, and how often it agrees with the end."""
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


def drafted(source: str | Path, prompts: Sequence[str]) -> dict[str, dict]:
    """How the first layers draft for the whole: acceptance and tokens a round at gamma 4.

    By the draft; greedy, and at temperature 1 over three seeds.
    """
    model, found = load(source, "cpu", "float32"), {}
    ways = {"greedy": [{}], "sampled": [{"temperature": 1.0, "seed": seed} for seed in range(3)]}
    for draft in ("early-exit:1", "early-exit:2", "early-exit:3"):
        for way, settings in ways.items():
            made = [
                one
                for how in settings
                for one in decode(model, prompts, draft, gamma=4, max_new_tokens=64, **how)
            ]
            rounds = sum(len(one.rounds) for one in made)
            found[f"{draft}, {way}"] = {
                "acceptance": round(acceptance(made), 3),
                "tokens_a_round": round(sum(len(one.tokens) for one in made) / rounds, 2),
            }
    return found


def write(minutes: float, losses: list[dict], prompts: Sequence[str], out: Path) -> None:
    """Write `about.json` next to the model."""
    asked = [f"{prompt}\n" for prompt in sorted(set(prompts))[::4]]
    files = {
        path.name: {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(out.glob("*"))
        if path.name != "about.json"
    }
    about = {
        **WORDS,
        "name": "tiny-layerskip",
        "begun_from": "the target of tiny",
        "seed": SEED,
        "steps": STEPS,
        "layer_dropout": DROPPED,
        "exit_scale": SCALE,
        "learning_rate_share": SHARE,
        "minutes": round(minutes, 1),
        "losses": losses,
        "prompts": len(asked),
        "before": drafted("tiny", asked),
        "after": drafted(out, asked),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")},
        "date": date.today().isoformat(),
        "files": files,
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (out / "about.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder with smollm2_generations")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.monotonic()
    train, held = split(read(args.raw))
    tokenizer = AutoTokenizer.from_pretrained(BEGUN)
    model = LlamaForCausalLM.from_pretrained(BEGUN, dtype=torch.float32)
    losses = fit(model, encoded(tokenizer, train), encoded(tokenizer, held))
    model.to(torch.float16).save_pretrained(args.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(BEGUN / name, args.out / name)
    minutes = (time.monotonic() - begun) / 60
    write(minutes, losses, [text.prompt for text in held], args.out)


if __name__ == "__main__":
    main()
