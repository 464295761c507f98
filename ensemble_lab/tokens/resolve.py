"""The reader and the draft for the arguments of `decode`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.vocabulary import check_vocabulary, different_tokens, is_known
from ensemble_lab.tokens.drafts.base import Draft
from ensemble_lab.tokens.drafts.combined import StackedDraft, TurnsDraft
from ensemble_lab.tokens.drafts.early_exit import EarlyExitDraft
from ensemble_lab.tokens.drafts.head import FeatureHead, HeadDraft
from ensemble_lab.tokens.drafts.intersection import IntersectionDraft, announced_intersection
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.model import ModelDraft
from ensemble_lab.tokens.drafts.ngram import NgramDraft
from ensemble_lab.tokens.drafts.recycling import RecyclingDraft
from ensemble_lab.tokens.drafts.strings import StringDraft
from ensemble_lab.tokens.drafts.suffix import SuffixDraft
from ensemble_lab.tokens.drafts.trees import DraftTree, TreeDraft
from ensemble_lab.tokens.reading.compiled import COMPILED
from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import Rows
from ensemble_lab.tokens.reading.split import SplitReader
from ensemble_lab.tokens.reading.states import StateReader

_shipped: WeakKeyDictionary = WeakKeyDictionary()  # by target, to which a head is attached
NAMED = ("lookup", "suffix", "ngram", "head", "early-exit:8")


def resolved(
    target: LanguageModel, draft, rows: Rows, compiled: bool = False
) -> tuple[Reader, Draft | None]:
    """The reader of the target, and the draft that `draft` names.

    Raises
    ------
    ModelError
        A target that cannot be read by position, or a draft for another vocabulary or target.
    ValueError
        There is no draft of this name.
    """
    shape, model = tuple(rows.tokens.shape), packed(target.model)
    kinds = COMPILED if compiled else {kind: kind for kind in COMPILED}
    if isinstance(draft, str):
        draft = named(draft, target)
    if isinstance(draft, DraftTree):
        reader, base = resolved(target, of_tree(draft, target), rows, compiled)
        return reader, TreeDraft(base, draft)
    if isinstance(draft, EarlyExit):
        reader = kinds[SplitReader](model, *shape, draft.layers)
        return reader, EarlyExitDraft(reader)
    if hasattr(draft, "attach_to"):  # a setting that chooses a reader and makes a draft for it
        return draft.attach_to(target, model, shape, kinds)
    check_tables(draft, target)
    if isinstance(draft, FeatureHead | TurnsDraft):
        reader = kinds[StateReader](model, *shape)
        return reader, reading_states(draft, reader, target)
    reader = kinds[Reader](model, *shape)
    if draft is None or (hasattr(draft, "begin") and hasattr(draft, "propose")):
        return reader, draft
    if has_other_tokens(draft, target):
        return reader, announced_intersection(target, draft)
    ahead, size = model_of(draft, target), target.model.config.vocab_size
    padded = None if ahead.config.vocab_size == size else size
    name = getattr(draft, "weights", "the draft")
    return reader, ModelDraft(packed(ahead), kinds[Reader], padded, name)


@dataclass(frozen=True)
class EarlyExit:
    """The target's first layers as a draft."""

    layers: int


def named(name: str, target: LanguageModel):
    """The draft with a name."""
    if name.startswith("early-exit:"):
        layers = name.removeprefix("early-exit:")
        if not layers.isdigit():
            raise ValueError(f"draft={shown(name)}; write the layers, as in 'early-exit:8'")
        return EarlyExit(int(layers))
    check_known(name, NAMED, "draft", "package")
    if name == "lookup":
        return LookupDraft()
    if name == "suffix":
        return SuffixDraft()
    table = shipped(target, NgramDraft, target.tokenizer)
    stacked = StackedDraft(LookupDraft(), table)
    return stacked if name == "ngram" else TurnsDraft(stacked, shipped(target, FeatureHead, target))


def of_tree(tree: DraftTree, target: LanguageModel):
    """What drafts a tree: a head or a model."""
    if isinstance(tree.draft, str) and tree.draft == "head":
        return shipped(target, FeatureHead, target)
    if has_other_tokens(tree.draft, target):
        raise ModelError(
            f"a tree of a draft ({shown(tree.draft.weights, 40)}) with another tokenizer than the"
            " target: give the model itself as the draft, for a chain of the tokens of both"
        )
    if isinstance(tree.draft, FeatureHead | LanguageModel) or hasattr(tree.draft, "config"):
        return tree.draft
    raise ModelError(
        f'a tree of draft={shown(tree.draft, 60)}: give "head", a draft model or a FeatureHead;'
        " other drafts write chains"
    )


