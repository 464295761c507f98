"""What a notebook says of itself to the one who teaches it: `Book`, read from its cells.

Misconceptions come from the notebook's checks, which know the mistakes of learners.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from itertools import chain, zip_longest
from typing import NamedTuple

CARD = re.compile(
    r"^## Exercise(?: \d+)?: (.*)\n+\*Difficulty (\d) of 3, (\d+) minutes\.\*", re.MULTILINE
)
NUMBERS = re.compile(r"notebooks? (\d\d[a-z]?(?:(?:, | and )\d\d[a-z]?)*)")
HINTS = 3  # on a sheet


class Book(NamedTuple):
    """What a sheet shows of a notebook."""

    name: str
    title: str
    question: str
    minutes: int
    needs: str  # sentences
    edges: tuple[tuple[str, bool], ...]  # (number of a notebook, whether it only helps)
    prediction: str
    asked: tuple[str, ...]  # what is to be guessed
    exercises: tuple[tuple[str, str, str], ...]  # title, difficulty, minutes
    hints: tuple[tuple[str, str], ...]  # exercise, question
    recall: tuple[tuple[str, str], ...]  # question, answer

    @property
    def number(self) -> str:
        """``"08b"`` of 08b_networks_in_batches; the name where it has no number."""
        return re.match(r"\d\d[a-z]?(?=_)|.*", self.name)[0]


def read(path):
    """The book of a notebook; `ValueError` where it is not written like the others."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    head, prose = cells[0][1], "\n\n".join(text for kind, text in cells if kind == "markdown")
    question = re.search(r"\*\*([^*]+\?)\*\*", head)
    minutes = re.search(r"\b(\d+) minutes", head)
    if not (question and minutes):
        raise ValueError(f"{path.name}: its first cell has no question in bold, or no minutes")
    needs = needs_in(head)
    return Book(
        path.stem,
        re.match(r"# (.*)", head)[1],
        question[1],
        int(minutes[1]),
        needs,
        edges_in(needs),
        prediction_in(cells),
        asked_in(cells),
        tuple(CARD.findall(prose)),
        hints_in(cells),
        recall_in(prose, path.name),
    )


def needs_in(head):
    """The sentences of a first cell that say what a reader must have."""
    sentences = re.split(r"\n\n|(?<=[.?!]) (?=[A-Z[*])", head)
    said = re.compile(r"\bYou need\b|\b[Nn]eeds\b|^An appendix to\b")
    return " ".join(s for s in sentences if said.search(s) and not s.startswith("#"))


def edges_in(needs):
    """The notebooks that are named there; a needed one counts once."""
    found = {}
    for clause in re.split(r"; |(?<=\.) ", needs):
        only_helps = bool(re.search(r"\bhelps?\b|^An appendix\b", clause))
        for named in NUMBERS.findall(clause):
            for number in re.findall(r"\d\d[a-z]?", named):
                found[number] = found.get(number, True) and only_helps
    return tuple(found.items())


def prediction_in(cells):
    """What is said from the heading *Predict* to where the guess is compared."""
    said, here = [], False
    for kind, text in cells:
        if kind == "code" and here and ".compare(" in text:
            break
        if kind == "markdown":
            start = re.search(r"^## Predict\n", text, re.MULTILINE)
            here = bool(start) or (here and not text.startswith("## "))
            if here:
                said.append(text[start.end() :] if start else text)
    return "\n\n".join(part.strip() for part in said)


def asked_in(cells):
    """The texts of all `Predict` and `PredictCurve`; what only a run can tell is an ellipsis."""
    known, asked = {}, []  # a name means what it was last given
    for kind, text in cells:
        for node in ast.walk(ast.parse(text)) if kind == "code" and "=" in text else ():
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                known[node.targets[0].id] = node.value
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in ("Predict", "PredictCurve"):
                    asked.append(words_of(node.args[0], known))
    return tuple(words for words in asked if words != "…")


def words_of(node, known):
    """A text of the code with its names filled in."""
    if isinstance(node, ast.Name) and node.id in known:
        return words_of(known[node.id], known)
    if isinstance(node, ast.JoinedStr):
        return "".join(words_of(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return words_of(node.value, known)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def hints_in(cells):
    """Questions of planted mistakes: the first one of each part, then the second ones."""
    modules, title, queues = {}, "", []
    for kind, text in cells:
        if kind == "markdown":
            title = ([title] + [card[0] for card in CARD.findall(text)])[-1]
            continue
        for line in ast.parse(text).body if "check_" in text else ():
            if isinstance(line, ast.ImportFrom):
                modules |= {alias.name: line.module for alias in line.names}
        for name in re.findall(r"^(check_\w+)\(", text, re.MULTILINE):
            check = getattr(importlib.import_module(modules[name]), name)
            queues += [[(title, q) for q in questions(part)] for part in check.parts]
    found = filter(None, chain.from_iterable(zip_longest(*queues)))
    return tuple(dict.fromkeys(found))[:HINTS]


def questions(part):
    """What each planted mistake of a part makes its reader look at."""
    asked = [mistake[1] for mistake in part.mistakes if not callable(mistake)]
    return [words[0].upper() + words[1:] for words in asked]


def recall_in(prose, name):
    """The recall questions, each with its answer."""
    section = re.search(r"^### Can you recall\?\n(.*?)(?=^#|\Z)", prose, re.M | re.S)
    if not section:
        return ()
    asked, _, answered = section[1].partition("<summary>Answers</summary>")
    pairs = items(asked), items(answered.split("</details>")[0])
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError(f"{name}: {len(pairs[0])} recall questions, {len(pairs[1])} answers")
    return tuple(zip(*pairs, strict=True))


def items(text):
    """The items of a numbered list, a line each."""
    found = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\Z)", text, re.MULTILINE | re.DOTALL)
    return [" ".join(one.replace("<details>", "").split()) for one in found]
