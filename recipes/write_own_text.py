"""Let smollm2 ask and answer: text of many kinds to distil drafts from.

    python -m recipes.write_own_text --out DIR --minutes 20

A model that was trained on chats continues the beginning of one with what a user could ask. Its
answers are greedy in one half of the rows, and sampled in the other. The file is one of those that
`recipes.train_drafts --raw DIR` reads.

References
----------
Xu et al., Magpie: alignment data synthesis from scratch by prompting aligned LLMs with nothing,
ICLR 2025.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from time import monotonic

import torch
from tqdm import tqdm

from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At
from recipes.train_ngram import as_chat

ROWS = 64  # chats that are written side by side
ASKED, ANSWERED = 48, 128  # the most tokens of each
TOP_K, HEAT = 50, 0.8  # of sampled answers; questions have the temperature 1
SHORTEST = 3  # tokens of a question
MARK = "QUESTION"


class Chat:
    """A question and an answer while they are written."""

    def __init__(self, between: list[int], greedy: bool):
        self.between, self.greedy = between, greedy
        self.asked, self.answered = [], []
        self.coming, self.answers, self.ended = [], False, False

    def take(self, token: int) -> int:
        """Note the token that the model chose; returns the one that stands there."""
        end = self.between[0]
        if self.coming:
            return self.coming.pop(0)
        if self.answers:
            self.ended |= token == end or len(self.answered) == ANSWERED
            self.answered += [] if self.ended else [token]
        elif token == end or len(self.asked) == ASKED:
            self.answers, self.coming = True, self.between[1:]
            return end
        else:
            self.asked.append(token)
        return token


@torch.inference_mode()
def chats(target, generator: torch.Generator) -> list[Chat]:
    """Some chats, written side by side."""
    text = as_chat(target.tokenizer, MARK).split(MARK)
    before, between = target.tokenizer(text, add_special_tokens=False)["input_ids"]
    made = [Chat(between, greedy=row % 2 == 0) for row in range(ROWS)]
    most = len(before) + ASKED + len(between) + ANSWERED
    reader, tokens = Reader(packed(target.model), ROWS, most), torch.tensor([before] * ROWS)
    reader.fill(tokens[:, :-1], at(0))
    last = tokens[:, -1:]
    for place in range(len(before) - 1, most):
        logits, ids = reader.read(last, at(place))[:, -1].topk(TOP_K)
        heat = torch.tensor([[HEAT if chat.answers else 1.0] for chat in made])
        drawn = (logits / heat).softmax(-1).multinomial(1, generator=generator)
        for row, chat in enumerate(made):
            drawn[row] *= not (chat.answers and chat.greedy)  # the first is the likeliest
        chosen = ids.gather(1, drawn)[:, 0].tolist()
        pairs = zip(made, chosen, strict=True)
        last = torch.tensor([[chat.take(token)] for chat, token in pairs])
        if all(chat.ended for chat in made):
            break
    return made


def at(place: int) -> At:
    """All rows at the same place."""
    return At(torch.full((ROWS,), place), place, place)


def record_of(chat: Chat, tokenizer) -> dict:
    """A line of the file."""
    asked, answered = (tokenizer.decode(ids) for ids in (chat.asked, chat.answered))
    return {"kind": "own", "greedy": chat.greedy, "prompt": asked, "completion": answered}


def main() -> None:
    """Command line."""
    import ensemble_lab as lab

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for own.jsonl.gz")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    target = lab.load("smollm2", dtype="float32")  # for many rows quicker than bfloat16 on a CPU
    generator, begun, lines = torch.Generator().manual_seed(args.seed), monotonic(), []
    bar = tqdm(total=round(args.minutes, 1), unit="min")
    args.out.mkdir(parents=True, exist_ok=True)
    while (spent := (monotonic() - begun) / 60) < args.minutes:
        whole = [chat for chat in chats(target, generator) if len(chat.asked) >= SHORTEST]
        lines += [json.dumps(record_of(chat, target.tokenizer)) for chat in whole if chat.answered]
        (args.out / "own.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
        bar.update((monotonic() - begun) / 60 - spent)
    print(f"{len(lines):,} chats")


if __name__ == "__main__":
    main()
