"""`Transcript`: who in a committee was shown what and said what, written down while it runs.

The file is a recording (see `ensemble_lab.core.recordings`), with a column for each member and
round: ``big@2`` is what `big` said in round 2. So `Outcomes.read` reads it, a kill loses nothing,
and two processes cannot write to one file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_lab.answers.committees.talk.tables import frame_of, lines_of, outcomes_of
from ensemble_lab.core.errors import shown
from ensemble_lab.core.identity import identity
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.journal import Journal
from ensemble_lab.core.recordings.recording import Recording, item_name
from ensemble_lab.core.reply import Model
from ensemble_lab.models.asking.recorder import ask
from ensemble_lab.models.asking.together import together
from ensemble_lab.models.prompts import Prompt


@dataclass(frozen=True)
class Call:
    """One member asked once.

    Parameters
    ----------
    column
        Member and round: ``big@2``. Before the @ more may follow the member: ``judge:a>b@2``.
    member
        Whose model is asked.
    prompt
    saw
        The columns whose texts the prompt shows.
    """

    column: str
    member: str
    prompt: Prompt
    saw: tuple[str, ...] = ()


class Transcript:
    """What the members of a committee were shown and said.

    Parameters
    ----------
    path : path, optional
        A file ``*.jsonl``: each reply is written when it comes, and a committee that asks again
        continues where it stopped. By default the transcript is in memory only.

    Examples
    --------
    >>> from ensemble_lab import Debate
    >>> transcript = Transcript()
    >>> vote = Debate({"a": lambda item: 4, "b": lambda item: 4, "c": lambda item: 5}, rounds=0)
    >>> vote.ask("What is 2 + 2?", transcript).answer
    4
    >>> transcript.outcomes().models
    ('a@1', 'b@1', 'c@1')
    """

    def __init__(self, path: str | Path | None = None):
        if not isinstance(path, str | Path | None):
            raise TypeError(f"path is {shown(path)}; give a file name, 'talk.jsonl', or nothing")
        if path is not None and Path(path).suffix != ".jsonl":
            raise ValueError(f"a transcript is named *.jsonl, not {shown(Path(path).name)}")
        self._journal = None if path is None else Journal(Path(path))
        self._recording = Recording() if self._journal is None else None
        self._lock, self._closed = threading.Lock(), False
        for _, column in self.recording.replies:
            if not column.rpartition("@")[2].isdecimal():
                self.close()
                raise ValueError(
                    f"the file has the model {shown(column, 60)}, without a round, such as"
                    " 'big@2': it is a recording of single models; name another file"
                )

    @classmethod
    def from_frame(cls, frame) -> Transcript:
        """A transcript in memory from what `frame` gave, such as a table that was shipped.

        Without a column ``asked`` the prompts are not compared with those recorded.
        """
        made = cls()
        for line in lines_of(frame):
            made._recording.add(line)
        return made

    def __enter__(self) -> Transcript:
        if self._journal is not None:
            self._journal.__enter__()
        return self

    def __exit__(self, *error) -> None:
        if self._journal is not None:
            self._recording = self.recording
            self._journal.__exit__(*error)
            self._journal, self._closed = None, True

    def close(self) -> None:
        """Close the file; the transcript can still be read."""
        self.__exit__(None, None, None)

    def __len__(self) -> int:
        return len(self.recording.replies)

    def __repr__(self) -> str:
        items = len({item for item, _ in self.recording.replies})
        return f"Transcript({len(self)} replies about {items} items)"

    @property
    def recording(self) -> Recording:
        """The replies and facts so far."""
        return self._recording if self._journal is None else self._journal.recording

    def begin(self, item: Hashable | None, question: Prompt, committee: str) -> Hashable:
        """The item's name; refuses another question or committee than the one recorded for it.

        Raises
        ------
        ValueError
            The transcript holds another question or another committee under this name.
        """
        asked = identity(question)
        if item is None:
            short = isinstance(question, str) and 0 < len(question) <= 80
            item = question if short else asked
        name, facts = item_name(item), {"asked": asked, "committee": committee}
        known = self.recording.facts.get(name)
        for what, now in facts.items():
            if known is not None and known.get(what, now) != now:
                if what == "committee":
                    why = f"is of {shown(known[what], 90)}, and this is {shown(now, 90)}"
                else:
                    why = f"holds another question as item {shown(name, 40)}"
                raise ValueError(f"the transcript {why}; give each its own transcript or item=")
        if known is None:
            self._note(name, facts)
        return name

    def hear(
        self, item: Hashable, calls: Sequence[Call], models: Mapping[str, Model | None]
    ) -> list[dict]:
        """The replies to some calls: recorded ones as they were, others asked at the same time.

        Raises
        ------
        ValueError
            A recorded reply is to another prompt, or a member has neither reply nor model.
        Exception
            The first error of a member, after all replies of the round are kept.
        """
        replies = self.recording.replies
        todo = {call.column: call for call in calls if (item, call.column) not in replies}
        for call in calls:
            self._check(item, call, call.column in todo, models)
        if todo and self._closed:
            raise ValueError("the transcript is closed; open its file again to ask on")

        def one(column: str) -> Exception | None:
            call = todo[column]
            where = f" of member {shown(call.member, 40)}"
            try:
                line, _ = ask(models[call.member], call.prompt, where)
                self.keep(item, call, line)
            except Exception as error:
                return error
            return None

        for call, error in zip(todo.values(), together(one, list(todo)), strict=True):
            if error is not None:
                error.add_note(
                    f"member {shown(call.member, 40)} failed as {shown(call.column, 60)}; other"
                    " replies are kept: ask again with this transcript to continue"
                )
                raise error
        return [self.recording.replies[item, call.column] for call in calls]

    def keep(self, item: Hashable, call: Call, line: dict) -> None:
        """Write a reply down; an empty text is no answer."""
        if isinstance(line.get("answer"), str) and not line["answer"].strip():
            line = {name: value for name, value in line.items() if name != "answer"}
        line = line | {"saw": list(call.saw)} if call.saw else dict(line)
        asked = identity(call.prompt)
        line |= {} if asked is None else {"asked": asked}
        with self._lock:
            if self._journal is None:
                self._recording.replies[item, call.column] = line
            else:
                self._journal.reply(item, call.column, line)

    def outcomes(self, truth: Mapping | None = None, grade: Callable | None = None) -> Outcomes:
        """The replies as a table with a column for each member and round.

        Parameters
        ----------
        truth : mapping of item to right answer, optional
        grade : callable, optional
            (answer, truth) to correctness in [0, 1]; by default whether they are equal.

        Raises
        ------
        ValueError, TypeError
            Nothing is said yet, or an argument is of another kind.
        """
        return outcomes_of(self.recording, truth, grade)

    def frame(self):
        """The replies as a data frame: one row a reply, in the order in which they came."""
        return frame_of(self.recording)

    def _note(self, item: Hashable, facts: dict) -> None:
        facts = {name: value for name, value in facts.items() if value is not None}
        with self._lock:  # several questions may be asked at the same time
            if self._journal is None:
                self._recording.facts[item] = facts
            else:
                self._journal.facts(item, facts)

    def _check(self, item: Hashable, call: Call, new: bool, models: Mapping) -> None:
        if new and models.get(call.member) is None:
            raise ValueError(
                f"the transcript has no {shown(call.column, 60)} for item {shown(item, 40)}, and"
                f" member {shown(call.member, 40)} has no model to ask; give one"
            )
        before = None if new else self.recording.replies[item, call.column].get("asked")
        if before is not None and before != identity(call.prompt):
            raise ValueError(
                f"{shown(call.column, 60)} was recorded for another prompt of item"
                f" {shown(item, 40)}; give this committee a transcript of its own"
            )
