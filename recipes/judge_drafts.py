"""How drafts for smollm2 do on held-out answers: `drafts/smollm2-head.json`.

    python -m recipes.judge_drafts --raw DIR --work DIR

Greedy answers are known, and so are the target's states on them (`train_drafts.py` left them in
`--work`): which tokens of each proposal are accepted is exact without running the target again.
Nothing here was learned from, and the prompts that speed is measured on are others still.
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
from recipes.distilling import Texts, compute_states
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
def judged(head: FeatureHead, table: NgramDraft, texts: Texts, chosen: list[int]) -> dict:
    """Tokens a round by draft, draft length and kind of prompt; and acceptance by kind of token."""
    found = {}
    for name in drafts_of(head, table, None):
        for gamma in GAMMAS:
            rounds, tokens, examined, stayed = (Counter() for _ in range(4))
            for i in chosen:
                answer = texts.answers[i]
                states = RecordedStates(texts.states_of(i).to(head.rows.dtype))
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


def first_of_each_kind(texts: Texts) -> list[int]:
    """The answers that are judged: held out, greedy, the first few of each kind."""
    answers = texts.answers
    held = [i for i in texts.there if answers[i].held_out and answers[i].greedy]
    kinds = sorted({answers[i].kind for i in held})
    of_kind = {kind: [i for i in held if answers[i].kind == kind] for kind in kinds}
    return [i for kind in kinds for i in of_kind[kind][:A_KIND]]


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
    parser.add_argument("--raw", type=Path, required=True, help="folder with *.jsonl.gz")
    parser.add_argument("--work", type=Path, required=True, help="where the states are")
    parser.add_argument("--share", type=float, default=0.5, help="as it was in training")
    parser.add_argument("--out", type=Path, default=DATA / "drafts")
    args = parser.parse_args()
    target = lab.load("smollm2", dtype="bfloat16")
    answers = answers_of(args.raw, target.tokenizer)
    texts = compute_states(target.model, answers, args.share, args.work / "states.bin")
    head = FeatureHead.read(args.out / "smollm2-head.safetensors").attach(target.model)
    table = NgramDraft.load("smollm2", target.tokenizer)
    chosen = first_of_each_kind(texts)
    figures = {
        **head.about,
        "parameters": sum(p.numel() for p in head.parameters()),
        "judged_on": {"answers": len(chosen), "a_kind": A_KIND},
        "drafts": judged(head, table, texts, chosen),
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    (args.out / "smollm2-head.json").write_text(text, encoding="utf-8")
    README.write_text(written(README.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
