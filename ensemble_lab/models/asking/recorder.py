"""The steps of `record` for each reply: ask, grade, write, compare with the truth."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.identity import identity
from ensemble_lab.core.notation import Notation, is_right
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.journal import Journal
from ensemble_lab.core.reply import Model, Reply, as_reply, entry, exact
from ensemble_lab.instruments.meter import clock_for
from ensemble_lab.models.asking.failures import Failures


class Recorder:
    """Some models and items in a journal: the replies so far, and one more at a time.

    A failed reply does not stop the others: errors are kept for `raise_failures`.

    Parameters
    ----------
    journal : Journal
    models : mapping of name to callable
    items : mapping of name to item
    facts : mapping of item to dict
        The caller's facts about each item.
    grade : callable or None

    Raises
    ------
    ValueError
        Facts, a grade or questions that contradict the recording; then no model is asked.
    """

    def __init__(
        self,
        journal: Journal,
        models: Mapping[str, Model],
        items: Mapping,
        facts: Mapping,
        grade: Callable | None,
    ):
        self._journal, self._models, self._items, self._grade = journal, models, items, grade
        self.failures = Failures([*models, *(name for _, name in journal.recording.replies)])
        _refuse_other_truth(journal, facts)
        facts = _with_questions(journal, items, facts)
        facts = {item: _joined(journal.recording.facts.get(item), facts[item]) for item in facts}
        truths = [known["truth"] for known in facts.values() if "truth" in known]
        self._notation = Notation(truths)
        self._refuse_other_grade(bool(truths))
        for item, known in facts.items():
            journal.facts(item, known)
        if grade is not None:
            self._grade_again()
        else:
            for pair in self._done():
                self._hear(*pair)

    def todo(self) -> list[tuple]:
        """(item, model) without a reply, one model after the other; earlier failures come last."""
        recording = self._journal.recording
        pairs = [(item, name) for name in self._models for item in self._items]
        pairs = [pair for pair in pairs if pair not in recording.replies]
        known = {pair: place for place, pair in enumerate(recording.failed)}
        return sorted(pairs, key=lambda pair: known.get(pair, -1))

    def ask(self, item, name: str, asked: Callable[[], tuple] | None = None) -> None:
        """Ask one model about one item and write its reply.

        An error of a model, or a reply that could not be read again, is counted as a failure; after
        ten in a row a model is no longer asked.

        Parameters
        ----------
        item, name
        asked : callable, optional
            Gives what `ask` gave in another process, or raises its error.

        Raises
        ------
        ValueError
            An answer (it is written) which shows that no answer can equal its truth.
        """
        if self.failures.gives_up(name):
            return
        where = of(item, name)
        try:
            line, _ = asked() if asked else ask(self._models[name], self._items[item], where)
        except Exception as error:
            self.failures.note(item, name, error)
            self._journal.failed(item, name, type(error).__name__)
            return
        try:
            if self._grade is not None and "truth" in self._known(item):
                line["correct"] = self._graded(line, item, where)
            self.failures.worked(name)
        except Exception as error:
            self.failures.note(item, name, error)
        finally:  # it was paid for: written even when grading is interrupted
            self._journal.reply(item, name, line)
        self._hear(item, name)

    def raise_failures(self) -> None:
        """Raise the first failure, if there was one; see `Failures`."""
        self.failures.raise_first(self._journal.path)

    def table(self) -> Outcomes:
        """A table of these items and models, as far as they are recorded."""
        return self._journal.recording.table(list(self._items), list(self._models))

    @property
    def by_truth(self) -> bool:
        """Whether replies are graded by equality with the truth."""
        return not any("correct" in self._journal.recording.replies[pair] for pair in self._done())

    def _known(self, item) -> dict:
        return self._journal.recording.facts.get(item, {})

    def _done(self) -> Iterator[tuple]:
        replies = self._journal.recording.replies
        pairs = [(item, name) for name in self._models for item in self._items]
        return (pair for pair in pairs if pair in replies)

    def _grade_again(self) -> None:
        """Grade all recorded replies: `grade` may differ from the rule that graded them before."""
        replies, changed = self._journal.recording.replies, 0
        for (item, name), line in list(replies.items()):
            if "truth" not in self._known(item):
                continue
            try:
                correct = self._graded(line, item, of(item, name))
            except Exception as error:
                self.failures.note(item, name, error)
                continue
            if "correct" not in line or line["correct"] != correct:
                changed += "correct" in line
                self._journal.grade(item, name, correct)
        if changed:
            warnings.warn(
                f"{shown(str(self._journal.path), 150)} was graded with another grade=: {changed}"
                f" of its {len(replies)} replies have another grade now",
                stacklevel=4,
            )

    def _hear(self, item, name: str) -> None:
        line, known = self._journal.recording.replies[item, name], self._known(item)
        if "correct" not in line and "answer" in line:
            self._notation.hear(name, line["answer"], "truth" in known)

    def _graded(self, line: dict, item, where: str) -> float | None:
        """Correctness by the caller's rule; None where it is unknown. Unparsed is wrong."""
        if "answer" not in line:
            return 0.0
        grade = exact(self._grade(line["answer"], self._known(item)["truth"]), "grade", where)
        if isinstance(grade, str):
            raise TypeError(f"the grade is {shown(grade)}{where}; make it a number in [0, 1]")
        if grade is not None and not 0 <= grade <= 1:
            raise ValueError(f"correct is {grade:g}{where}; it must be in [0, 1]")
        return None if grade is None else float(grade)

    def _refuse_other_grade(self, truths: bool) -> None:
        path = shown(str(self._journal.path), 150)
        if self._grade is not None and not truths:
            raise ValueError("grade= compares answers with truth=; give truth= too")
        replies = self._journal.recording.replies.values()
        if truths and self._grade is None and any("correct" in line for line in replies):
            if self.todo():
                raise ValueError(f"{path} was graded with grade=; give the same grade= again")


