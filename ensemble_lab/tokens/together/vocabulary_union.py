"""The union of several vocabularies: what each model may write next, as bytes of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.vocabulary import is_known
from ensemble_lab.tokens.drafts.strings import BEHIND, continuation
from ensemble_lab.tokens.drafts.vocabularies import LEAST, NO_CHARACTER, is_byte, plain_tokens

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

END = b""  # of the text, whatever token ends it in a model
_bytes: WeakKeyDictionary = WeakKeyDictionary()  # tokenizer to its length and its tokens' bytes
_letters: dict[str, int] = {}  # of byte-level BPE


class VocabularyUnion:
    """All pieces of text that one of several models has as a token, and the end of the text.

    Tokens are compared by the bytes that they add inside a text, not by their names: a leading
    space is 'Ġ' in one vocabulary and '▁' in another. So a part of a character counts too. The
    probabilities of tokens with the same bytes are added, and so are those of all tokens that end a
    text. Left out are special tokens that do not end it, added tokens, tokens whose bytes cannot be
    told, and pieces that one of the models cannot write with its own tokens; their probability goes
    to the others in proportion.

    Parameters
    ----------
    models : sequence of LanguageModel
        With their tokenizers, on one device.

    Attributes
    ----------
    pieces : tuple of bytes
        All U of them, shorter ones first; the last is the end, b"".
    shared : int
        Pieces that all models have, the end left out.

    Raises
    ------
    ModelError
        No models; one without a tokenizer that lists its tokens, or on another device; or less than
        a tenth of the smaller of two vocabularies is in both.

    References
    ----------
    Yu et al., Breaking the ceiling of the LLM community by treating token generation as a
    classification for ensembling, Findings of EMNLP 2024 (GaC).

    Examples
    --------
    >>> union = VocabularyUnion([load("tiny"), load("smollm2")])  # doctest: +SKIP
    >>> len(union), union.shared  # doctest: +SKIP
    (49264, 1897)
    """

    def __init__(self, models: Sequence[LanguageModel]):
        require("a union of vocabularies", "torch", "transformers")
        import torch

        self.models = tuple(several(models, "models"))
        if not self.models:
            raise ModelError("models is empty: give two or more")
        for one in self.models:
            if not (isinstance(one, LanguageModel) and is_known(one.tokenizer)):
                raise ModelError(
                    f"{shown(one, 60)} has no tokenizer that lists its tokens: give it as"
                    " LanguageModel(network, tokenizer, 'name')"
                )
        device = self.models[0].device
        if others := {str(one.device) for one in self.models} - {str(device)}:
            raise ModelError(f"models are on {device} and {others.pop()}: load all on one device")
        self._written = [tokens_written(one) for one in self.models]
        self._own = [by_piece(tokens) for tokens in self._written]
        check_shared(self.models, self._own)
        single = [{piece[0] for piece in own if len(piece) == 1} for own in self._own]
        kept = dict.fromkeys(
            piece
            for piece in sorted(chain.from_iterable(self._own), key=len)
            if all(
                piece in own or alphabet.issuperset(piece) or spelled(piece, own)
                for own, alphabet in zip(self._own, single, strict=True)
            )
        )
        self.pieces = (*kept, END)
        self.shared = sum(all(piece in own for own in self._own) for piece in kept)
        self.place = {piece: i for i, piece in enumerate(self.pieces)}
        self._tokens, self._places = [], []
        for one, tokens in zip(self.models, self._written, strict=True):
            size = one.model.config.vocab_size
            tokens = tokens | {token: END for token in one.ends if token < size}
            pairs = [(token, self.place[piece]) for token, piece in tokens.items()
                     if piece in self.place]  # fmt: skip
            table = torch.tensor(pairs, device=device)  # (n, 2)
            self._tokens.append(table[:, 0])
            self._places.append(table[:, 1])

    def __len__(self) -> int:
        return len(self.pieces)

    def distribution(self, which: int, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (…, U) of the pieces, from the logits (…, V) of one of the models."""
        p = logits[..., self._tokens[which]].softmax(-1)
        return p.new_zeros(*p.shape[:-1], len(self)).index_add_(-1, self._places[which], p)

    def first(self, which: int, piece: bytes, before: bytes) -> int | None:
        """The place of the first token with which one of the models would write a piece.

        That is the piece's own where the model has such a token; None where there is none.
        """
        if piece == END:
            return self.place[END]
        token = self.spell(which, piece, before)[0]
        return self.place.get(self._written[which][token])

    def spell(self, which: int, piece: bytes, before: bytes) -> list[int]:
        """The tokens that write a piece after a text, in one of the models: its own, if it can."""
        own = self._own[which]
        if piece in own:
            return [own[piece]]
        try:
            text = before[-4 * BEHIND :].decode(errors="ignore")[-BEHIND:]
            tokens = continuation(self.models[which].tokenizer, text, piece.decode())
        except UnicodeDecodeError:  # a part of a character
            tokens = []
        known = self._written[which]
        if b"".join(known.get(token, b"") for token in tokens) == piece:
            return tokens
        return spelled(piece, own)


