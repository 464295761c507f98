"""How long a notebook takes, counted: `make minutes` writes the minutes into the title cells.

Reading takes 200 words a minute. Brysbaert (2019), How many words do we read per minute?, Journal
of Memory and Language 109, measured 238 for English prose read silently; many of our readers are
not native. A line of code takes 5 seconds, a prediction one minute, an explorer three. An exercise
takes what its card says. Folded parts, papers and sources are not counted.
"""

import math
import re
from pathlib import Path

import nbformat

from tests.notebooks.solved import NOTEBOOKS

WORDS, LINES = 200, 12  # a minute
PREDICTION, EXPLORER = 1, 3  # minutes
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
MARKUP = re.compile(r"!?\[!\[.*?\)\]\(.*?\)|!\[.*?\]\(.*?\)|\]\([^)]*\)|^\|[-| ]+\|$", re.MULTILINE)
REFERENCES = re.compile(r"^### (?:Papers|Where the data came from)\n.*?(?=^#|\Z)", re.DOTALL | re.M)
CARD = re.compile(r"[Dd]ifficulty \d[^.]*?(\d+) minutes")
TOLD = re.compile(r"\b\d+ minutes")  # the first of the title cell


def words(source: str) -> int:
    """How many words of a markdown cell are in sight."""
    for part in (FOLDED, REFERENCES, MARKUP):
        source = part.sub("", source)
    return len(re.findall(r"\w[\w'’.,-]*", source))


def in_sight(cell) -> int:
    """Lines of a code cell that a reader sees."""
    folded = cell.metadata.get("jupyter", {}).get("source_hidden")
    return 0 if folded else sum(bool(line.strip()) for line in cell.source.splitlines())


def parts(path: Path) -> dict[str, float]:
    """The minutes of a notebook, by what they are for."""
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = [cell for cell in cells if cell.cell_type == "code"]
    return {
        "words": words(prose) / WORDS,
        "code": sum(map(in_sight, code)) / LINES,
        "exercises": sum(map(int, CARD.findall(prose))),
        "predictions": PREDICTION
        * sum("Predict(" in c.source or "Curve(" in c.source for c in code),
        "explorers": EXPLORER * sum("explore(" in cell.source for cell in code),
    }


def minutes(path: Path) -> int:
    """All of them, rounded up to five."""
    return 5 * math.ceil(sum(parts(path).values()) / 5)


def before_first_drag(path: Path) -> tuple[int, int]:
    """Words and lines of code in sight before the first figure that can be dragged."""
    seen = lines = 0
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            seen += words(cell.source)
            continue
        lines += in_sight(cell)
        if "explore(" in cell.source or "PredictCurve(" in cell.source:
            return seen, lines
    raise ValueError(f"{path.name} has nothing to drag")


def write(path: Path) -> None:
    """Put the minutes into the title cell."""
    notebook = nbformat.read(path, as_version=4)
    title = notebook.cells[0]
    title.source = TOLD.sub(f"{minutes(path)} minutes", title.source, count=1)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for notebook in NOTEBOOKS:
        write(notebook)
        told = ", ".join(f"{name} {part:.0f}" for name, part in parts(notebook).items())
        drag = "first drag after {} words, {} lines".format(*before_first_drag(notebook))
        print(f"{notebook.stem}: {minutes(notebook)} minutes ({told}); {drag}")