def of(item, name: str) -> str:
    """The reply that a message is about."""
    return f" for item {shown(item, 40)}, model {shown(name, 40)}"


def ask(model: Model, item: Any, where: str) -> tuple[dict, bool]:
    """The fields of a model's reply, and whether it was a bare answer.

    The model gets a separate copy, so that its changes to a chat do not reach other models. The
    latency is measured where the reply has none.
    """
    own = _copy_of(item)
    clock = clock_for(getattr(model, "device", "cpu"))
    clock.start()
    raw = model(own)
    return entry(as_reply(raw), clock.stop(), where), not isinstance(raw, Reply)


def _copy_of(item: Any) -> Any:
    """A deep copy, or the item itself where it cannot be copied, such as an open file."""
    try:
        return copy.deepcopy(item)
    except Exception:  # a user's class may raise any error
        return item


@contextmanager
def blaming(note: str):
    """Add to an error which model failed on which item."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def _with_questions(journal: Journal, items: Mapping, facts: Mapping) -> dict:
    """Facts with a hash of the question; another question for a name with replies is refused."""
    recording, found = journal.recording, {}
    replied = {item for item, _ in recording.replies}
    for item, thing in items.items():
        now, before = identity(thing), recording.facts.get(item, {}).get("asked")
        if item in replied and None not in (now, before) and now != before:
            raise ValueError(
                f"{shown(str(journal.path), 150)} holds replies to another question as item"
                f" {shown(item, 40)}, now it is {shown(thing, 40)}; give the questions their"
                " own names, {'q1': …}, or record to another path"
            )
        found[item] = facts[item] if now is None else facts[item] | {"asked": now}
    return found


def _joined(before: dict | None, now: dict) -> dict:
    """The earlier and the present facts about an item, merged feature by feature."""
    before = before or {}
    both = before | now
    if "features" in both:
        both["features"] = before.get("features", {}) | now.get("features", {})
    return both


def _refuse_other_truth(journal: Journal, facts: Mapping) -> None:
    """A truth may be corrected while no answer equals its truth and no grade was given for it."""
    before = {item: known.get("truth") for item, known in journal.recording.facts.items()}
    replied = {item for item, _ in journal.recording.replies}
    changed = [
        item
        for item in facts
        if item in replied
        and before.get(item) is not None
        and facts[item].get("truth", before[item]) != before[item]
    ]
    stands = any(
        "correct" in line or ("answer" in line and is_right(line["answer"], before.get(item)))
        for (item, _), line in journal.recording.replies.items()
    )
    if changed and stands:
        item = changed[0]
        raise ValueError(
            f"{shown(str(journal.path), 150)} has truth {shown(before[item], 40)} for item"
            f" {shown(item, 40)}, now it is {shown(facts[item]['truth'], 40)}; record other items"
            " to another path"
        )
