"""Write `docs/teaching.md`: a sheet for each notebook, three syllabuses, and what needs what.

    python -m recipes.write_teaching

Everything on a sheet is read where it is written: title, question, minutes, needs, prediction,
exercises and recall questions in the notebook, misconceptions in the mistakes that its checks
know. Only the syllabuses and the short path are written here. Nothing is written while a syllabus
teaches a notebook before what it needs; the command then says where.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ensemble_lab.core.whole import write_whole
from recipes.teaching_sheets import read

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, WRITTEN = ROOT / "notebooks", ROOT / "docs/teaching.md"

# Weeks, or the one lecture: what it is about, and its notebooks in the order of teaching.
SYLLABUSES = {
    "One lecture": [("a small model and a big one", "00 02 05")],
    "Four weeks": [
        ("a second model, and a vote", "00 01"),
        ("try the small model first, or choose first", "02 03"),
        ("models that share a text, and models that are averaged", "05 08"),
        ("which machine, and your own data", "19 own_data"),
    ],
    "Twelve weeks": [
        ("a second model, and a vote", "00 01"),
        ("try the small model first, or choose first", "02 03"),
        ("choosing while the models change, and asking many times", "04 17"),
        ("drafts that a large model verifies", "05 06"),
        ("models that write one text together", "07"),
        ("many models of one kind", "08 09"),
        ("a model over models, and a small copy of many", "10 11"),
        ("models that learn from models", "12 13"),
        ("networks of several networks", "14 15"),
        ("experts, and one model over several machines", "16 18"),
        ("several models on several machines", "19 20"),
        ("your own data, and the best ensemble under a budget", "own_data 21"),
    ],
}
# Up to which heading, in how many minutes (a test counts them), and what one sees there.
PATH = [
    ("00", "What you dragged", 5, "A cheap model answers what it is sure of, and the pair wins."),
    ("01", "Build it", 6, "A vote rescues some answers and ruins others; drag who may vote."),
    ("10", "Measure it", 8, "A final model trusts the member that has seen the answers."),
]


def faults(books, syllabuses=SYLLABUSES):
    """What is wrong, a sentence each: nothing is written before this list is empty."""
    graph = {n: {other for other, _ in book.edges} for n, book in books.items()}
    found = [
        f"{n} needs notebook {other!r}, which is not there"
        for n, others in graph.items()
        for other in sorted(others - set(books))
    ]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"these need each other: {' -> '.join(error.args[1])}")
    for title, weeks in syllabuses.items():
        order = [n for _, numbers in weeks for n in numbers.split()]
        for at, n in enumerate(order):
            if n not in books or n in order[:at]:
                found.append(f"{title}: {n!r} is no notebook, or comes twice")
                continue
            for other, only_helps in books[n].edges:
                if other in order[at:] or (other not in order and not only_helps):
                    found.append(f"{title}: {n} needs {other}, which does not come before it")
    return found


# -- the page -----------------------------------------------------------------------------------


def moved(text):
    """A notebook's text with its links as they lead from docs/."""
    text = re.sub(r"\]\((\w+\.ipynb)", r"](../notebooks/\1", text)
    return text.replace("](../docs/", "](")


def linked(book):
    """A link to a notebook by its number."""
    return f"[{book.number}](../notebooks/{book.name}.ipynb)"


def sheet(book):
    """One notebook, as the one who teaches it needs it."""
    lines = [f"### {book.number.replace('_', ' ')}: {book.title}", ""]
    lines += [f"[Notebook](../notebooks/{book.name}.ipynb), {book.minutes} minutes."]
    lines += ["", f"**Question.** {moved(book.question)}", ""]
    if book.needs:
        lines += [f"**Before it.** {moved(book.needs)}", ""]
    if book.prediction:
        quoted = [f"> {line}".rstrip() for line in moved(book.prediction).splitlines()]
        lines += ["**Prediction.** Ask this before anything is run:", "", *quoted, ""]
    if book.asked:
        lines += ["To guess: " + "; ".join(f"*{words}*" for words in book.asked), ""]
    if book.exercises:
        lines += ["| exercise | difficulty (of 3) | minutes |", "|---|--:|--:|"]
        lines += [f"| {' | '.join(exercise)} |" for exercise in book.exercises] + [""]
    if book.hints:
        lines += ["**Misconceptions**, each as the question that the check asks:", ""]
        lines += [f"- In *{title}*: {hint}" for title, hint in book.hints] + [""]
    if book.recall:
        lines += ["**Recall**", ""]
        lines += [
            f"{k}. {moved(question)} **Answer:** {moved(answer)}"
            for k, (question, answer) in enumerate(book.recall, 1)
        ] + [""]
    return lines


