"""Training of parallel heads on text that the target writes itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.models.gradients import trains
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import seed_of, whole
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.models.vocabulary import is_known, vocabulary_fingerprint
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.parallel_heads import ParallelHeads

TOGETHER = 32  # prompts that are decoded as one batch
BATCH = 256  # states a step
RATE, LAST = 3e-3, 0.1  # AdamW's learning rate, and the part of it that is left at the end
HELD_OUT = 8  # every eighth prompt is only judged
RANKS = 4  # of which `hits` are counted
BEYOND = -100  # the token that would come after the end of a text


@trains("training of heads", "transformers")
def fitted(
    target: LanguageModel,
    prompts,
    heads: int,
    steps: int,
    max_new_tokens: int,
    seed: int | None,
    progress: bool,
) -> ParallelHeads:
    """What `ParallelHeads.fit` returns."""
    for name, value in (("steps", steps), ("heads", heads)):
        if whole(value, name) < 1:
            raise ValueError(f"{name}={value} trains nothing; use 1 or more")
    given, _ = tokens_of(target, prompts)
    if len(given) < 2 * HELD_OUT:
        raise ModelError(f"{len(given)} prompts are too few to train and judge: give 16 or more")
    seed = torch.Generator().seed() % 2**32 if seed_of(seed) is None else seed
    left_out = given[::HELD_OUT]
    learned = [one for i, one in enumerate(given) if i % HELD_OUT]
    how = {"max_new_tokens": max_new_tokens, "seed": seed}
    texts = written(target, learned[::2], **how)
    texts += written(target, learned[1::2], temperature=1.0, **how)
    states, tokens = examples(target, texts, heads)
    judged = examples(target, written(target, left_out, **how), heads)  # too short is said here
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = ParallelHeads(states.shape[1], heads).to(target.device, torch.float32)
        _train(made, target, states, tokens, steps, progress)
    known = is_known(target.tokenizer)
    made.about = {
        "weights": target.weights,
        **({"vocabulary": vocabulary_fingerprint(target.tokenizer)} if known else {}),
        "states": len(states),
        "hits": hits(made, target, *judged),
    }
    return made.eval()


def written(target: LanguageModel, prompts: Sequence[list[int]], **how) -> list[tuple[int, list]]:
    """What the target writes: the length of each prompt, and the tokens of the whole text."""
    found = []
    for i in range(0, len(prompts), TOGETHER):
        some = prompts[i : i + TOGETHER]
        made = decode(target, some, **how)
        found += [(len(p), [*p, *one.tokens]) for p, one in zip(some, made, strict=True)]
    return found


@torch.no_grad()
def examples(
    target: LanguageModel, texts: Sequence[tuple[int, list]], heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """States (n, D) in float32, and the tokens (n, K) that the heads should name.

    The target writes token i + 1 from state i; head k names token i + 2 + k. Those beyond the end
    of a text are `BEYOND`.
    """
    states, tokens = [], []
    for start, text in texts:
        read = torch.tensor([text], device=target.device)
        found = target.model.model(read, use_cache=False).last_hidden_state[0]  # (t, D)
        row = torch.tensor([*text, *[BEYOND] * heads])
        first, last = start - 1, len(text) - 2  # of the states that have a token to name
        states.append(found[first:last].float())
        tokens.append(row.unfold(0, heads, 1)[first + 2 : last + 2])
    states, tokens = torch.cat(states), torch.cat(tokens).to(target.device)
    if not (tokens != BEYOND).any(0).all():
        raise ModelError(
            f"no text is long enough for {heads} heads: use fewer heads or more max_new_tokens"
        )
    return states, tokens


def _train(made: ParallelHeads, target, states, tokens, steps: int, progress: bool) -> None:
    from tqdm.auto import tqdm

    rows = target.model.lm_head.weight.detach().float().clone()
    adam = torch.optim.AdamW(made.parameters(), RATE)
    plan = torch.optim.lr_scheduler.LinearLR(adam, 1.0, LAST, steps)
    try:
        for _ in (bar := tqdm(range(steps), desc="heads", unit="step", disable=not progress)):
            some = torch.randint(len(states), (BATCH,)).to(states.device)
            logits = F.linear(made(states[some]), rows)  # (n, K, V)
            loss = F.cross_entropy(
                logits.flatten(0, 1), tokens[some].flatten(), ignore_index=BEYOND
            )
            if not loss.isfinite():
                raise not_finite(target.weights, target.dtype)
            adam.zero_grad()
            loss.backward()
            adam.step()
            plan.step()
            bar.set_postfix(loss=f"{loss.item():.2f}")
    except KeyboardInterrupt:
        return


@torch.no_grad()
def hits(made: ParallelHeads, target: LanguageModel, states, tokens) -> list[list[float]]:
    """How often the target's token has each rank (K, R) among a head's likeliest."""
    rows = target.model.lm_head.weight.detach().float()
    ranks = min(RANKS, len(rows))
    found = torch.cat([F.linear(made(part), rows).topk(ranks).indices for part in states.split(64)])
    right, known = found == tokens[..., None], tokens != BEYOND  # (n, K, R), (n, K)
    shares = right.sum(0) / known.sum(0)[:, None].clamp(min=1)
    return [[round(share, 4) for share in row] for row in shares.tolist()]
