"""Record what the explorer of notebook 06 shows at once: draft trees, and what they cost.

    python -m recipes.record_drafts [--only trees | costs]

Writes `data/trees/smollm2.json`. For each place of a greedy text it holds the nodes that a draft
would propose there, the likeliest first: a tree of any size and width is the first of them, and how
many are accepted can be read from the text. Costs are seconds of the machine that ran this, which
should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

import ensemble_lab as lab
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.drafts.head import FeatureHead, HeadReader
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.ngram import NgramDraft
from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At, Rows
from ensemble_lab.tokens.reading.states import StateReader
from ensemble_lab.tokens.tracing import Words
from ensemble_lab.tokens.trees import Tree, tree_of
from recipes.record_rounds import PROMPTS, about

FILE = Path(__file__).resolve().parents[1] / "data/trees/smollm2.json"
ASKED = {
    "a text to copy": PROMPTS["a text to copy"],
    "counting": "Count from 1 to 20, with commas.",
    "a sum": PROMPTS["a sum"],
    "chat": PROMPTS["chat"],
}
TOKENS, DEPTH, NODES, WIDTH = 48, 8, 32, 4
LONGEST = 32  # tokens of a chain that costs no pass of a model
SIZES = (*range(1, 9), 10, 12, 14, 16, 20, 24, 32)
SIDE_BY_SIDE = (*SIZES, 64, 128, 256)  # tokens that a draft reads in one pass
REPEATS = 9

# -- the trees ----------------------------------------------------------------------------------


class Drafted:
    """The tree that a draft with logits grows behind one place of a text.

    `read` takes the tokens of a tree, their parents and some nodes (-1 the root), and gives the log
    probabilities and numbers of the likeliest tokens behind each of these, (nodes, `WIDTH`) each.
    """

    def __init__(self, read):
        self.tokens, self.parents, self.scores, self.ranks = [], [], [], []
        level = [-1]
        for _ in range(DEPTH):
            best, likely = read(self.tokens, self.parents, level)
            for i, node in enumerate(level):
                score = 0.0 if node < 0 else self.scores[node]
                for rank in range(WIDTH):
                    self.tokens.append(likely[i][rank])
                    self.parents.append(node)
                    self.scores.append(score + best[i][rank])
                    self.ranks.append(rank if node < 0 else max(rank, self.ranks[node]))
            first = len(self.tokens) - len(level) * WIDTH
            level = [node for node in self.kept() if node >= first]  # others have no children

    def kept(self) -> set[int]:
        """What a tree of `NODES` may have, for any width."""
        return set().union(*(self.best(width) for width in range(1, WIDTH + 1)))

    def best(self, width: int) -> list[int]:
        """The likeliest `NODES` of those with no more than `width` children each."""
        within = (i for i, rank in enumerate(self.ranks) if rank < width)
        return sorted(within, key=lambda i: (-self.scores[i], i))[:NODES]

    def listed(self) -> list[list[int]]:
        """Tokens, parents and chances in thousandths, the likeliest first."""
        kept = sorted(self.kept(), key=lambda i: (-self.scores[i], i))
        number = {old: new for new, old in enumerate(kept)} | {-1: -1}
        chances = torch.tensor(self.scores).exp().mul(1000).round().int().tolist()
        return [
            [self.tokens[i] for i in kept],
            [number[self.parents[i]] for i in kept],
            [chances[i] for i in kept],
        ]


class Numbers(dict):
    """Tokens by the order in which they are first asked for."""

    def __missing__(self, token: int) -> int:
        self[token] = len(self)
        return self[token]


def likeliest(logits) -> tuple[list, list]:
    """Log-probabilities and numbers of the likeliest tokens, (nodes, `WIDTH`) each."""
    best, likely = logits.topk(WIDTH)
    return (best.float() - logits.float().logsumexp(-1, keepdim=True)).tolist(), likely.tolist()


def tree_for(tokens: list[int], parents: list[int]) -> Tree:
    """The tree of one row's drafted tokens."""
    drafted = torch.tensor([tokens]).long()
    return tree_of(Proposal(drafted, [len(tokens)], parents=[parents]))


def of_model(model, ids: list[int], start: int) -> list:
    """Trees of a smaller model, at every place of `ids` from `start` on."""
    reader = StateReader(model, 1, len(ids) + 600)
    reader.fill(torch.tensor([ids]), _at(0))

    def found(place: int):
        def read(tokens, parents, level):
            many = torch.tensor([[ids[place - 1], *tokens]])
            states = reader._states(many, _at(place - 1), tree_for(tokens, parents))
            return likeliest(reader.model.lm_head(states[0, [1 + node for node in level]]))

        return Drafted(read).listed()

    return [found(place) for place in range(start, len(ids))]


def of_head(head: FeatureHead, model, ids: list[int], start: int) -> list:
    """The same of a feature-level head, which reads the target's states."""
    states = packed(model).model(torch.tensor([ids])).last_hidden_state  # (1, n, D)
    before = torch.cat([states.new_zeros(1, 1, states.shape[2]), states[:, :-1]], 1)

    def found(place: int):
        own = []  # the head's states of the root and of the nodes so far, (1, D) each

        def read(tokens, parents, level):
            tree, k = tree_for(tokens, parents), len(tokens) + 1
            joined = [before[:, :place]]
            for parent in parents:
                joined.append(own[parent + 1][None])
            positions = torch.cat([torch.arange(place - 1)[None], place - 1 + tree.depth], 1)
            mask = torch.ones(1, 1, place - 1 + k, place - 1 + k, dtype=torch.bool).tril()
            mask[0, 0, place - 1 :, place - 1 :] = tree.sees[0]
            made = head.step(
                torch.cat(joined, 1),
                torch.tensor([[*ids[:place], *tokens]]),
                positions,
                attention_mask=mask,
            )[:, place - 1 :]
            own.extend(made[:, i] for i in range(len(own), k))
            best, likely = likeliest(head.logits(made[0, [1 + node for node in level]]))
            return best, [head.ids[row].tolist() for row in likely]

        return Drafted(read).listed()

    return [found(place) for place in range(start, len(ids))]


