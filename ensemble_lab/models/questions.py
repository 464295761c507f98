"""Features of a question's text: what a router may read before any model is asked.

The tables of the catalogue hold these numbers for their own questions, and no text. Here a new
question is placed among them: the same sentence encoder reads it, and the projection that ships
with the table (`data/questions`) gives the same few small integers. The encoder is optional;
without it only the length of a question is known.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np

from ensemble_lab.catalogue import FIX, data_folder, describe
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.models.sentences import missing, placed, vectors_of


@dataclass(frozen=True)
class QuestionFeatures:
    """Places questions among those of one recorded table; `of` makes it by the table's name.

    What a text does not say (its subject, how many options it has) is not here: it stays with the
    caller, as ``group`` and as further features.

    Parameters
    ----------
    table : str
        The table's name in the catalogue.
    length : str
        Name of the feature that counts a text's characters.
    reads : str
        What a text must hold to be like the table's own.
    dimensions : int
        How many numbers a sentence embedding is reduced to.
    tokens : int
        The encoder reads this many tokens of a text and ignores the rest; the length counts all.

    Examples
    --------
    >>> features = QuestionFeatures.of("routellm-gsm8k")
    >>> features(["What is 2 + 2?", "Ann has 3 apples. She eats one."])["prompt_chars"]
    array([14, 31])

    A user's own table gets features, and a policy that was fitted on the recorded table then
    reads it::

        outcomes = dataclasses.replace(outcomes, features=features(texts))
    """

    table: str
    length: str
    reads: str
    dimensions: int
    tokens: int

    @classmethod
    def of(cls, table: str) -> QuestionFeatures:
        """The features of a table of the catalogue.

        Raises
        ------
        UnknownName
            No such table; the nearest names are given.
        ValueError
            The table does not record questions.

        Warns
        -----
        UserWarning
            The sentence encoder is not installed, so the length is the only feature.
        """
        entry = describe(table)
        if "questions" not in entry:
            raise ValueError(
                f"the table {shown(table)} has no features of questions; use one of those with"
                " 'questions' in lab.describe(name), such as 'routellm-mmlu'"
            )
        about = {key: value for key, value in entry["questions"].items() if key != "sha256"}
        features = cls(table, **about)
        if not features.embeds:
            warnings.warn(
                f"{missing()[0]} is not installed, so {features.length} is the only feature here:"
                " a policy may choose by length or group only;"
                " pip install 'ensemble-lab[models,questions]'",
                stacklevel=2,
            )
        return features

    @property
    def embeds(self) -> bool:
        """Whether the sentence encoder is installed; without it the length is the only feature."""
        return not missing()

    @property
    def names(self) -> tuple[str, ...]:
        """The features that a call gives here, named as in the table."""
        return (self.length, *embedding_names(self.dimensions if self.embeds else 0))

    def __repr__(self) -> str:
        what = f"{self.dimensions} dimensions of the first {self.tokens} tokens"
        what = what if self.embeds else "without the sentence encoder, which is not installed"
        return f"QuestionFeatures({self.table}: {self.length}, {what})"

    def __call__(self, texts) -> dict[str, np.ndarray]:
        """The features of each text, with the names and the steps of the table.

        Parameters
        ----------
        texts : sequence of str, length n
            Questions as `reads` describes them. The encoder knows English.

        Returns
        -------
        dict of str to ndarray (n,)
            The length in characters, then ``embedding_00`` and so on as int8, cut off at ±127:
            equal texts have equal features. Other texts in the same call change a feature by one
            step at most.

        Raises
        ------
        ValueError
            One string, or a text that is empty or no text: named with its place.
        ModelError
            The sentence encoder is installed and cannot be read.
        FileNotFoundError, ValueError
            The table's projection is missing or damaged.
        """
        texts = checked_texts(texts)
        found = {self.length: np.array([len(text) for text in texts], np.int64)}
        if self.embeds:
            steps = placed(vectors_of(texts), self._projection())
            names = embedding_names(self.dimensions)
            found |= zip(names, np.ascontiguousarray(steps.T), strict=True)
        return found

    def _projection(self) -> np.ndarray:
        """The table's projection (1 + d, 384), checked against the catalogue."""
        from safetensors.numpy import load

        path = data_folder() / "questions" / f"{self.table}.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"no projection {shown(str(path), 200)}; {FIX}")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != describe(self.table)["questions"]["sha256"]:
            raise ValueError(f"{shown(str(path), 200)} is damaged; {FIX}")
        return load(content)["projection"]


def embedding_names(dimensions: int) -> list[str]:
    """``embedding_00``, ``embedding_01`` and so on, the most telling first."""
    return [f"embedding_{j:02d}" for j in range(dimensions)]


def length_feature(outcomes) -> str:
    """Name of the feature that counts a question's characters: the one that ends in ``_chars``.

    Tables name it after what was counted: ``question_chars`` is the question alone,
    ``prompt_chars`` includes the options.

    Raises
    ------
    ValueError
        No such feature, or several.
    """
    check_outcomes(outcomes)
    found = [name for name in outcomes.features if str(name).endswith("_chars")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{shown(found)} all count characters; name the one to choose by")
    raise ValueError(
        f"none of the features {shown(list(outcomes.features))} ends in '_chars', so no length is"
        " known; add the feature question_chars"
    )


def checked_texts(texts) -> list[str]:
    """`texts` as a list of texts that hold something.

    Raises
    ------
    ValueError
        One string, or a text that is empty or no text: named with its place.
    """
    texts = several(texts, "texts")
    for place, text in enumerate(texts):
        if fault := _fault(text):
            raise ValueError(f"texts[{place}] is {shown(text)}{fault}")
    return texts


def _fault(text) -> str:
    """What is wrong with a text, and the fix; empty where nothing is."""
    if not isinstance(text, str):
        return f" ({type(text).__name__}); give each question as a str"
    if not any(sign.isprintable() and not sign.isspace() for sign in text):
        return ", in which nothing is written; leave this question out"
    try:
        text.encode()
    except UnicodeEncodeError:
        fix = "text.encode('utf-8', 'ignore').decode()"
        return f", with half of a character in it, which {fix} removes"
    return ""
