"""Which reader and which draft stand for what `decode` was given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import check_known
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.compiled import COMPILED
from ensemble_lab.tokens.drafts import Draft, EarlyExitDraft, LookupDraft, ModelDraft
from ensemble_lab.tokens.head import FeatureHead, HeadDraft
from ensemble_lab.tokens.ngram import NgramDraft
from ensemble_lab.tokens.packed import packed
from ensemble_lab.tokens.reader import Reader, SplitReader, StateReader
from ensemble_lab.tokens.rows import Rows
from ensemble_lab.tokens.stacked import StackedDraft, TurnsDraft

_shipped: WeakKeyDictionary = WeakKeyDictionary()  # by target, to which a head is attached
NAMED = ("lookup", "ngram", "head", "early-exit:8")


def resolved(
    target: LanguageModel, draft, rows: Rows, compiled: bool = False
) -> tuple[Reader, Draft | None]:
    """The reader of the target, and the draft that `draft` stands for.

    Raises
    ------
    ModelError
        A target that cannot be read by position, or a draft for another vocabulary or target.
    ValueError
        No draft is called so.
    """
    shape, model = tuple(rows.tokens.shape), packed(target.model)
    kinds = COMPILED if compiled else {kind: kind for kind in COMPILED}
    if isinstance(draft, str):
        draft = named(draft, target)
    if isinstance(draft, EarlyExit):
        reader = kinds[SplitReader](model, *shape, draft.layers)
        return reader, EarlyExitDraft(reader)
    if isinstance(draft, FeatureHead | TurnsDraft):
        reader = kinds[StateReader](model, *shape)
        return reader, reading_states(draft, reader)
    reader = kinds[Reader](model, *shape)
    if draft is None or (hasattr(draft, "begin") and hasattr(draft, "propose")):
        return reader, draft
    return reader, ModelDraft(packed(model_of(draft, target)), kinds[Reader])


@dataclass(frozen=True)
class EarlyExit:
    """The target's first layers as a draft."""

    layers: int


def named(name: str, target: LanguageModel):
    """The draft with a name."""
    if name.startswith("early-exit:"):
        layers = name.removeprefix("early-exit:")
        if not layers.isdigit():
            raise ValueError(f"draft={name!r}; write the layers, as in 'early-exit:8'")
        return EarlyExit(int(layers))
    check_known(name, NAMED, "draft", "package")
    if name == "lookup":
        return LookupDraft()
    table = shipped(target, NgramDraft, target.tokenizer)
    stacked = StackedDraft(LookupDraft(), table)
    return stacked if name == "ngram" else TurnsDraft(stacked, shipped(target, FeatureHead, target))


def shipped(target: LanguageModel, kind: type, fits):
    """What ships for smollm2 of a kind, read and checked once for each target."""
    kept = _shipped.setdefault(target.model, {})
    if kind not in kept:
        kept[kind] = kind.load("smollm2", fits)
    return kept[kind]


def reading_states(draft: FeatureHead | TurnsDraft, reader: StateReader) -> Draft:
    """The draft with its head attached to a reader that keeps the target's states."""
    if isinstance(draft, TurnsDraft):
        head = HeadDraft(draft.second.attach(reader.model), reader, choosy=True)
        return replace(draft, second=head)
    return HeadDraft(draft.attach(reader.model), reader)


def model_of(draft, target: LanguageModel):
    """The network of a draft model, which must write the target's tokens."""
    model = draft.model if isinstance(draft, LanguageModel) else draft
    if not hasattr(model, "config"):
        raise ValueError(f"draft={draft!r:.80} is no model, no name of one, and has no `propose`")
    ours, theirs = target.model.config.vocab_size, model.config.vocab_size
    if ours != theirs:
        raise ModelError(
            f"the draft's vocabulary has {theirs:,} tokens, the target's {ours:,}: a draft must"
            " write the target's own tokens"
        )
    return model
