"""Limited teacher: a large model helps with the first tokens, then the small one writes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ensemble_lab.core.missing import require
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.settings import number, seed_of, whole
from ensemble_lab.tokens.decode import Generation, decode
from ensemble_lab.tokens.divergences import Divergence
from ensemble_lab.tokens.prompts import limits_of
from ensemble_lab.tokens.together.combinations import Combination
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.deferring import Deferral, check_pair, one_prompt
from ensemble_lab.tokens.together.members import Member, distances

OTHER_SEED = 2**32 + 1  # so that the two parts of a text do not use the same random numbers


@dataclass(frozen=True)
class Extrapolation(Combination):
    """The small model's probabilities, moved towards the large one's or beyond: q + alpha (p - q).

    What falls below 0 is set to 0, and the rest is normalised.

    Parameters
    ----------
    alpha : float
        From 0 up: 0 is the small model, 1 the large one, above 1 lies beyond it.

    Raises
    ------
    ValueError
        An alpha out of its range or, with the models, not a large and a small one.

    References
    ----------
    Ok, Ryu and Lee, Decoding with limited teacher supervision requires understanding when to trust
    the teacher, EMNLP 2024.

    Examples
    --------
    >>> import torch
    >>> p, q = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    >>> [round(x, 3) for x in Extrapolation(2).combined([p.log(), q.log()]).exp().tolist()]
    [0.583, 0.333, 0.083, 0.0]
    """

    alpha: float = 1.0
    roles = ("large", "small")

    def __post_init__(self):
        if not 0 <= number(self.alpha, "alpha") < math.inf:
            raise ValueError(f"alpha={self.alpha} is not a finite number from 0 up; 1 is the large")

    def combined(self, logits):
        if self.alpha in (0, 1):
            return logits[1 - int(self.alpha)].log_softmax(-1)
        p, q = (one.softmax(-1) for one in logits)
        moved = (q + float(self.alpha) * (p - q)).clamp(min=0)
        return (moved / moved.sum(-1, keepdim=True)).log()


def limited_teacher(
    large: LanguageModel,
    small: LanguageModel,
    prompt,
    first: int,
    draft=None,
    *,
    alpha: float = 1.0,
    max_new_tokens: int = 128,
    seed: int | None = None,
    **settings: Any,
) -> Generation:
    """Generate the first tokens with a large model's help, and the rest with a small model.

    The first tokens follow q + alpha (p - q), cut off at 0 and normalised, p the large model's
    distribution and q the small one's (`Extrapolation`). With alpha = 1 that is p, and the small
    model does not read until then.

    Parameters
    ----------
    large, small : LanguageModel
        With one vocabulary, on one device. The prompt is read as by the large one.
    prompt
        One prompt, as in `decode`.
    first : int
        How many tokens have the large model's help, from 0 up; from `max_new_tokens` up all do.
    draft, **settings
        As in `decode`, for both parts.
    alpha : float
        From 0 up.
    max_new_tokens : int
    seed : int, optional

    Returns
    -------
    Generation
        The rounds of both parts; `prefill` is the time to read the prompt, and the text again.
        After a keyboard interrupt: what is generated so far.

    Raises
    ------
    ModelError
        As in `decode`, for models that do not fit together, and for several prompts.
    ValueError
        As in `decode`, and for a number out of its range.

    Notes
    -----
    The number of tokens decides between the models, not their distributions. So this is no
    combination that a draft is verified against: each part is decoded by `decode`, a draft keeps
    the distribution of each, and no round goes across the end of the first.

    References
    ----------
    Ok, Ryu and Lee, Decoding with limited teacher supervision requires understanding when to trust
    the teacher, EMNLP 2024.

    Examples
    --------
    >>> pair = load("tiny"), load("tiny-draft")  # doctest: +SKIP
    >>> limited_teacher(*pair, "The sea was", first=10).text  # doctest: +SKIP
    """
    if (first := whole(first, "first")) < 0:
        raise ValueError(f"first={first} is below 0; 0 is the small model")
    if (max_new_tokens := whole(max_new_tokens, "max_new_tokens")) < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    rule, seed = Extrapolation(alpha), seed_of(seed)
    ids = one_prompt(large, prompt)
    check_pair(large, small)
    limit = min(limits_of(one, [ids], max_new_tokens)[0] for one in (large, small)) - len(ids)
    parts = []
    if first:
        teacher = large if alpha == 1 else CombinedModel([large, small], rule)
        parts.append(decode(teacher, ids, draft, max_new_tokens=min(first, limit), seed=seed,
                            **settings))  # fmt: skip
    tokens = parts[0].tokens if first else ()
    # An interrupted first part is shorter than asked, as is one that ended by itself.
    whole_part = len(tokens) == min(first, limit)
    if whole_part and len(tokens) < limit and not (tokens and tokens[-1] in large.ends):
        other = None if seed is None else (seed + OTHER_SEED) % 2**64
        parts.append(decode(small, [*ids, *tokens], draft, max_new_tokens=limit - len(tokens),
                            seed=other, **settings))  # fmt: skip
        tokens += parts[-1].tokens
    return Generation(
        tokens,
        large.tokenizer.decode(tokens, skip_special_tokens=True),
        tuple(one for part in parts for one in part.rounds),
        sum(part.prefill for part in parts),
    )


def measure_limited_teacher(
    large: LanguageModel, small: LanguageModel, prompts, first: int, draft=None, **settings: Any
) -> Deferral:
    """Decode prompts one by one with `limited_teacher`, and report on both models.

    Parameters
    ----------
    large, small, first, draft, **settings
        As in `limited_teacher`.
    prompts
        As in `decode`.

    Returns
    -------
    Deferral
        `share` is that of the tokens with the large model's help. Calls and seconds are those of
        rounds, without the prompts; rounds in which both models read count for both.

    Raises
    ------
    ModelError, ValueError
        As in `limited_teacher`.
    """
    require("decoding", "torch", "transformers")
    import torch

    prompts = [one_prompt(large, prompt) for prompt in read_prompts(prompts)[0]]
    made = [limited_teacher(large, small, ids, first, draft, **settings) for ids in prompts]
    rule = Extrapolation(settings.get("alpha", 1.0))
    readers = (0,) if rule.alpha == 1 else (0, 1)
    calls, seconds, found = [0, 0], [0.0, 0.0], [[], []]
    for ids, one in zip(prompts, made, strict=True):
        written = 0
        for r in one.rounds:
            for model in readers if written < first else (1,):
                calls[model] += 1
                seconds[model] += r.verify
            written += len(r.tokens)
        parts = [
            distances(CombinedModel([large, small], part), ids, one.tokens)
            for part in (rule, Extrapolation(0))
        ]
        for i in (0, 1):
            found[i] += [parts[0][i][:first], parts[1][i][first:]]
    found = [torch.cat(rows).mean(0).clamp(min=0).tolist() for rows in found]
    members = (
        Member(model.weights, calls[i], seconds[i], Divergence(*found[i]))
        for i, model in enumerate((large, small))
    )
    share = sum(min(first, len(one.tokens)) for one in made) / sum(len(x.tokens) for x in made)
    return Deferral(share, *members)
