"""How drafts for smollm2 do on held-out answers: `drafts/smollm2-head.json`.

    python -m recipes.judge_drafts --raw DIR [DIR ...]

Greedy answers are known. With the target's states on them, which tokens of each proposal are
accepted is exact without a pass of the target for each round. Nothing here was learned from, and
the prompts that speed is measured on are others still.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F

from ensemble_lab.tokens.drafts.base import Draft
from ensemble_lab.tokens.drafts.combined import StackedDraft, TurnsDraft
from ensemble_lab.tokens.drafts.head import FeatureHead, HeadDraft
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.ngram import NgramDraft
from ensemble_lab.tokens.reading.rows import Rows
from ensemble_lab.tokens.reading.states import StateReader
from ensemble_lab.tokens.sampling import Sampling
from recipes.distilling import states_of
from recipes.train_ngram import Answer, answers_of, shares

DATA = Path(__file__).resolve().parents[1] / "data"
README = DATA / "README.md"
MARK, END = "<!-- head: written by judge_drafts.py -->", "<!-- end of head -->"
GAMMAS = (4, 8)
SPARE = max(GAMMAS) + 1  # places for tokens that are drafted after the end
A_KIND = 12  # answers of each kind that are judged


class RecordedStates(StateReader):
    """A reader that has already read the text: its states (w, D) come from a file."""

    def __init__(self, states: torch.Tensor):
        self.recorded = F.pad(states, (0, 0, 0, SPARE))[None]
        self.verify()

    def verify(self) -> None:
        """Put the target's states where a draft has left its guesses."""
        self.states = self.recorded.clone()


def rounds_of(draft: Draft, states: RecordedStates, answer: Answer, gamma: int):
    """Kinds proposed, how many stayed and tokens added, round by round."""
    rows = Rows([answer.prompt], states.states.shape[1], torch.device("cpu"))
    draft.begin(rows, Sampling(), None)
    left = answer.tokens
    while left:
        proposal = draft.propose(rows, gamma)
        drafted = proposal.tokens[0].tolist()[: proposal.counts[0]]
        accepted = 0
        while accepted < min(len(drafted), len(left)) and drafted[accepted] == left[accepted]:
            accepted += 1
        added = left[: accepted + 1]
        yield list(proposal.kinds_of(0))[: len(left)], accepted, len(added)
        rows.texts[0] += added
        rows.append(torch.tensor([added]), torch.tensor([len(added)]))
        left = left[len(added) :]
        states.verify()


def drafts_of(head: FeatureHead, table: NgramDraft, states: RecordedStates) -> dict[str, Draft]:
    """Drafts by name."""
    alone, second = HeadDraft(head, states), HeadDraft(head, states, choosy=True)
    return {
        "lookup": LookupDraft(),
        "lookup and table": StackedDraft(LookupDraft(), table),
        "head": alone,
        "lookup and head": TurnsDraft(LookupDraft(), second, sure=range(2, 6)),
        "lookup, table and head": TurnsDraft(StackedDraft(LookupDraft(), table), second),
    }


@torch.inference_mode()
def judged(head: FeatureHead, table: NgramDraft, target, chosen: list[Answer]) -> dict:
    """Tokens a round by draft, draft length and kind of prompt; and acceptance by kind of token."""
    found, recorded = {}, []
    for answer in chosen:
        (states,) = states_of(target, [answer.prompt + answer.tokens])
        recorded.append(torch.from_numpy(states).view(torch.bfloat16).to(head.rows.dtype))
    for name in drafts_of(head, table, None):
        for gamma in GAMMAS:
            rounds, tokens, examined, stayed = (Counter() for _ in range(4))
            for answer, known in zip(chosen, recorded, strict=True):
                states = RecordedStates(known)
                draft = drafts_of(head, table, states)[name]
                for kinds, accepted, added in rounds_of(draft, states, answer, gamma):
                    rounds[answer.kind] += 1
                    tokens[answer.kind] += added
                    examined.update(kinds[: accepted + 1])
                    stayed.update(kinds[:accepted])
            kinds = {str(kind): [stayed[kind], examined[kind]] for kind in sorted(examined)}
            result = {"tokens_a_round": shares(tokens, rounds), "kinds": kinds}
            found.setdefault(name, {})[f"gamma {gamma}"] = result
            print(f"{name:24} gamma {gamma}: {result['tokens_a_round']}")
    return found


def first_of_each_kind(answers: list[Answer]) -> list[Answer]:
    """The answers that are judged: held out, greedy, the first few of each kind."""
    held = [answer for answer in answers if answer.held_out and answer.greedy]
    kinds = sorted({answer.kind for answer in held})
    return [one for kind in kinds for one in [a for a in held if a.kind == kind][:A_KIND]]


def written(readme: str, figures: dict) -> str:
    """The README with the table of tokens a round between its marks."""
    rows = ["| draft | " + " | ".join(f"gamma {gamma}, all" for gamma in GAMMAS) + " | chat |"]
    rows.append("|---|" + "---|" * (len(GAMMAS) + 1))
    for name, by_gamma in figures["drafts"].items():
        result = [of_gamma["tokens_a_round"] for of_gamma in by_gamma.values()]
        cells = [f"{one['all']:.2f}" for one in result] + [f"{result[-1]['chat']:.2f}"]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    before, _, rest = readme.partition(MARK)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{README.name} has no {MARK} … {END}")
    return "\n".join([before + MARK, *rows, end + after])


def main() -> None:
    """Command line."""
    import ensemble_lab as lab

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="with *.jsonl.gz")
    parser.add_argument("--out", type=Path, default=DATA / "drafts")
    args = parser.parse_args()
    target = lab.load("smollm2", dtype="bfloat16")
    answers = [one for folder in args.raw for one in answers_of(folder, target.tokenizer)]
    head = FeatureHead.read(args.out / "smollm2-head.safetensors").attach(target.model)
    table = NgramDraft.load("smollm2", target.tokenizer)
    chosen = first_of_each_kind(answers)
    figures = {
        **head.about,
        "parameters": sum(p.numel() for p in head.parameters()),
        "judged_on": {"answers": len(chosen), "a_kind": A_KIND},
        "drafts": judged(head, table, target.model, chosen),
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    (args.out / "smollm2-head.json").write_text(text, encoding="utf-8")
    README.write_text(written(README.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
