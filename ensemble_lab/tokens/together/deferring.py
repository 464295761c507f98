"""Decoding by a deferral rule that reads with the large model only where it is asked."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.settings import seed_of, whole
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.decode import Generation
from ensemble_lab.tokens.divergences import Divergence
from ensemble_lab.tokens.prompts import check_room, limits_of
from ensemble_lab.tokens.sampling import Sampling, sampled
from ensemble_lab.tokens.session import Round
from ensemble_lab.tokens.together.combined import CombinedModel, check_alike
from ensemble_lab.tokens.together.deferral import TokenDeferral
from ensemble_lab.tokens.together.members import Member, distances


class Deferral(NamedTuple):
    """What deferring to a large model costs, and how far the text is from either model's.

    Parameters
    ----------
    share : float
        Of the tokens, those that the large model wrote or helped with, in [0, 1].
    large, small : Member
        Calls, seconds, and the divergence of the written distribution from the model's own.
    """

    share: float
    large: Member
    small: Member


def defer_tokens(
    large: LanguageModel,
    small: LanguageModel,
    prompt,
    rule: TokenDeferral,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    max_new_tokens: int = 128,
    seed: int | None = None,
) -> Generation:
    """Generate with a small model, which defers single tokens to a large one.

    The small model reads every token. Where the rule asks the large one, that reads all tokens that
    it has not read yet at once, and writes the next. The text has the distribution of
    ``decode(CombinedModel([large, small], rule), …)``, where both read every token and a draft can
    write ahead. Here nothing is drafted: the small model's tokens are final.

    Parameters
    ----------
    large, small : LanguageModel
        With one vocabulary, on one device. Texts end, and prompts are read, as by the large one.
    prompt
        One prompt, as in `decode`.
    rule : TokenDeferral
        `ConfidenceDeferral` or `LearnedDeferral`.
    temperature, top_k, top_p, max_new_tokens, seed
        As in `decode`.

    Returns
    -------
    Generation
        One round a call of the large model: `proposed` are the small one's tokens before it, all
        `accepted`; what the small one writes after the last call is a round of its own. `draft` are
        the small model's seconds and `verify` the large one's, its reading of the prompt included.
        After a keyboard interrupt: what is generated so far.

    Raises
    ------
    ModelError
        As `decode` does, for models that do not fit together, and for several prompts.
    ValueError
        A setting out of its range, or no rule.

    References
    ----------
    Hao et al., Hybrid SLM and LLM for edge-cloud collaborative inference, EdgeFM 2024. Zhang et
    al., Fast and slow generating: an empirical study on large and small language models
    collaborative decoding, 2024. In `big_little` (Kim et al., NeurIPS 2023, arXiv 2302.07863) the
    large model also corrects what the small one wrote.

    Examples
    --------
    >>> pair = load("tiny"), load("tiny-draft")  # doctest: +SKIP
    >>> made = defer_tokens(*pair, "The sea was", ConfidenceDeferral())  # doctest: +SKIP
    >>> sum(len(r.tokens) > r.accepted for r in made.rounds)  # calls of tiny  # doctest: +SKIP
    """
    require("decoding", "torch", "transformers")
    import torch

    from ensemble_lab.tokens.together.growing import GrowingText

    sampling, seed = Sampling(temperature, top_k, top_p), seed_of(seed)
    if (max_new_tokens := whole(max_new_tokens, "max_new_tokens")) < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    if not isinstance(rule, TokenDeferral):
        given = rule.__name__ if isinstance(rule, type) else shown(rule)
        raise ValueError(f"rule={given}; give one, such as ConfidenceDeferral()")
    ids = one_prompt(large, prompt)
    check_pair(large, small)
    limit = min(limits_of(one, [ids], max_new_tokens)[0] for one in (large, small))
    for one in (large, small):
        check_room(one, 1, limit)
    generator = torch.Generator(large.device)
    generator.seed() if seed is None else generator.manual_seed(seed)
    text, ends = list(ids), set(large.ends)
    rounds, own, draft, prefill = [], [], 0.0, 0.0
    with torch.inference_mode():
        size = min(one.model.config.vocab_size for one in (large, small))
        big, little = (GrowingText(one, limit, size) for one in (large, small))
        running = True
        try:
            while running:
                # 1. The small model reads what is new, and the rule looks at its distribution.
                begun = perf_counter()
                scores = little.read(text)  # (1, V)
                asked = bool(rule.asks(scores))
                read = perf_counter()

                # 2. Where it asks, the large model reads what it has not read yet.
                if asked:
                    scores = big.read(text)
                token = int(sampled(sampling.distribution(scores.log_softmax(-1)), generator))
                wrote = perf_counter()

                # 3. A round ends with a token of the large model.
                if len(text) == len(ids):
                    prefill = read - begun
                else:
                    draft += read - begun
                text.append(token)
                running = len(text) < limit and token not in ends
                if asked:
                    rounds.append(
                        Round(tuple(own), len(own), (*own, token), draft, wrote - read, 0.0)
                    )
                    own, draft = [], 0.0
                else:
                    own.append(token)
        except KeyboardInterrupt:
            pass
    if own:
        rounds.append(Round(tuple(own), len(own), tuple(own), draft, 0.0, 0.0))
    tokens = tuple(text[len(ids) :])
    words = large.tokenizer.decode(tokens, skip_special_tokens=True)
    return Generation(tokens, words, tuple(rounds), prefill)


def measure_deferral(
    large: LanguageModel, small: LanguageModel, prompts, rule: TokenDeferral, **settings: Any
) -> Deferral:
    """Decode prompts one by one with `defer_tokens`, and report on both models.

    Parameters
    ----------
    large, small, rule, **settings
        As in `defer_tokens`.
    prompts
        As in `decode`.

    Raises
    ------
    ModelError, ValueError
        As in `defer_tokens`.
    """
    require("decoding", "torch", "transformers")
    import torch

    texts = []
    for prompt in read_prompts(prompts)[0]:
        ids = one_prompt(large, prompt)
        texts.append((ids, defer_tokens(large, small, ids, rule, **settings)))
    both = CombinedModel([large, small], rule)
    per_text = [distances(both, ids, made.tokens) for ids, made in texts]
    found = [torch.cat(parts).mean(0).tolist() for parts in zip(*per_text, strict=True)]
    rounds = [one for _, made in texts for one in made.rounds]
    calls = sum(len(one.tokens) > one.accepted for one in rounds)
    tokens = sum(len(one.tokens) for one in rounds)
    prefill = sum(made.prefill for _, made in texts)
    costs = (calls, sum(r.verify for r in rounds)), (tokens, sum(r.draft for r in rounds) + prefill)
    members = (
        Member(one.weights, *cost, Divergence(*(max(x, 0.0) for x in mean)))
        for one, cost, mean in zip((large, small), costs, found, strict=True)
    )
    return Deferral(calls / max(tokens, 1), *members)


def one_prompt(model: LanguageModel, prompt) -> list[int]:
    """The token ids of one prompt.

    Raises
    ------
    ModelError
        As `tokens_of`, and for several prompts.
    """
    encoded, alone = tokens_of(model, prompt)
    if not alone:
        raise ModelError(f"{len(encoded)} prompts in a list: give one prompt at a time")
    return encoded[0]


def check_pair(large: LanguageModel, small) -> None:
    """Raise `ModelError` unless `small` is a model that can be read beside `large`."""
    if not isinstance(small, LanguageModel):
        raise ModelError(f"small={shown(small)} is not a language model: give what load makes")
    check_alike(large, small)
