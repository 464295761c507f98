"""Models with different vocabularies write one text: their next pieces of text are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.missing import require
from ensemble_lab.models.settings import number, seed_of, whole
from ensemble_lab.tokens.sampling import Sampling, sampled
from ensemble_lab.tokens.together.combinations import Averaging, shares_of
from ensemble_lab.tokens.together.union_reading import UnionMember, readings_of

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.models.prompts import Prompt
    from ensemble_lab.tokens.together.vocabulary_union import VocabularyUnion


@dataclass(frozen=True)
class UnionGeneration:
    """What several models wrote.

    Parameters
    ----------
    text : str
    pieces : tuple of bytes
        One a step; b"" at last where the text ended by itself.
    probabilities : tuple of float
        Of each piece, in the common distribution.
    members : tuple of UnionMember
    """

    text: str
    pieces: tuple[bytes, ...]
    probabilities: tuple[float, ...]
    members: tuple[UnionMember, ...]


def decode_union(
    models: Sequence[LanguageModel] | VocabularyUnion,
    prompt: Prompt,
    *,
    weights: Sequence[float] | None = None,
    top_k: int | None = None,
    gate: float | None = None,
    temperature: float = 0.0,
    max_new_tokens: int = 128,
    seed: int | None = None,
) -> UnionGeneration:
    """Generate with the mean of the distributions of models with different tokenizers.

    Without `top_k`, a piece of text to which a model has no token gets nothing from this model
    (GaC). With it, only the pieces count that are among the `top_k` likeliest of one model; a model
    that has no token for one gives it the probability of the first token with which it would write
    it, and each model's probabilities are normalised over these pieces before the mean (UniTE). So
    a piece and its first token may be equally likely; the shorter one is taken.

    The chosen piece is written in each model with its own token, or else with several. That is not
    exact: a model never meets most texts in tokens that it did not choose, and a piece that begins
    a longer token of a model counts less there than the text that it begins.

    Parameters
    ----------
    models : sequence of LanguageModel or VocabularyUnion
        As in `VocabularyUnion`; give one where several texts are to be written, to make it once.
    prompt
        One text or chat, not token ids. Each model reads it in its own way: with its own template,
        where it has one, and its own special tokens.
    weights : sequence of float, optional
        As in `Averaging`.
    top_k : int, optional
        From 1 up; the paper takes 10.
    gate : float, optional
        From 0 up. Where the first model's likeliest piece has at least this probability, it writes
        alone; the others read what they have missed when they are asked again (GaC).
    temperature : float
        Of the common distribution; 0 takes the likeliest piece.
    max_new_tokens : int
        Most pieces. The text ends sooner where the context of a model does.
    seed : int, optional

    Returns
    -------
    UnionGeneration
        After a keyboard interrupt: what is generated so far.

    Raises
    ------
    ModelError
        As `VocabularyUnion` does; a prompt that is none, or fills a model's context; a model whose
        logits are NaN or infinite, by its name.
    ValueError
        A setting out of its range.

    Warns
    -----
    UserWarning
        Some models have a chat template and others have none, so that they read different texts.

    References
    ----------
    Yu et al., Breaking the ceiling of the LLM community by treating token generation as a
    classification for ensembling, Findings of EMNLP 2024 (GaC). Yao et al., Determine-then-
    ensemble: necessity of top-k union for large language model ensembling, ICLR 2025 (UniTE).

    Examples
    --------
    >>> pair = load("tiny"), load("smollm2")  # doctest: +SKIP
    >>> decode_union(pair, "The sea was", top_k=10).text  # doctest: +SKIP
    """
    require("decoding", "torch", "transformers")
    import torch

    from ensemble_lab.tokens.together.vocabulary_union import END, VocabularyUnion

    rule, sampling = Averaging(weights), Sampling(temperature)  # they check these
    if top_k is not None and whole(top_k, "top_k") < 1:
        raise ValueError(f"top_k={top_k} leaves no piece of text; use 1 or more, or None")
    if gate is not None and not number(gate, "gate") >= 0:
        raise ValueError(f"gate={gate} is not a number from 0 up; use None to ask all models")
    if whole(max_new_tokens, "max_new_tokens") < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    union = models if isinstance(models, VocabularyUnion) else VocabularyUnion(models)
    rule.check(len(union.models))
    shares = shares_of(rule.weights, len(union.models))
    generator, seed = torch.Generator(union.models[0].device), seed_of(seed)
    generator.seed() if seed is None else generator.manual_seed(seed)
    readings = readings_of(union, prompt, max_new_tokens)
    others = list(enumerate(readings))[1:]
    pieces: list[bytes] = []
    chances: list[float] = []
    try:
        with torch.inference_mode():
            while len(pieces) < max_new_tokens and all(one.has_room for one in readings):
                # 1. Each model's distribution over the union, and their mean.
                own = [union.distribution(0, readings[0].read())]  # (U,) each
                if gate is not None and float(own[0].max()) >= gate:
                    mean = own[0]
                else:
                    own += [union.distribution(i, one.read()) for i, one in others]
                    given = own if top_k is None else among_likeliest(union, own, top_k, pieces)
                    mean = sum(share * p for share, p in zip(shares, given, strict=True))
                for one, p in zip(readings, own, strict=False):
                    one.variations.append(float((mean - p).abs().sum()) / 2)

                # 2. The next piece.
                if sampling.greedy:
                    choice = int(mean.argmax())
                else:
                    p = sampling.distribution(mean.log()[None])
                    choice = int(sampled(p, generator))
                pieces.append(union.pieces[choice])
                chances.append(float(mean[choice]))

                # 3. Each model gets it in its own tokens.
                if pieces[-1] == END:
                    break
                for i, one in enumerate(readings):
                    one.ids += union.spell(i, pieces[-1], b"".join(pieces[:-1]))
    except KeyboardInterrupt:
        pass
    done = pieces[: len(chances)]
    text = b"".join(done).decode(errors="replace")
    return UnionGeneration(text, tuple(done), tuple(chances), tuple(x.report() for x in readings))


def among_likeliest(
    union: VocabularyUnion, own: Sequence[torch.Tensor], top_k: int, pieces: Sequence[bytes]
) -> list[torch.Tensor]:
    """Each model's distribution (U,) over the pieces that are among the likeliest of one."""
    import torch

    before, places = b"".join(pieces), set()
    for p in own:
        best = p.topk(min(top_k, len(p)))
        places.update(best.indices[best.values > 0].tolist())
    found = []
    for i, p in enumerate(own):
        firsts = {place: union.first(i, union.pieces[place], before) for place in places}
        q = torch.zeros_like(p)
        for place, first in firsts.items():
            if first is not None:
                q[place] = p[first]
        found.append(q / q.sum())
    return found
