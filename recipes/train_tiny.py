"""Train the pair `tiny`: a target of 1.2 million parameters and a draft of a tenth of it.

    python -m recipes.train_tiny --raw DIR

`DIR/smollm2_generations/generations.jsonl.gz` holds what SmolLM2-135M-Instruct wrote to short
prompts: JSON lines with `kind`, `prompt` and `completion`. Only its own answers are learned: a
prompt is read but not predicted, and kinds whose prompts hold whole passages are left out. The
target learns the text (cross-entropy); the draft learns the target's distribution on it
(distillation).
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recipes.measure_tiny import measured, write

DATA = Path(__file__).resolve().parents[1] / "data"
KINDS = ("chat", "code", "math", "qa", "trans")
VOCABULARY, BLOCK, BATCH, SEED = 2048, 512, 4, 0  # 2048 tokens a step
BEGIN, END = "<s>", "</s>"
CUT = "<|im_end|>"  # how SmolLM2 ends an answer; one without it was cut after 128 tokens
SHAPES = {
    "target": {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4},
    "draft": {"hidden_size": 40, "intermediate_size": 112, "num_hidden_layers": 1},
}
STEPS, EVERY = {"target": 2000, "draft": 400}, 50
PEAK = {"target": 4e-3, "draft": 8e-3}  # of AdamW


@dataclass(frozen=True)
class Text:
    """One prompt and what SmolLM2 answered; `whole` unless it was cut off."""

    kind: str
    prompt: str
    answer: str
    whole: bool


def read(raw: Path) -> list[Text]:
    """The texts of the kinds that are used."""
    with gzip.open(raw / "smollm2_generations/generations.jsonl.gz", "rt", encoding="utf-8") as f:
        rows = [row for row in map(json.loads, f) if row["kind"] in KINDS]
    return [
        Text(r["kind"], r["prompt"].strip(), answer.strip(), bool(end))
        for r in rows
        for answer, end, _ in [r["completion"].partition(CUT)]
    ]


def split(texts: Sequence[Text], share: int = 20) -> tuple[list[Text], list[Text]]:
    """Training texts and held-out ones: all answers to every `share`-th prompt, drawn at random."""
    prompts = sorted({text.prompt for text in texts})
    drawn = np.random.default_rng(SEED).permutation(prompts)[: len(prompts) // share]
    held = set(drawn.tolist())
    return (
        [text for text in texts if text.prompt not in held],
        [text for text in texts if text.prompt in held],
    )


def tokenizer_of(answers: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE, which puts BEGIN before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(answers, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=BLOCK,
    )


def encoded(tokenizer: PreTrainedTokenizerFast, texts: Sequence[Text]) -> list[np.ndarray]:
    """One array (2, t) a text: its tokens, and 1 where a token is learned."""
    prompts = tokenizer([text.prompt for text in texts])["input_ids"]
    answers = tokenizer(
        ["\n" + text.answer + END * text.whole for text in texts], add_special_tokens=False
    )["input_ids"]
    return [
        np.array([p + a, [0] * len(p) + [1] * len(a)])
        for p, a in zip(prompts, answers, strict=True)
    ]


def blocks(texts: Sequence[np.ndarray], rng: np.random.Generator | None = None) -> torch.Tensor:
    """Texts one after the other, cut into (n, 2, BLOCK); shuffled where `rng` is given."""
    order = np.arange(len(texts)) if rng is None else rng.permutation(len(texts))
    flat = np.concatenate([texts[i] for i in order], 1)  # (2, all)
    n = flat.shape[1] // BLOCK
    return torch.from_numpy(flat[:, : n * BLOCK].reshape(2, n, BLOCK)).transpose(0, 1)


def model_of(name: str) -> LlamaForCausalLM:
    """A Llama with random weights, by SEED."""
    config = LlamaConfig(
        **SHAPES[name],
        vocab_size=VOCABULARY,
        num_attention_heads=4,
        max_position_embeddings=BLOCK,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    torch.manual_seed(SEED)
    return LlamaForCausalLM(config)


def logits_of(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """Logits (tokens, V) before every learned token of a batch (B, 2, BLOCK)."""
    states = model.model(batch[:, 0], use_cache=False).last_hidden_state[:, :-1]
    return model.lm_head(states[batch[:, 1, 1:].bool()])


def cross_entropy(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """Mean surprise at the learned tokens, in nats."""
    return F.cross_entropy(logits_of(model, batch), batch[:, 0, 1:][batch[:, 1, 1:].bool()])


def distillation(target: LlamaForCausalLM) -> Callable:
    """The loss of a draft: KL(target || draft) on the same text, in nats a token.

    References
    ----------
    Zhou et al., DistillSpec, ICLR 2024.
    """

    def loss(draft: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            p = logits_of(target, batch).log_softmax(-1)
        q = logits_of(draft, batch).log_softmax(-1)
        return F.kl_div(q, p, log_target=True, reduction="batchmean")

    return loss


@torch.no_grad()
def mean_loss(model: LlamaForCausalLM, loss_of: Callable, texts: Sequence[np.ndarray]) -> float:
    """The loss on held-out texts."""
    batches = blocks(texts).split(BATCH)
    return float(np.mean([loss_of(model, batch).item() for batch in batches]))


def optimisers_of(model: LlamaForCausalLM, name: str) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the layers, AdamW for the rest."""
    matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=PEAK[name], betas=(0.9, 0.95), weight_decay=0.01),
    ]