def weeks_of(title, weeks, books):
    """A syllabus as a table; exercises are work between the weeks."""
    lines = [f"### {title}", "", "| | about | notebooks | in class | exercises |"]
    lines.append("|--:|---|---|--:|--:|")
    for k, (about, numbers) in enumerate(weeks, 1):
        here = [books[n] for n in numbers.split()]
        exercises = sum(int(e[2]) for book in here for e in book.exercises)
        spent = sum(book.minutes for book in here) - exercises
        names = ", ".join(map(linked, here))
        lines.append(f"| {k} | {about} | {names} | {spent} min | {exercises} min |")
    return [*lines, ""]


def diagram(books):
    """What needs what, as GitHub draws it: a line for what is needed, dots for what helps."""
    lines = ["```mermaid", "flowchart LR"]
    for n, book in books.items():
        name = re.split(r": |\?", book.title)[0].replace('"', "'")
        lines.append(f'    n{n}["{n.replace("_", " ")} {name}"]')
    for n, book in books.items():
        lines += [f"    n{o} {'-.->' if helps else '-->'} n{n}" for o, helps in book.edges]
    return [*lines, "```", ""]


def written(books):
    """The page."""
    rest = set(books) - {n for _, numbers in SYLLABUSES["Twelve weeks"] for n in numbers.split()}
    lines = [
        "# For those who teach with these notebooks",
        "",
        "<!-- written by `python -m recipes.write_teaching`; change the notebooks instead -->",
        "",
        "Every line of a sheet is read from its notebook or from the checks of its exercises.",
        "`ensemble-lab student` writes the versions to hand out, and `ensemble-lab grade` judges",
        "what comes back: see [CONTRIBUTING.md](../CONTRIBUTING.md#writing-a-notebook).",
        "",
        "- [Syllabuses](#syllabuses)",
        "- [What needs what](#what-needs-what)",
        "- [Twenty minutes on your own](#twenty-minutes-on-your-own)",
        "- [Sheets](#sheets)",
        "",
        "## Syllabuses",
        "",
        "*In class* is what the notebooks state less their exercises, which are work between the",
        "classes.",
        "",
    ]
    for title, weeks in SYLLABUSES.items():
        lines += weeks_of(title, weeks, books)
    lines += [f"Not in twelve weeks: {', '.join(linked(books[n]) for n in sorted(rest))}.", ""]
    lines += ["## What needs what", "", "A line: needed. Dots: it helps.", "", *diagram(books)]
    lines += ["## Twenty minutes on your own", ""]
    for k, (n, heading, minutes, seen) in enumerate(PATH, 1):
        lines.append(f"{k}. {linked(books[n])} up to *{heading}*, {minutes} minutes. {seen}")
    lines += ["", "Type your guess each time before you run on.", "", "## Sheets", ""]
    for book in books.values():
        lines += sheet(book)
    return "\n".join(lines[:-1]) + "\n"


def all_books(folder=NOTEBOOKS):
    """All notebooks by their numbers, in the order of their names."""
    return {book.number: book for book in map(read, sorted(folder.glob("*.ipynb")))}


def main():
    """Write the page, or say what is wrong."""
    try:
        books = all_books()
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if found := faults(books):
        raise SystemExit("\n".join(found))
    write_whole(WRITTEN, written(books))


if __name__ == "__main__":
    main()
