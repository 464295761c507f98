"""`decode` and `stream`: generate with a target, and perhaps a draft that writes ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import check_known
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.memory import available_memory, format_size
from ensemble_lab.tokens.compiled import CompiledReader, CompiledSplitReader
from ensemble_lab.tokens.drafts import Draft, EarlyExitDraft, LookupDraft, ModelDraft
from ensemble_lab.tokens.lengths import AdaptiveLength, FixedLength
from ensemble_lab.tokens.ngram import NgramDraft, StackedDraft
from ensemble_lab.tokens.reader import Reader, SplitReader
from ensemble_lab.tokens.rows import Rows
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.session import Round, Session

if TYPE_CHECKING:
    from ensemble_lab.models.language import Prompt

NAMED = ("lookup", "ngram", "early-exit:8")


@dataclass(frozen=True)
class Generation:
    """What one prompt became.

    Parameters
    ----------
    tokens : tuple of int
        The generated ones, the end-of-sequence token included.
    text : str
        Their text, special tokens left out.
    rounds : tuple of Round
        How it came about.
    prefill : float
        Seconds in which the prompts of the batch were read.
    """

    tokens: tuple[int, ...]
    text: str
    rounds: tuple[Round, ...]
    prefill: float

    @property
    def seconds(self) -> float:
        """Decode time: all rounds, without the reading of the prompt."""
        return sum(r.draft + r.verify + r.host for r in self.rounds)

    @property
    def acceptance(self) -> float:
        """alpha: accepted over examined drafted tokens; NaN where nothing was drafted."""
        examined = sum(min(r.accepted + 1, len(r.proposed)) for r in self.rounds)
        return sum(r.accepted for r in self.rounds) / examined if examined else float("nan")

    @property
    def tokens_a_round(self) -> float:
        """Generated tokens over rounds; 1 without a draft."""
        return len(self.tokens) / len(self.rounds) if self.rounds else float("nan")


class Decoding:
    """A generation under way: iterate to go on, stop whenever you like.

    Attributes
    ----------
    generations : list of Generation
        What there is so far, one a prompt.
    """

    def __init__(
        self, session: Session, prompts: Sequence[Sequence[int]], tokenizer, prefill: float
    ):
        self.session, self.tokenizer, self.prefill = session, tokenizer, prefill
        self._prompts = [len(prompt) for prompt in prompts]
        self._rounds: list[list[Round]] = [[] for _ in prompts]

    def __iter__(self) -> Iterator[list[Round | None]]:
        """One list a round: what each row got, None for rows that had ended."""
        import torch

        while any(self.session.running):
            with torch.inference_mode():
                rounds = self.session.round()
            for kept, one in zip(self._rounds, rounds, strict=True):
                if one is not None:
                    kept.append(one)
            yield rounds

    @property
    def generations(self) -> list[Generation]:
        made = []
        for text, start, rounds in zip(
            self.session.rows.texts, self._prompts, self._rounds, strict=True
        ):
            tokens = tuple(text[start:])
            words = (
                self.tokenizer.decode(tokens, skip_special_tokens=True) if self.tokenizer else ""
            )
            made.append(Generation(tokens, words, tuple(rounds), self.prefill))
        return made


def decode(
    target: LanguageModel, prompts: Prompt | Sequence[int] | Sequence, draft=None, **settings: Any
) -> Generation | list[Generation]:
    """Generate; with a draft the text is the same and comes sooner.

    Parameters
    ----------
    target : LanguageModel
        As `load` gives it.
    prompts : str, chat, token ids, or a list of these
        A chat is a list of messages. A list of prompts is decoded as one batch.
    draft : LanguageModel, str or Draft, optional
        A model with the target's vocabulary; ``"lookup"``; ``"ngram"``, lookup with a table of
        smollm2's own text behind it; ``"early-exit:8"`` for the target's first eight layers; or
        an object with `begin` and `propose`.
    **settings
        As in `stream`.

    Returns
    -------
    Generation
        Or a list of them for a list of prompts. Interrupted by the keyboard: what there is.

    Raises
    ------
    ModelError, ValueError
        As in `stream`.

    References
    ----------
    Leviathan, Kalman and Matias, ICML 2023; Chen et al., 2023.
    """
    decoding = stream(target, prompts, draft, **settings)
    try:
        for _ in decoding:
            pass
    except KeyboardInterrupt:
        pass
    made = decoding.generations
    return made[0] if _is_one(prompts) else made


def stream(
    target: LanguageModel,
    prompts,
    draft=None,
    *,
    gamma: int | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    max_new_tokens: int = 128,
    seed: int | None = None,
    compiled: bool = False,
) -> Decoding:
    """The same round by round: iterate, and read `generations` at any time.

    Parameters
    ----------
    target, prompts, draft
        As in `decode`.
    gamma : int, optional
        Drafted tokens a round; by default as many as pay by what is measured on the way.
    temperature, top_k, top_p
        The law that is sampled; temperature 0 takes the likeliest token.
    max_new_tokens : int
    seed : int, optional
        Makes samples repeatable where `gamma` is given; else what is measured on the way decides
        how many tokens are drafted, and with it which random numbers are used.
    compiled : bool
        Run the layers of the target and of a draft model through `torch.compile`: quicker steps
        after some seconds of compiling, which later calls with the same model do not repeat.

    Returns
    -------
    Decoding

    Raises
    ------
    ModelError
        A target or draft that cannot be read by position, vocabularies that differ, an empty
        prompt or one that fills the context, too little memory, or nothing to compile with.
    ValueError
        A setting out of its range.
    """
    import torch

    sampling = Sampling(temperature, top_k, top_p)
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    length = AdaptiveLength() if gamma is None else FixedLength(gamma)
    encoded = [tokens_of(target, one) for one in ([prompts] if _is_one(prompts) else prompts)]
    limits = limits_of(target, encoded, max_new_tokens)
    capacity = max(limits) + min(length.most, max_new_tokens) + 1
    check_room(target, len(encoded), capacity)
    generator = torch.Generator(target.device)
    generator.seed() if seed is None else generator.manual_seed(seed)
    begun = perf_counter()
    with torch.inference_mode():
        rows = Rows(encoded, capacity, target.device)
        reader, drafter = resolved(target, draft, rows, compiled)
        ends = target.ends
        session = Session(reader, rows, limits, ends, sampling, generator, drafter, length)
        if target.device.type == "cuda":  # else the first round would wait for the prompt
            torch.cuda.synchronize(target.device)
    return Decoding(session, encoded, target.tokenizer, perf_counter() - begun)


def resolved(
    target: LanguageModel, draft, rows: Rows, compiled: bool = False
) -> tuple[Reader, Draft | None]:
    """The reader of the target, and the draft that `draft` stands for."""
    shape = tuple(rows.tokens.shape)
    one, parted = (CompiledReader, CompiledSplitReader) if compiled else (Reader, SplitReader)
    if isinstance(draft, str) and draft.startswith("early-exit:"):
        layers = draft.removeprefix("early-exit:")
        if not layers.isdigit():
            raise ValueError(f"draft={draft!r}; write the layers, as in 'early-exit:8'")
        split = parted(target.model, *shape, int(layers))
        return split, EarlyExitDraft(split)
    reader = one(target.model, *shape)
    if draft is None or (hasattr(draft, "begin") and hasattr(draft, "propose")):
        return reader, draft
    if isinstance(draft, str):
        check_known(draft, NAMED, "draft", "package")
        if draft == "ngram":
            return reader, StackedDraft(LookupDraft(), NgramDraft.load("smollm2", target.tokenizer))
        return reader, LookupDraft()
    model = draft.model if isinstance(draft, LanguageModel) else draft
    if not hasattr(model, "config"):
        raise ValueError(f"draft={draft!r:.80} is no model, no name of one, and has no `propose`")
    ours, theirs = target.model.config.vocab_size, model.config.vocab_size
    if ours != theirs:
        raise ModelError(
            f"the draft's vocabulary has {theirs:,} tokens, the target's {ours:,}: a draft must"
            " write the target's own tokens"
        )
    return reader, ModelDraft(model, one)


def tokens_of(target: LanguageModel, prompt) -> list[int]:
    """The token ids of a prompt: text, a chat, or ids as they are."""
    if not isinstance(prompt, str) and all(isinstance(token, int) for token in prompt):
        found = list(prompt)
    else:
        found = target.encode(prompt)["input_ids"][0].tolist()
    if not found:
        raise ModelError("the prompt is empty: give at least one token to continue")
    return found


def limits_of(target: LanguageModel, prompts: Sequence[Sequence[int]], most: int) -> list[int]:
    """How long each text may become: `most` new tokens, or to the end of the context."""
    context = getattr(target.model.config, "max_position_embeddings", None)
    if context is None:
        return [len(prompt) + most for prompt in prompts]
    for prompt in prompts:
        if len(prompt) >= context:
            raise ModelError(
                f"a prompt of {len(prompt)} tokens leaves nothing of the {context} that"
                f" {target.weights} can see: shorten it"
            )
    return [min(len(prompt) + most, context) for prompt in prompts]


def check_room(target: LanguageModel, rows: int, capacity: int) -> None:
    """Raise `NotEnoughMemory` where the keys and values of so many rows do not fit."""
    config = target.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    a_row = 2 * config.num_hidden_layers * heads * size * capacity * target.dtype.itemsize
    free = available_memory(target.device)
    if rows * a_row > free:
        fits = (
            f"{free // a_row} such rows" if free >= a_row else f"{free * capacity // a_row} tokens"
        )
        raise NotEnoughMemory(
            f"keys and values of {rows} rows of {capacity} tokens take {format_size(rows * a_row)},"
            f" and {format_size(free)} are free: {fits} would fit"
        )


def _is_one(prompts) -> bool:
    """Whether this is one prompt: text, a chat's messages or token ids."""
    if isinstance(prompts, str):
        return True
    return all(isinstance(part, Mapping | int) for part in prompts)
