"""How far a lossy rule moves the text away from the target's: exactly, and measured on prompts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.settings import whole
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.lossy import Lossy
from ensemble_lab.tokens.sampling import Sampling

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.plain import Model

MOST_TEXTS = 10**5  # texts that `exact_divergence` goes through


class Divergence(NamedTuple):
    """The distance of a text's distribution from the target's.

    Parameters
    ----------
    kl : float
        Kullback-Leibler divergence KL(text || target) in nats; infinite where the text has tokens
        that the target never writes.
    total_variation : float
        In [0, 1]: half the sum of the absolute differences.
    """

    kl: float
    total_variation: float


def exact_divergence(
    target: Model, draft: Model, tokens: Sequence[int], gamma: int, n: int, rule: Lossy
) -> Divergence:
    """The exact divergence of the next n tokens, by enumeration of all texts.

    Parameters
    ----------
    target, draft : callable
        As in `speculative`: tokens (n,) to distributions (n, V) in float64.
    tokens : sequence of int
        The text so far, at least one token.
    gamma : int
        Drafted tokens a round, from 1 up.
    n : int
        Tokens, from 1 up; V^n is at most 100,000. A round begins with the first.
    rule : Lossy
        `Typical`, `Lenience` or `Mixture`.

    Raises
    ------
    ValueError
        A number out of its range, an empty text, too many texts, or no rule.

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble_lab.tokens import Lenience
    >>> p, q = [0.25, 0.75], [0.75, 0.25]
    >>> models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in (p, q)]
    >>> exact_divergence(*models, [0], 1, 1, Lenience(0.5)).total_variation
    0.25
    """
    require("a divergence", "torch")
    import torch

    _check_rule(rule)
    for name, value in (("gamma", gamma), ("n", n)):
        if whole(value, name) < 1:
            raise ValueError(f"{name}={value}; it takes whole numbers from 1 up")
    if not len(tokens):
        raise ValueError(f"tokens={shown(tokens)}; give a text of at least one token")
    size = len(target(list(tokens))[-1])
    if n * math.log(max(size, 2)) > math.log(MOST_TEXTS):
        raise ValueError(
            f"n={n} with {size:,} tokens makes more than {MOST_TEXTS:,} texts; use a smaller n or"
            " fewer tokens"
        )
    # The texts so far, with how many of the round's tokens were drafted: their chance, and the
    # target's chance of the text.
    ways = {((), 0): (1.0, 1.0)}
    for _ in range(n):
        longer = defaultdict(lambda: [0.0, 0.0])
        for (text, i), (share, at_target) in ways.items():
            p, q = (
                torch.as_tensor(model([*tokens, *text])[-1], dtype=torch.float64)
                for model in (target, draft)
            )
            stayed, ended = _parts(rule, p, q, i < gamma)
            for x, (a, b, c) in enumerate(zip(stayed, ended, p.tolist(), strict=True)):
                for place, chance in ((i + 1, a), (0, b)):
                    if chance:
                        way = longer[(*text, x), place]
                        way[0] += share * chance
                        way[1] = at_target * c
        ways = longer
    written = defaultdict(lambda: [0.0, 0.0])
    for (text, _), (share, at_target) in ways.items():
        written[text][0] += share
        written[text][1] = at_target
    made, exact = torch.tensor(list(written.values()), dtype=torch.float64).T
    # A text that the rule never writes counts too: its share of the target is missing.
    missing = max(1 - float(exact.sum()), 0.0)
    distance = float((made - exact).abs().sum() + missing) / 2
    return Divergence(_kl(made, exact), distance)


def measured_divergence(
    target: LanguageModel,
    draft: LanguageModel,
    prompts,
    rule: Lossy,
    *,
    gamma: int = 4,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    max_new_tokens: int = 64,
    seed: int | None = 0,
) -> Divergence:
    """The divergence of one token, on average over the tokens that the rule writes after prompts.

    At each of them the exact distribution that the rule gives, by the rounds in which the text was
    written, is compared with the target's.

    Parameters
    ----------
    target : LanguageModel
    draft : LanguageModel
        With a vocabulary of the same size.
    prompts, gamma, temperature, top_k, top_p, max_new_tokens, seed
        As in `stream`.
    rule : Lossy
        `Typical`, `Lenience` or `Mixture`.

    Raises
    ------
    ModelError, ValueError
        As in `stream`, and for vocabularies of different sizes or no rule.
    """
    require("a divergence", "torch", "transformers")
    import torch

    from ensemble_lab.tokens.decode import decode

    _check_rule(rule)
    sizes = [one.model.config.vocab_size for one in (target, draft)]
    if sizes[0] != sizes[1]:
        raise ModelError(
            f"the draft's vocabulary has {sizes[1]:,} tokens, the target's {sizes[0]:,}: their"
            " distributions cannot be compared"
        )
    sampling, found = Sampling(temperature, top_k, top_p), []
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    for prompt in read_prompts(prompts)[0]:
        [ids], _ = tokens_of(target, [prompt])
        made = decode(
            target,
            ids,
            draft,
            gamma=gamma,
            verification=rule,
            max_new_tokens=max_new_tokens,
            **settings,
        )
        text = torch.tensor([[*ids, *made.tokens]], device=target.device)
        with torch.inference_mode():
            p, q = (
                sampling.distribution(one.model(text).logits[0, len(ids) - 1 : -1]).double()
                for one in (target, draft)
            )  # (n, V)
        at = 0
        for one in made.rounds:
            for i in range(len(one.tokens)):
                written = sum(map(torch.tensor, _parts(rule, p[at], q[at], i < len(one.proposed))))
                distance = float((written - p[at].cpu()).abs().sum()) / 2
                found.append((_kl(written, p[at].cpu()), distance))
                at += 1
    return Divergence(*(sum(values) / len(found) for values in zip(*found, strict=True)))


def _parts(rule: Lossy, p: torch.Tensor, q: torch.Tensor, drafted: bool) -> tuple[list, list]:
    """The chance of each token (V,) to be an accepted one, and to be the one that ends a round."""
    aim = rule.aim(p, q)
    if not drafted:
        return [0.0] * len(p), aim.double().tolist()
    stayed = q * rule.chances(aim, q)
    rest = rule.rest(aim, q)
    ended = (1 - stayed.sum()).clamp(min=0) * rest / rest.sum()
    return stayed.double().tolist(), ended.double().tolist()


def _kl(written: torch.Tensor, p: torch.Tensor) -> float:
    import torch

    inside = written > 0
    return max(float(torch.xlogy(written[inside], written[inside] / p[inside]).sum()), 0.0)


def _check_rule(rule) -> None:
    if not isinstance(rule, Lossy):
        named = rule.__name__ if isinstance(rule, type) else shown(rule)
        raise ValueError(f"rule={named}; give Typical(), Lenience(0.5) or Mixture(0.5)")