def head_of_tree(tree: DraftTree, target: LanguageModel) -> FeatureHead:
    """The head that drafts a tree; raises `ModelError` where it is another draft."""
    head = of_tree(tree, target)
    if not isinstance(head, FeatureHead):
        raise ModelError(f'head={shown(tree.draft, 60)} is no head: give "head" or a FeatureHead')
    return head


def shipped(target: LanguageModel, kind: type, fits):
    """The shipped draft of a kind for smollm2, read and checked once for each target."""
    kept = _shipped.setdefault(target.model, {})
    if kind not in kept:
        kept[kind] = kind.load("smollm2", fits)
    return kept[kind]


def reading_states(
    draft: FeatureHead | TurnsDraft, reader: StateReader, target: LanguageModel
) -> Draft:
    """The draft with its head attached to a reader that keeps the target's states."""
    head = draft if isinstance(draft, FeatureHead) else draft.second
    same = check_about(head.about, "the head", target)
    attached = head.attach(reader.model, same)
    if isinstance(draft, TurnsDraft):
        return replace(draft, second=HeadDraft(attached, reader, choosy=True))
    return HeadDraft(attached, reader)


def check_about(about: Mapping, which: str, target: LanguageModel) -> bool:
    """Whether the tokenizer that a draft was made with is known, and is the target's.

    Raises
    ------
    ModelError
        It is another tokenizer.
    """
    if "vocabulary" not in about or not is_known(target.tokenizer):
        return False
    about = {"weights": "the model that it was made for", **about}
    check_vocabulary(about, which, target.tokenizer)
    return True


def check_tables(draft, target: LanguageModel) -> None:
    """Raise `ModelError` where a draft holds tokens that the target does not have."""
    for part in (draft, getattr(draft, "first", None), getattr(draft, "second", None)):
        if isinstance(part, StackedDraft) and part is not draft:
            check_tables(part, target)
        if isinstance(part, NgramDraft):
            check_about(part.table.about, "the n-gram table", target)
            size = target.model.config.vocab_size
            if part.table.highest >= size:
                raise ModelError(
                    f"the n-gram table holds the token id {part.table.highest}; the target knows"
                    f" 0 to {size - 1:,}: use the table of its own tokenizer, or draft='lookup'"
                )
    size = target.model.config.vocab_size
    if isinstance(draft, SuffixDraft) and draft.highest >= size:
        raise ModelError(
            f"the corpus holds the token id {draft.highest}; the target knows 0 to {size - 1:,}:"
            " use texts of its own tokenizer, or draft='suffix'"
        )
    if isinstance(draft, IntersectionDraft | StringDraft) and draft.target is not target:
        same = size == draft.target.model.config.vocab_size and is_known(target.tokenizer)
        if not same or has_other_tokens(draft.target, target):
            kind = type(draft).__name__
            raise ModelError(
                f"the {kind} was made for {shown(draft.target.weights, 40)}, and"
                f" {shown(target.weights, 40)} has other tokens: make one with {kind}(target,"
                " draft)"
            )
    if isinstance(draft, RecyclingDraft) and draft.candidates is not None:
        if len(draft.candidates) != size:
            raise ModelError(
                f"the draft's table was made with a target of {len(draft.candidates):,} tokens;"
                f" this one has {size:,}: make a new RecyclingDraft"
            )


def knows_its_tokens(draft, target: LanguageModel) -> bool:
    """Whether the tokens of both models can be compared."""
    named = isinstance(draft, LanguageModel)
    return named and is_known(target.tokenizer) and is_known(draft.tokenizer)


def has_other_tokens(draft, target: LanguageModel) -> bool:
    """Whether a draft model is known to have another tokenizer than the target."""
    return knows_its_tokens(draft, target) and different_tokens(target, draft) is not None


def model_of(draft, target: LanguageModel):
    """The network of a draft model, which must write the target's tokens.

    Their tables may be padded to different sizes where both tokenizers are known.
    """
    model = draft.model if isinstance(draft, LanguageModel) else draft
    if not hasattr(model, "config"):
        raise ValueError(
            f"draft={shown(draft)} is not a model, a model's name or an object with `propose`"
        )
    if knows_its_tokens(draft, target):
        return model
    ours, theirs = target.model.config.vocab_size, model.config.vocab_size
    if ours != theirs:
        raise ModelError(
            f"the draft's vocabulary has {theirs:,} tokens, the target's {ours:,}, and whether"
            " they are the same cannot be seen: give it with its tokenizer, as"
            " LanguageModel(network, tokenizer, 'name')"
        )
    return model
