"""Distil drafts for smollm2 from text that it wrote: a feature-level head, or a small model.

    python -m recipes.train_drafts head --raw DIR [DIR ...] --work DIR
    python -m recipes.train_drafts model --raw DIR [DIR ...] --work DIR

`--raw` holds `*.jsonl.gz` files of lines with `kind`, `greedy`, `prompt` and `completion`, such as
`recipes.write_own_text` writes. The target's states on them are computed once into `--work`
(1.7 GB), and training continues from its last checkpoint there. Every twentieth prompt, by its
hash, is left out and judged.

Both learn the target's distribution over its most frequent tokens. Both work with the target's own
embeddings and head, which are frozen here and not shipped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from ensemble_lab.models.borrowed import save_layers
from ensemble_lab.models.vocabulary import vocabulary_fingerprint
from ensemble_lab.tokens.drafts.head import FeatureHead
from recipes.distilling import (
    CONTEXT,
    SEED,
    Batch,
    Texts,
    batches,
    compute_states,
    frequent,
    joined,
)
from recipes.train_ngram import answers_of

DATA = Path(__file__).resolve().parents[1] / "data"
REDUCED = 4096  # tokens whose distribution is learned: 91 % of what the target writes
PASSES = 2  # how often a head reads in training: first the target's states, then its own
BATCH = 16  # texts a step
EVERY = 150  # steps between looks at held-out text, with a checkpoint
LAYERS = {"head": 1, "model": 2}
INNER = {"head": 1024, "model": 576}  # so that either is below 8 MB


class HeadTrainer:
    """Distributions of a head that reads the target's states once and then its own."""

    def __init__(self, head: FeatureHead):
        self.network, self.rows = head, head.rows

    def distributions(self, batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Logits of head and target (tokens, R) after each pass.

        In the first pass the states are the target's, in later ones the head's own, so that it
        learns to continue from its own states (training-time test).

        References
        ----------
        Li et al., EAGLE-3: scaling up inference acceleration of large language models via
        training-time test, NeurIPS 2025.
        """
        width, counts = batch.tokens.shape[1] - 1, batch.counts[:, 1:]
        known, cache, found = batch.states.to(self.rows.dtype), DynamicCache(), []
        states, target = known[:, :-1], F.linear(known[:, 1:][counts], self.rows)
        for made in range(PASSES):
            states = self.network.step(
                states,
                batch.tokens[:, 1:],
                position_ids=torch.arange(width)[None],
                attention_mask=passes_mask(width, made),
                past_key_values=cache,
            )
            found.append((self.network.logits(states[counts]), target))
            states = F.pad(states, (0, 0, 1, 0))[:, :-1]  # what one token makes, the next reads
        return found


def passes_mask(width: int, made: int) -> torch.Tensor:
    """The attention mask (1, 1, width, (made + 1) width) in a pass after `made` others.

    A token of pass i is one that the head drafts i tokens ahead: right before it lie one token of
    each earlier pass, and before these those of the first.
    """
    back = torch.arange(width)[:, None] - torch.arange(width)  # how far a key lies back
    later = [back == made - i for i in range(1, made + 1)]
    return torch.cat([back >= made, *later], 1)[None, None]


class ModelTrainer:
    """Distributions of a small model that writes on its own."""

    def __init__(self, model: LlamaForCausalLM, rows: torch.Tensor):
        self.network, self.rows = model, rows

    def distributions(self, batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
        states = self.network.model(batch.tokens, use_cache=False).last_hidden_state
        known = batch.states[batch.counts].to(self.rows.dtype)
        return [(F.linear(states[batch.counts], self.rows), F.linear(known, self.rows))]


def distillation(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Mean KL of the target's distribution and the draft's, in nats a token.

    References
    ----------
    Zhou et al., DistillSpec: improving speculative decoding via knowledge distillation, ICLR 2024.
    """
    logs = [(q.log_softmax(-1), p.log_softmax(-1)) for q, p in pairs]
    each = [F.kl_div(q, p, log_target=True, reduction="batchmean") for q, p in logs]
    return sum(each) / len(each)


def optimisers_of(network: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices, AdamW for the rest."""
    learned = [p for p in network.parameters() if p.requires_grad]
    return [
        torch.optim.Muon([p for p in learned if p.dim() == 2], lr=0.02, weight_decay=0.01),
        torch.optim.AdamW([p for p in learned if p.dim() < 2], lr=4e-3, betas=(0.9, 0.95)),
    ]


def rate(share: float) -> float:
    """The learning rate's share at a share of the time: up quickly, level, and down from half."""
    return min(1.0, 0.02 + 50 * share, 2 * (1 - share))


@torch.no_grad()
def judged(trainer, texts: Texts, held: list[int]) -> list[dict]:
    """For each pass: KL in nats, and how often draft and target find the same token likeliest."""
    found = []
    for batch in batches(texts, held, BATCH, np.random.default_rng(SEED)):
        pairs = trainer.distributions(batch)
        kl = [distillation([pair]).item() for pair in pairs]
        agree = [(q.argmax(-1) == p.argmax(-1)).float().mean().item() for q, p in pairs]
        n = len(pairs[0][0])  # distributions
        found.append((n, n * np.array([kl, agree])))
    sums = sum(row for _, row in found) / sum(n for n, _ in found)  # (2, passes)
    return [{"kl": round(kl, 4), "agree": round(agree, 4)} for kl, agree in sums.T.tolist()]


def fit(trainer, texts: Texts, minutes: float, checkpoint: Path) -> list[dict]:
    """Train for so many minutes of computing, going on from a checkpoint; what was seen on the way.

    The learning rate falls with the time spent: a slow machine ends as converged as a quick one,
    having seen less.
    """
    answers = texts.answers
    train = [i for i in texts.there if not answers[i].held_out]
    held = [i for i in texts.there if answers[i].held_out and answers[i].greedy]
    run = Run(trainer.network, checkpoint)
    bar = tqdm(total=round(minutes, 1), unit="min", initial=run.seconds / 60, mininterval=20)
    while run.seconds < 60 * minutes:
        run.passes += 1
        for batch in batches(texts, train, BATCH, np.random.default_rng([SEED, run.passes])):
            begun = time.monotonic()
            loss = distillation(trainer.distributions(batch))
            run.step(loss, rate(run.seconds / 60 / minutes))
            run.seconds += time.monotonic() - begun
            bar.update((time.monotonic() - begun) / 60)
            over = run.seconds >= 60 * minutes
            if over or run.steps % EVERY == 0:
                run.note({"train": round(loss.item(), 4), "held_out": judged(trainer, texts, held)})
            if over:
                break
    return run.history


class Run:
    """A training under way, as it is kept in a checkpoint."""

    def __init__(self, network: nn.Module, checkpoint: Path):
        self.network, self.checkpoint, self.optimisers = network, checkpoint, optimisers_of(network)
        self.peaks = [one.param_groups[0]["lr"] for one in self.optimisers]
        self.seconds, self.steps, self.passes, self.history = 0.0, 0, 0, []
        if checkpoint.exists():
            kept = torch.load(checkpoint, weights_only=True)
            network.load_state_dict(kept.pop("network"))
            for one, state in zip(self.optimisers, kept.pop("optimisers"), strict=True):
                one.load_state_dict(state)
            self.__dict__.update(kept)

    def step(self, loss: torch.Tensor, share: float) -> None:
        """One step down the loss's gradient, at a share of the peak learning rate."""
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for one, peak in zip(self.optimisers, self.peaks, strict=True):
            one.param_groups[0]["lr"] = peak * share
            one.step()
        self.steps += 1

    def note(self, seen: dict) -> None:
        """Store the results and all that is needed to continue."""
        self.history.append({"step": self.steps, "minutes": round(self.seconds / 60, 1), **seen})
        tqdm.write(json.dumps(self.history[-1]))
        kept = {name: getattr(self, name) for name in ("seconds", "steps", "passes", "history")}
        kept["network"] = self.network.state_dict()
        kept["optimisers"] = [one.state_dict() for one in self.optimisers]
        unfinished = self.checkpoint.with_suffix(".part")
        torch.save(kept, unfinished)
        unfinished.rename(self.checkpoint)


def config_of(what: str, target: LlamaConfig) -> LlamaConfig:
    """A Llama as wide as its target, with fewer and thinner layers."""
    shape = {"num_hidden_layers": LAYERS[what], "intermediate_size": INNER[what]}
    kept = {key: value for key, value in target.to_dict().items() if key != "layer_types"}
    return LlamaConfig(**{**kept, **shape, "dtype": "float32"})


def trainer_of(what: str, target, ids: torch.Tensor, about: dict):
    """A head or a small model with random weights by SEED, and the target's embeddings and head."""
    torch.manual_seed(SEED)
    config = config_of(what, target.config)
    if what == "head":
        head = FeatureHead(config, ids, about).attach(target)
        return HeadTrainer(head)
    model = LlamaForCausalLM(config)
    shared = target.get_input_embeddings().weight.detach().float()
    model.model.embed_tokens.weight = nn.Parameter(shared, requires_grad=False)
    model.tie_weights()
    return ModelTrainer(model, target.lm_head.weight.detach()[ids])


def save(what: str, network: nn.Module, about: dict, out: Path) -> None:
    """Write the weights that were learned, in bfloat16, with what they were learned from."""
    if what == "head":
        network.about.update(about)
        (out / "drafts").mkdir(parents=True, exist_ok=True)
        network.save(out / "drafts/smollm2-head.safetensors")
        return
    save_layers(network, out / "models/smollm2-draft", about)


def main() -> None:
    """Command line."""
    import ensemble_lab as lab

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(LAYERS))
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="with *.jsonl.gz")
    parser.add_argument("--work", type=Path, required=True, help="for states and checkpoints")
    parser.add_argument("--share", type=float, nargs="+", help="of each folder's answers, or all")
    parser.add_argument("--start", type=Path, help="the file of a head to begin with")
    parser.add_argument("--minutes", type=float, default=60, help="of computing")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=DATA)
    args = parser.parse_args()
    if args.start and args.what != "head":
        parser.error("--start is the file of a head; train a head, or leave it out")
    target = lab.load("smollm2", dtype="float32")  # a third less time than in bfloat16 on a CPU
    args.work.mkdir(parents=True, exist_ok=True)
    several = [
        compute_states(
            target.model,
            answers_of(folder, target.tokenizer),
            share,
            args.work / f"{folder.name}.bin",
        )
        for folder, share in zip(args.raw, args.share or [1.0] * len(args.raw), strict=True)
    ]
    texts = joined(several)
    torch.set_num_threads(args.threads)
    learned = [texts.answers[i] for i in texts.there if not texts.answers[i].held_out]
    ids = frequent(learned, REDUCED)
    about = {
        "weights": target.weights,
        "vocabulary": vocabulary_fingerprint(target.tokenizer),
        "licence": "Apache-2.0",
    }
    trainer = trainer_of(args.what, target.model, ids, about)
    if args.start:
        before = FeatureHead.read(args.start)
        weights = {k: v for k, v in before.state_dict().items() if k != "ids"}
        trainer.network.load_state_dict(weights, strict=False)
        about["before"] = {key: before.about[key] for key in ("answers", "losses")}
    history = fit(trainer, texts, args.minutes, args.work / f"{args.what}.pt")
    about |= {
        "answers": len(texts.there),
        "prompt_tokens_seen": CONTEXT,
        "texts_a_step": BATCH,
        "seed": SEED,
        "losses": history,
    }
    save(args.what, trainer.network, about, args.out)


if __name__ == "__main__":
    main()