def of_table(draft, ids: list[int], start: int) -> list:
    """The chains of a draft that needs no model."""
    found = []
    for place in range(start, len(ids)):
        rows = Rows([ids[:place]], len(ids) + LONGEST, torch.device("cpu"))
        draft.begin(rows, None, None)
        proposal = draft.propose(rows, LONGEST)
        chain = proposal.tokens[0, : proposal.counts[0]].tolist()
        found.append([chain, list(range(-1, len(chain) - 1)), [1000] * len(chain)])
    return found


def _at(place: int) -> At:
    return At(torch.tensor([place]), place, place)


@torch.inference_mode()
def trees(target, small, head) -> list[dict]:
    """Each text with the trees of all drafts; tokens are numbers in its list of words."""
    word, kept = Words(target.tokenizer), []
    for name, prompt in ASKED.items():
        made = lab.decode(target, prompt, max_new_tokens=TOKENS)
        (ids,), _ = tokens_of(target, prompt)
        start = len(ids)
        ids = [*ids, *made.tokens]
        found = {
            "lookup": of_table(LookupDraft(), ids, start),
            "table": of_table(NgramDraft.load("smollm2", target.tokenizer), ids, start),
            "small model": of_model(packed(small.model), ids, start),
            "head": of_head(head, target.model, ids, start),
        }
        known = Numbers()
        text = [known[token] for token in made.tokens]
        found = {
            kind: [[[known[token] for token in tokens], *more] for tokens, *more in each]
            for kind, each in found.items()
        }
        kept.append({"name": name, "prompt": prompt, "text": text,
                     "words": [word(token) for token in known], "drafts": found})  # fmt: skip
    return kept


# -- the costs ----------------------------------------------------------------------------------


class Anything:
    """A draft of wrong tokens: in turn nothing, and a chain and a binary tree of each size."""

    def __init__(self):
        self.turn = -1

    def begin(self, rows, sampling, generator):
        pass

    def propose(self, rows, most):
        self.turn += 1
        shape, size = TURNS[self.turn % len(TURNS)]
        tokens = torch.arange(7, 7 + size).expand(len(rows), -1)
        tree = [[(i + 1) // 2 - 1 for i in range(size)]] * len(rows) if shape == "tree" else None
        return Proposal(tokens, [size] * len(rows), parents=tree)


TURNS = [("chain", 0), *((shape, size) for shape in ("chain", "tree") for size in SIZES)]
FORMATS = ("bfloat16", "four bits", "bfloat16, 8 texts")


@torch.inference_mode()
def passes(models: dict) -> dict[str, dict]:
    """Milliseconds of a round that verifies so many tokens, by number format and shape.

    The first of a chain is a plain step.
    """
    taken = {name: {turn: [] for turn in TURNS} for name in FORMATS}
    for _ in range(REPEATS):
        for name in FORMATS:
            model = models[name.partition(",")[0]]
            prompts = [ASKED["chat"]] * (8 if "," in name else 1)
            most = len(TURNS) + SIZES[-1] + 2
            made = iter(
                lab.stream(model, prompts, Anything(), gamma=SIZES[-1], max_new_tokens=most)
            )
            for turn in TURNS:
                one = next(made)[0]
                taken[name][turn].append(1e3 * (one.verify + one.host))
    return {
        name: {shape: [round(median(times[t]), 2) for t in TURNS if t[0] == shape]
               for shape in ("chain", "tree")}
        for name, times in taken.items()
    }  # fmt: skip


@torch.inference_mode()
def drafting(small, head, target) -> dict[str, list[float]]:
    """Milliseconds in which a draft reads 1, 2, 4, … tokens side by side, with its logits."""
    (ids,), _ = tokens_of(target, ASKED["chat"])
    ids = list(ids)[-40:]
    states = StateReader(packed(target.model), 1, 400)
    states.fill(torch.tensor([ids]), _at(0))
    readers = {"small model": Reader(packed(small.model), 1, 400),
               "head": HeadReader(head, states, 1, 400)}  # fmt: skip
    found = {}
    for name, reader in readers.items():
        reader.fill(torch.tensor([ids]), _at(0))
        taken = {many: [] for many in SIDE_BY_SIDE}
        for _ in range(2 * REPEATS):
            for many in SIDE_BY_SIDE:
                start = perf_counter()
                reader.read(torch.arange(7, 7 + many)[None], _at(len(ids))).argmax(-1).tolist()
                taken[many].append(1e3 * (perf_counter() - start))
        found[name] = [round(median(times), 3) for times in taken.values()]
    return found


def main() -> None:
    """Write what was asked for, beside what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("trees", "costs"), help="default: both")
    asked = parser.parse_args().only
    target = lab.load("smollm2", device="cpu", dtype="bfloat16")
    small = lab.load("smollm2-draft", device="cpu", dtype="bfloat16")
    head = FeatureHead.load("smollm2", target).attach(target.model)
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    if asked != "trees":
        four = lab.load("smollm2", device="cpu", bits=4)
        models = {"bfloat16": target, "four bits": four}
        grid = {"sizes": SIZES, "side_by_side": SIDE_BY_SIDE}
        times = {"passes": passes(models), "drafting": drafting(small, head, target)}
        found["costs"] = {"about": about(target), **grid, **times}
    if asked != "costs":
        found |= {"about": about(target), "texts": trees(target, small, head)}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
