"""Models at work: `record` asks them all once, `run` asks only those that a policy needs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.core.decision import Decision, graded
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.reading.grading import warn_unequal
from ensemble_lab.core.recordings.journal import Journal
from ensemble_lab.core.recordings.tabulate import features_of, tabulate
from ensemble_lab.core.reply import Model
from ensemble_lab.core.states import ABSENT, MEASURES
from ensemble_lab.models.asking.failures import failed_on
from ensemble_lab.models.asking.given import (
    facts_of,
    known_labels,
    named_items,
    named_models,
    one_row,
)
from ensemble_lab.models.asking.recorder import Recorder, ask, blaming
from ensemble_lab.models.asking.together import together


def record(
    models: Mapping[str, Model],
    items: Mapping[Hashable, Any] | Iterable,
    path: str | Path,
    *,
    truth: Mapping[Hashable, Hashable] | Iterable | None = None,
    grade: Callable[[Hashable, Hashable], float] | None = None,
    features: Mapping[str, Iterable] | None = None,
    group: Mapping[Hashable, Hashable] | Iterable | None = None,
    progress: bool = True,
) -> Outcomes:
    """Ask every model about every item once, and keep what they say.

    Each reply is written to `path` before the next call. Called again with the same path, it
    goes on where it was stopped: what is there is not asked again. One process records to a path
    at a time; others may read it. What cannot be read with certainty is refused before any call.

    A call that fails does not stop the others: its error is raised at the end, with notes about
    how many failed, and it is asked again the next time, after all others. A model that fails ten
    times in a row is not asked any more in this call.

    Parameters
    ----------
    models : mapping of name to callable
        Each takes an item, a copy of its own where it can be copied, and returns a `Reply` or a
        bare answer.
    items : mapping of name to item, or several items
        Names are text or finite numbers. A pandas Series names its items by its index; the items
        of a list, generator, array or other column are named 0, 1, …
    path : path
        The recording, ``*.jsonl``; `Outcomes.read` reads it too.
    truth : mapping or several values, optional
        The right answer of each item, by name or in the order of `items`. A pandas Series whose
        index holds the names goes by name, else one with the index 0, 1, … by order. It may be
        corrected later as long as no recorded answer equals its truth.
    grade : callable, optional
        (answer, truth) to correctness in [0, 1], NaN where nobody can tell; by default whether
        they are equal. It grades the replies that are there as well, also where another one graded
        them before.
    features : mapping of name to values, or data frame, optional
        What is known of each item before any model is asked, each as `truth`.
    group : mapping or several values, optional
        The kind of each item, as `truth`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Outcomes
        Latency is each model's own word, else measured here with the clock of its ``device``.

    Raises
    ------
    ValueError, TypeError
        Arguments that do not fit; a path that is no recording, or that holds another question or
        another truth for an item of the same name; a reply that could not be read back (it is not
        written); answers that can equal no truth (they are written, and are there when the truth
        is corrected).
    BlockingIOError
        Another process or thread is recording to this path.
    ValueError, OSError
        Something else damaged the file meanwhile: all replies are in a file beside it, which the
        error names and which can be gone on with.
    Exception
        The first error of a model, when all others have been asked.

    Warns
    -----
    UserWarning
        No answer equals any truth; the file system has no locks; something else changed the file;
        some replies give probabilities and others none; `grade` grades recorded replies otherwise
        than they were graded.
    """
    from tqdm.auto import tqdm

    path, models, items = Path(path), named_models(models), named_items(items)
    if path.suffix != ".jsonl":
        raise ValueError(f"a recording is named *.jsonl, not {shown(path.name)}")
    if not items or not models:
        raise ValueError(f"{len(items)} items and {len(models)} models; give at least one of each")
    if grade is not None and not callable(grade):
        raise TypeError(f"grade is {shown(grade)}; give a function of answer and truth")
    facts = facts_of(items, truth, features, group)
    with Journal(path) as journal:
        recorder = Recorder(journal, models, items, facts, grade)
        todo, total = recorder.todo(), len(items) * len(models)
        begun = total - len(todo)
        with tqdm(total=total, initial=begun, unit="call", disable=not progress) as bar:
            for item, name in todo:
                failed = f", {len(recorder.failures)} failed" if len(recorder.failures) else ""
                bar.set_postfix_str(name + failed, refresh=False)
                with blaming(failed_on(item, name, path)):
                    recorder.ask(item, name)
                bar.update()
        recorder.raise_failures()
        table = recorder.table()
        if recorder.by_truth:
            warn_unequal(table.answer, table.truth, table.labels)
    return table


def run(
    policy: Policy,
    models: Mapping[str, Model],
    item: Any,
    *,
    features: Mapping[str, float] | None = None,
    labels: Iterable[Hashable] | None = None,
    parallel: bool = True,
) -> Decision:
    """Run a policy on live models, calling only those that it needs.

    The rule is the one that `Policy.decide` replays, `Policy.choose`: after each wave of replies
    it says again whom to call. So live and replay cannot differ. What can be known before the
    first call is refused before it.

    Parameters
    ----------
    policy : Policy
        Fitted where it needs to be.
    models : mapping of name to callable
        All that the policy names.
    item
        What the models are asked; each gets a copy of its own where it can be copied.
    features : mapping of name to number, or a row of a data frame, optional
        What a selector knows of the item.
    labels : several labels, optional
        All labels, where a rule depends on how many there are (votes over confidences). A label
        beyond them that a model names is added behind them; a policy treats it as one that it
        has not seen.
    parallel : bool
        Call the models of one wave in threads at the same time. An error of one of them is raised
        at once; the others are left to end by themselves.

    Returns
    -------
    Decision
        Of one item.
    """
    if not isinstance(policy, Policy):
        raise TypeError(
            f"policy is {shown(policy)}; give one such as Cascade(('small', 'big'), (0.8,))"
        )
    models, labels, features = named_models(models), known_labels(labels), one_row(features)
    if not models:
        raise ValueError("models is empty; give those that the policy names")
    names = tuple(models)
    facts = {0: {"features": features}}
    replies: dict = {}
    waves = policy.waves(names)
    for wave in waves:
        for name in wave:
            check_known(name, models, "model", "models given")
    table = _unasked(names, features, labels)
    for wave in waves:
        called = policy.choose(table).called[0]
        asked = [name for name in wave if called[names.index(name)]]
        one = partial(_ask_named, models, item)
        lines = together(one, asked) if parallel else [one(name) for name in asked]
        replies |= {(0, name): line for name, line in zip(asked, lines, strict=True)}
        if asked:
            table = tabulate(replies, [0], names, facts, labels)
            if len(replies) < len({name for wave in waves for name in wave}):
                table = _with_every_measure(table)
    columns = tuple(tuple(table.columns(wave)) for wave in waves)
    return graded(policy.choose(table), table, columns, parallel)


def _ask_named(models: Mapping[str, Model], item: Any, name: str) -> dict:
    """A reply, with every measure: in a recording, other items would have those that it lacks.

    So a reply without confidence is not sure, and one without price has none that is known. A model
    that gives bare answers tells nothing ever.
    """
    with blaming(f"model {shown(name, 40)} failed on this item"):
        line, bare = ask(models[name], item, f" of model {shown(name, 40)}")
    return line if bare else dict.fromkeys(MEASURES) | line


def _unasked(models: tuple[str, ...], features: Mapping, labels: Sequence) -> Outcomes:
    """One item that nobody was asked about yet: every field is there and empty."""
    labels, shape = tuple(labels or ("unknown",)), (1, len(models))
    return Outcomes(
        models=models,
        items=[0],
        correct=np.full(shape, np.nan),
        answer=np.full(shape, ABSENT),
        labels=labels,
        probability=np.full((*shape, len(labels)), np.nan),
        features=features_of([features]),
        **{name: np.full(shape, np.nan) for name in MEASURES},
    )


def _with_every_measure(table: Outcomes) -> Outcomes:
    """With the measures that nobody told yet: those who were not asked may tell them."""
    gaps = np.full(table.correct.shape, np.nan)
    return replace(table, **{n: gaps for n in MEASURES if getattr(table, n) is None})
