"""Tokenizers for tests: lists of pieces, and one in the manner of SentencePiece."""

from functools import cache

from transformers import PreTrainedTokenizerFast

from ensemble_lab.models.language import LanguageModel
from tests.support.toy_lm import network

WORDS = "the small model writes and the big model checks it. Then both of them stop\n" * 9


class Pieces:
    """Tokens are texts of a list; a text is split into the longest that match."""

    eos_token_id = chat_template = None

    def __init__(self, *pieces):
        self.pieces = pieces

    def __len__(self):
        return len(self.pieces)

    def get_vocab(self):
        return {piece: i for i, piece in enumerate(self.pieces)}

    def decode(self, tokens, **_):
        return "".join(self.pieces[t] for t in tokens)

    def __call__(self, text, **_):
        ids = []
        while text:
            piece = max((p for p in self.pieces if text.startswith(p)), key=len, default="")
            ids += [self.pieces.index(piece)] if piece else []
            text = text[len(piece) or 1 :]
        return {"input_ids": ids}


@cache
def metaspace(text=WORDS, size=120):
    """As SentencePiece's: '▁' for a space, one put before the text, bytes for unknown letters."""
    import json

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    held = json.loads(tokenizer.to_str())
    words = held["model"]["vocab"]
    words |= {f"<0x{i:02X}>": len(words) + i for i in range(256)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(held)),
        unk_token="<unk>", bos_token="<s>", eos_token="</s>",
    )  # fmt: skip


def model_of(tokenizer, seed, **settings):
    """A network with random weights in float64 that writes a tokenizer's tokens."""
    settings = {
        "vocabulary": len(tokenizer),
        "hidden": 8,
        "max_position_embeddings": 512,
    } | settings
    return LanguageModel(network(seed, 1, **settings), tokenizer, f"a toy of seed {seed}")
