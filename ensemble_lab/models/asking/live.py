"""Live models: `record` asks all of them once, `run` asks only those that a policy needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.core.decision import Decision, graded
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.online import OnlinePolicy
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
    first_of,
    known_labels,
    named_items,
    named_models,
    one_row,
)
from ensemble_lab.models.asking.recorder import Recorder, ask, blaming
from ensemble_lab.models.asking.together import together

ENGINES = ("local", "ray")


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
    engine: str = "local",
) -> Outcomes:
    """Ask every model about every item once, and keep the replies.

    Each reply is written to `path` before the next call. Called again with the same path, it
    continues where it stopped: recorded pairs are not asked again. One process records to a path at
    a time; others may read it. Arguments that cannot be read with certainty are refused before any
    call.

    A call that fails does not stop the others: its error is raised at the end, with notes about how
    many failed. The next time it is asked again, after all others. A model that fails ten times in
    a row is no longer asked in this call.

    Parameters
    ----------
    models : mapping of name to callable
        Each takes an item (a separate copy, if it can be copied) and returns a `Reply` or a bare
        answer.
    items : mapping of name to item, or several items
        Names are text or finite numbers. A pandas Series names its items by its index; the items
        of a list, generator, array or other column are named 0, 1, …
    path : path
        The recording, ``*.jsonl``; `Outcomes.read` reads it too.
    truth : mapping or several values, optional
        The right answer of each item, by name or in the order of `items`. A pandas Series is read
        by name if its index holds the names, else by order if its index is 0, 1, …. It may be
        corrected later as long as no recorded answer equals its truth.
    grade : callable, optional
        (answer, truth) to correctness in [0, 1], NaN where it is unknown; by default whether they
        are equal. It also grades the recorded replies again, even if another function graded them
        before.
    features : mapping of name to values, or data frame, optional
        Facts about each item that are known before any model is asked, each as `truth`.
    group : mapping or several values, optional
        The kind of each item, as `truth`.
    progress : bool
        Show a progress bar.
    engine : {"local", "ray"}
        Here and one call after the other, or each model in a process of its own by Ray, all at the
        same time. Then each process has a copy of its model, and the lines of the file are in the
        order of the replies. A cluster that runs is used; else one is started here and stopped at
        the end.

    Returns
    -------
    Outcomes
        Latency is the model's own, else measured here with the clock of its ``device``.

    Raises
    ------
    ValueError, TypeError
        Arguments that do not fit; a path that is not a recording, or that holds another question or
        another truth for an item of the same name; a reply that could not be read again (it is not
        written); answers that cannot equal any truth (they are written, and are kept when the truth
        is corrected).
    BlockingIOError
        Another process or thread is recording to this path.
    ValueError, OSError
        Another program damaged the file meanwhile: all replies are in a file next to it, which the
        error names and which can be continued.
    ImportError
        Ray is not installed.
    Exception
        The first error of a model, after all others have been asked.

    Warns
    -----
    UserWarning
        No answer equals any truth; the file system has no locks; another program changed the file;
        some replies have probabilities and others have none; `grade` changes grades of recorded
        replies.
    """
    from tqdm.auto import tqdm

    path, models, items = Path(path), named_models(models), named_items(items)
    if path.suffix != ".jsonl":
        raise ValueError(f"a recording is named *.jsonl, not {shown(path.name)}")
    if not items or not models:
        raise ValueError(f"{len(items)} items and {len(models)} models; give at least one of each")
    if grade is not None and not callable(grade):
        raise TypeError(f"grade is {shown(grade)}; give a function of answer and truth")
    check_known(engine, ENGINES, "engine", "list of engines")
    facts = facts_of(items, truth, features, group)
    with Journal(path) as journal:
        recorder = Recorder(journal, models, items, facts, grade)
        todo, total = recorder.todo(), len(items) * len(models)
        begun = total - len(todo)
        with tqdm(total=total, initial=begun, unit="call", disable=not progress) as bar:
            for item, name, asked in _calls(engine, models, items, todo, recorder):
                failed = f", {len(recorder.failures)} failed" if len(recorder.failures) else ""
                bar.set_postfix_str(name + failed, refresh=False)
                with blaming(failed_on(item, name, path)):
                    recorder.ask(item, name, asked)
                bar.update()
        recorder.raise_failures()
        table = recorder.table()
        if recorder.by_truth:
            warn_unequal(table.answer, table.truth, table.labels)
    return table


def _calls(engine: str, models: Mapping, items: Mapping, todo: list, recorder: Recorder):
    """(item, model, how its reply is had) of each call, in the order of asking or of replies."""
    if engine == "local":
        return ((item, name, None) for item, name in todo)
    from ensemble_lab.models.asking.on_ray import replies

    return replies(models, items, todo, recorder.failures.given_up)


def run(
    policy: Policy,
    models: Mapping[str, Model],
    item: Any,
    *,
    features: Mapping[str, float] | Callable | None = None,
    group: Hashable | None = None,
    labels: Iterable[Hashable] | None = None,
    parallel: bool = True,
) -> Decision:
    """Run a policy on live models, calling only those that it needs.

    The rule is the one that `Policy.decide` replays, `Policy.choose`: after each wave of replies it
    decides again which models to call. So live and replay cannot differ. Errors that can be found
    before the first call are raised before it.

    Parameters
    ----------
    policy : Policy
        Fitted where it needs to be.
    models : mapping of name to callable
        All models that the policy names.
    item
        The question to the models; each gets a separate copy, if it can be copied.
    features : mapping of name to number, a row of a data frame, or callable, optional
        The item's features, for a router; or what computes them from a list of items, such as
        `QuestionFeatures`.
    group : optional
        The item's group, for a router that reads it.
    labels : several labels, optional
        All labels, where a rule depends on their number (votes over confidences). Another label
        that a model gives is added after them; a policy treats it as one that it has not seen.
    parallel : bool
        Call the models of one wave in threads at the same time. An error of one of them is raised
        at once; the others are not waited for.

    Returns
    -------
    Decision
        Of one item.
    """
    if isinstance(policy, OnlinePolicy):
        raise TypeError(
            f"{type(policy).__name__} learns from one item to the next: keep the learner of"
            " begin(models, rng), ask the models of its choose(features, time), and give it the"
            " grades by learn(feedback)"
        )
    if not isinstance(policy, Policy):
        raise TypeError(
            f"policy is {shown(policy)}; give one such as Cascade(('small', 'big'), (0.8,))"
        )
    models, labels = named_models(models), known_labels(labels)
    features = one_row(first_of(features([item])) if callable(features) else features)
    if not models:
        raise ValueError("models is empty; give those that the policy names")
    one = partial(_ask_named, models, item)
    steps = deciding(policy, tuple(models), features, group, labels, parallel)
    lines = None
    while True:
        try:
            asked = steps.send(lines)
        except StopIteration as end:
            return end.value
        lines = together(one, asked) if parallel else [one(name) for name in asked]


def deciding(
    policy: Policy,
    names: tuple[str, ...],
    features: Mapping,
    group: Hashable | None = None,
    labels: tuple = (),
    parallel: bool = True,
) -> Generator[list[str], list[dict] | None, Decision]:
    """The steps of a live decision about one item, for callers that ask the models themselves.

    Yields the names of the models to ask at the same time, and is sent a line of each, with every
    measure; see `ensemble_lab.core.reply.entry`. Returns the decision.

    Raises
    ------
    UnknownName
        The policy names a model that is not among `names`.
    """
    facts = {0: {"features": features} | ({} if group is None else {"group": group})}
    replies: dict = {}
    waves = policy.waves(names)
    for wave in waves:
        for name in wave:
            check_known(name, names, "model", "models given")
    table = unasked(names, features, group, labels)
    for wave in waves:
        called = policy.choose(table).called[0]
        asked = [name for name in wave if called[names.index(name)]]
        if asked:
            lines = yield asked
            replies |= {(0, name): line for name, line in zip(asked, lines, strict=True)}
            table = tabulate(replies, [0], names, facts, labels)
            if len(replies) < len({name for wave in waves for name in wave}):
                table = _with_every_measure(table)
    columns = tuple(tuple(table.columns(wave)) for wave in waves)
    return graded(policy.choose(table), table, columns, parallel)


def _ask_named(models: Mapping[str, Model], item: Any, name: str) -> dict:
    """A reply with every measure, as in a recording where other items have those that it lacks.

    So a reply without a confidence has NaN there, and one without a price has an unknown price. A
    model that gives bare answers never has measures.
    """
    with blaming(f"model {shown(name, 40)} failed on this item"):
        line, bare = ask(models[name], item, f" of model {shown(name, 40)}")
    return line if bare else dict.fromkeys(MEASURES) | line


def unasked(
    models: tuple[str, ...], features: Mapping, group: Hashable | None, labels: Sequence = ()
) -> Outcomes:
    """One item before any call: every field exists and is empty."""
    labels, shape = tuple(labels or ("unknown",)), (1, len(models))
    return Outcomes(
        models=models,
        items=[0],
        correct=np.full(shape, np.nan),
        answer=np.full(shape, ABSENT),
        labels=labels,
        probability=np.full((*shape, len(labels)), np.nan),
        features=features_of([features]),
        group=None if group is None else [group],
        **{name: np.full(shape, np.nan) for name in MEASURES},
    )


def _with_every_measure(table: Outcomes) -> Outcomes:
    """Adds the measures that no reply had yet: models that are asked later may have them."""
    gaps = np.full(table.correct.shape, np.nan)
    return replace(table, **{n: gaps for n in MEASURES if getattr(table, n) is None})