def fit(name: str, train, held, loss_of: Callable, keep: Callable) -> list[dict]:
    """Train; `keep` the model every EVERY steps and return the losses there."""
    model, batches, losses, recent = model_of(name), endless(train), [], []
    optimisers = optimisers_of(model, name)
    schedules = [LambdaLR(one, lambda i: rate(i, STEPS[name])) for one in optimisers]
    for i in tqdm(range(1, STEPS[name] + 1), name, mininterval=20):
        recent.append(step(model, loss_of(model, next(batches)), optimisers))
        for schedule in schedules:
            schedule.step()
        if i % EVERY == 0:
            found = {"train": float(np.mean(recent)), "held_out": mean_loss(model, loss_of, held)}
            losses.append({"step": i, **{key: round(nats, 4) for key, nats in found.items()}})
            tqdm.write(f"{name} {losses[-1]}")
            keep(model, name)
            recent.clear()
    return losses


def rate(i: int, steps: int) -> float:
    """The learning rate's share: up in 20 steps, level, and down over the last two fifths."""
    return min(1.0, (i + 1) / 20, (steps - i) / (0.4 * steps))


def endless(texts: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
    """Batches (BATCH, 2, BLOCK), shuffled again for every pass."""
    rng = np.random.default_rng(SEED)
    while True:
        data = blocks(texts, rng)
        data = data[torch.from_numpy(rng.permutation(len(data)))]
        yield from data[: len(data) // BATCH * BATCH].split(BATCH)


def step(model: LlamaForCausalLM, loss: torch.Tensor, optimisers) -> float:
    """One step down the loss's gradient."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
    return loss.item()


def save(tokenizer: PreTrainedTokenizerFast, out: Path, model: LlamaForCausalLM, name: str):
    """Write a model in half precision and its tokenizer, as a folder of their own."""
    copy.deepcopy(model).to(torch.float16).save_pretrained(out / name)
    tokenizer.save_pretrained(out / name)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder with smollm2_generations")
    parser.add_argument("--out", type=Path, default=DATA / "models/tiny")
    args = parser.parse_args()
    torch.set_num_threads(1)  # such small matrices gain nothing from a second
    begun = time.monotonic()
    train, held = split(read(args.raw))
    tokenizer = tokenizer_of(text.answer for text in train)
    data = encoded(tokenizer, train), encoded(tokenizer, held)
    keep = partial(save, tokenizer, args.out)
    losses = {"target": fit("target", *data, cross_entropy, keep)}
    target = LlamaForCausalLM.from_pretrained(args.out / "target", dtype=torch.float32).eval()
    losses["draft"] = fit("draft", *data, distillation(target), keep)
    minutes = (time.monotonic() - begun) / 60
    training = {"seed": SEED, "steps": STEPS, "tokens_a_step": BATCH * BLOCK}
    about = {**training, "minutes": round(minutes, 1), "losses": losses}
    about |= measured(args.out, *data, [text.prompt for text in held])
    write(about, args.out)


if __name__ == "__main__":
    main()
