"""`decode` and `stream`: generate with a target, with or without a draft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.missing import require
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import seed_of, whole
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.choosing import length_of
from ensemble_lab.tokens.prompts import check_room, limits_of
from ensemble_lab.tokens.reading.rows import Rows
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.session import Round, Session
from ensemble_lab.tokens.verification import checked_rule

if TYPE_CHECKING:
    from ensemble_lab.models.language import Prompt
    from ensemble_lab.tokens.lossy import Lossy


@dataclass(frozen=True)
class Generation:
    """The text generated for one prompt.

    Parameters
    ----------
    tokens : tuple of int
        The generated tokens, with the end-of-sequence token.
    text : str
        Their text, without special tokens.
    rounds : tuple of Round
        How they were generated.
    prefill : float
        Seconds to read the prompts of the batch.
    """

    tokens: tuple[int, ...]
    text: str
    rounds: tuple[Round, ...]
    prefill: float

    @property
    def seconds(self) -> float:
        """Decode time of all rounds, without the time to read the prompt."""
        return sum(r.draft + r.verify + r.host for r in self.rounds)

    @property
    def acceptance(self) -> float:
        """alpha: accepted tokens over verified ones; NaN where nothing was drafted."""
        examined = sum(min(r.accepted + 1, len(r.proposed)) for r in self.rounds)
        return sum(r.accepted for r in self.rounds) / examined if examined else float("nan")

    @property
    def tokens_a_round(self) -> float:
        """Generated tokens over rounds; 1 without a draft."""
        return len(self.tokens) / len(self.rounds) if self.rounds else float("nan")


class Decoding:
    """A generation in progress: iterate to continue, stop at any time.

    Attributes
    ----------
    generations : list of Generation
        The generations so far, one a prompt.
    alone : bool
        Whether one prompt was given, not a list of them.
    """

    def __init__(
        self,
        session: Session,
        prompts: Sequence[Sequence[int]],
        tokenizer,
        prefill: float,
        alone: bool,
    ):
        self.alone = alone
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
    """Generate text; with a draft the text is the same and takes less time.

    Parameters
    ----------
    target : LanguageModel
        As `load` gives it.
    prompts : str, chat, token ids, what a tokenizer returned, or several of these
        A chat is a list of messages, or a single one. Ids are a list, or an array or tensor of one
        dimension; with two dimensions it is a batch, a row a prompt. Tokens that an attention mask
        hides are left out. Several prompts come as a list, tuple, generator, array or column, and
        are decoded as one batch.
    draft : LanguageModel, str or Draft, optional
        A model, which proposes only common tokens where its tokenizer is another (with a warning,
        see `IntersectionDraft`); ``"lookup"``; ``"suffix"``, a `SuffixDraft` without a corpus;
        ``"ngram"``, lookup and then a table of smollm2's own text; ``"head"``, the same and
        smollm2's feature-level head where no match is certain; ``"early-exit:8"`` for the target's
        first eight layers; a `FeatureHead`; `ParallelHeads`; a `DraftTree` of a model or a head; or
        an object with `begin` and `propose`.
    **settings
        As in `stream`.

    Returns
    -------
    Generation
        Or a list of them for several prompts, also for a list of one. After a keyboard interrupt:
        what is generated so far.

    Raises
    ------
    ModelError, ValueError
        As in `stream`.

    Notes
    -----
    The target's weights are read at the start of the call; see `packed` for how a change of them is
    noticed.

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
    return made[0] if decoding.alone else made


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
    verification: str | Lossy = "token",
) -> Decoding:
    """Generate round by round: iterate, and read `generations` at any time.

    Parameters
    ----------
    target, prompts, draft
        As in `decode`.
    gamma : int, optional
        Drafted tokens a round; by default the number that is fastest by measurements during
        decoding.
    temperature, top_k, top_p
        The distribution that is sampled; temperature 0 takes the likeliest token.
    max_new_tokens : int
    seed : int, optional
        Makes samples repeatable where `gamma` is given. Without `gamma`, measured seconds decide
        how many tokens are drafted, and so which random numbers are used; with
        ``verification="coupled"`` these do not depend on it.
    compiled : bool
        Run the layers of the target and of a draft model through `torch.compile`: quicker steps
        after some seconds of compiling. Later calls with the same model do not compile again.
    verification : {"token", "block", "coupled", "typical"} or a rule
        How drafted tokens are verified where tokens are sampled. The first three keep the target's
        distribution; "typical", `Typical`, `Lenience`, `Mixture` and `SpeculativeCascade` change it
        (`measured_divergence`). Tokens that a draft sampled are verified one by one with "token",
        or together with "block", by which at least as many are expected to be accepted
        (`block_round`). With "coupled" the random numbers of a token are those of its position: a
        seed gives one text with any draft, any `gamma` and none; drafts that sample then gain less.

    Returns
    -------
    Decoding

    Raises
    ------
    ModelError
        A target or draft that cannot be read by position, vocabularies with little or nothing in
        common, something that is not a prompt, a prompt without any token (an empty text has one
        where the tokenizer begins every text with it) or one that fills the context, a token that
        the target does not know, too little memory, or no compiler; and, during decoding, logits
        that are NaN or infinite.
    ValueError
        A setting out of its range, or an unknown verification.
    """
    require("decoding", "torch", "transformers")
    import torch

    from ensemble_lab.tokens.resolve import resolved

    sampling = Sampling(temperature, top_k, top_p)
    if (max_new_tokens := whole(max_new_tokens, "max_new_tokens")) < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    rule, seed = checked_rule(verification, sampling), seed_of(seed)
    length = length_of(gamma, draft)
    encoded, alone = tokens_of(target, prompts)
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
        settings = sampling, generator, drafter, length
        session = Session(reader, rows, limits, ends, *settings, target.weights, rule)
        session.begin()
        if target.device.type == "cuda":  # otherwise the first round would wait for the prompt
            torch.cuda.synchronize(target.device)
    return Decoding(session, encoded, target.tokenizer, perf_counter() - begun, alone)
