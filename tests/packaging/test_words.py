"""The field's words: house words that readers cannot look up are not used again.

Text means prose and identifiers. Of tests only names are read, of notebooks only their prose.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# House word, as a pattern of a word or phrase, and the field's word for it.
HOUSE = {
    r"laws?": "distribution, probabilities",
    r"dear(er|est)?": "expensive",
    r"by lot": "at random",
    r"mend(s|ed|ing)?": "fix",
    r"foretell(s|ing)?|foretold": "predict",
    r"(who|whom)(so)?ever": "any model that, the member that",
    r"aloud": "with a warning",
    r"for they": "because they",
    r"as can be": "very",
    r"all but": "nearly, all except",
    r"lest|thereof|hereby": "so that, of it",
}
# Places where such a word is the right one.
ALLOWED = (
    "law of large numbers",
    "Little's law",
    "law of total variance",
    "law of the iterated logarithm",
)
TEXTS = ("ensemble_lab/**/*.py", "recipes/*.py", "benchmarks/**/*.py", "*.md", "docs/*.md",
         "data/*.md", "notebooks/*.ipynb", "pyproject.toml")  # fmt: skip
NAMES = ("tests/**/*.py",)
WORD = re.compile("|".join(rf"(?P<w{i}>\b(?:{word})\b)" for i, word in enumerate(HOUSE)), re.I)


def text_of(path):
    """What a reader sees of a file, underscores as spaces."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        text = re.sub(r"data:image/\S+", "", text)
    return text.replace("_", " ")


def house_words(text):
    """Each house word with its line and what to write for it."""
    for phrase in ALLOWED:
        text = re.sub(phrase, "", text, flags=re.IGNORECASE)
    better = list(HOUSE.values())
    return [
        f"line {text.count(chr(10), 0, m.start()) + 1}: {m[0]!r}: {better[int(m.lastgroup[1:])]}"
        for m in WORD.finditer(text)
    ]


def files(patterns):
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("path", files(TEXTS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_house_words(path):
    assert house_words(text_of(path)) == []


def test_no_house_words_in_the_names_of_tests():
    names = "\n".join(
        name
        for path in files(NAMES)
        for name in [path.stem, *re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))]
    )
    assert house_words(names.replace("_", " ")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the target's law", 1),
        ("the Law of large numbers", 0),
        ("lawful claws and an amendment", 0),
        ("a dearest model is foretold by lot", 3),
        ("def mend(x): pass", 1),
    ],
)
def test_the_lint_sees_words_and_not_parts_of_words(text, found):
    assert len(house_words(text)) == found