def tokens_written(model: LanguageModel) -> dict[int, bytes]:
    """The bytes of every token of the model's table that does not end a text."""
    size, ends = model.model.config.vocab_size, set(model.ends)
    found = token_bytes(model.tokenizer).items()
    return {token: piece for token, piece in found if token < size and token not in ends}


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> dict[int, bytes]:
    """The bytes that each token adds inside a text; added tokens and unknown ones are left out."""
    length, found = _bytes.get(tokenizer, (None, {}))
    if length == len(tokenizer):
        return found
    plain, found, single, parts = plain_tokens(tokenizer), {}, {}, {}
    for token, name, text in plain:
        if is_byte(name) and text != name:
            single[token] = bytes([int(name[3:5], 16)])
        elif NO_CHARACTER in text:
            parts[token] = name
        elif text:
            found[token] = text.encode()
    names = {token: name for token, name, _ in plain}
    if parts and all(of_letters(names[token]) == piece for token, piece in found.items()):
        found |= {token: of_letters(name) for token, name in parts.items()}
    found |= single  # last: a token of another name comes first
    _bytes[tokenizer] = len(tokenizer), found
    return found


def of_letters(name: str) -> bytes | None:
    """The bytes of a name in byte-level BPE, where each letter stands for a byte; None in others.

    Bytes that print stand for themselves, and the others are numbered from U+0100 on.
    """
    if not _letters:
        printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printed]
        _letters.update({chr(byte): byte for byte in printed})
        _letters.update({chr(256 + i): byte for i, byte in enumerate(others)})
    known = all(letter in _letters for letter in name)
    return bytes(_letters[letter] for letter in name) if known else None


def by_piece(tokens: dict[int, bytes]) -> dict[bytes, int]:
    """The first token of each piece."""
    found: dict[bytes, int] = {}
    for token, piece in tokens.items():
        found.setdefault(piece, token)
    return found


def spelled(piece: bytes, own: dict[bytes, int]) -> list[int]:
    """A piece in tokens of single characters, or bytes where these lack; empty where both lack."""
    try:
        characters = [letter.encode() for letter in piece.decode()]
    except UnicodeDecodeError:
        characters = [bytes([byte]) for byte in piece]
    tokens = []
    for one in characters:
        parts = [one] if one in own else [bytes([byte]) for byte in one]
        if not all(part in own for part in parts):
            return []
        tokens += [own[part] for part in parts]
    return tokens


def check_shared(models: Sequence[LanguageModel], own: Sequence[dict[bytes, int]]) -> None:
    """Raise `ModelError` where two vocabularies have little in common."""
    first, mine = models[0], own[0]
    for other, theirs in zip(models[1:], own[1:], strict=True):
        both = len(mine.keys() & theirs.keys())
        if not both or both < LEAST * min(len(mine), len(theirs)):
            raise ModelError(
                f"{shown(first.weights, 40)} and {shown(other.weights, 40)} share {both:,} of their"
                f" {len(mine):,} and {len(theirs):,} pieces of text: their probabilities would"
                " hardly meet; use models with closer vocabularies"
            )
