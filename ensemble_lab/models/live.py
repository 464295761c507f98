"""Models at work: `record` asks them all once, `run` asks only those that a policy needs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.core.checks import plain
from ensemble_lab.core.decision import Decision, graded
from ensemble_lab.core.errors import check_known
from ensemble_lab.core.outcomes import ABSENT, MEASURES, Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.recording import HEADER, Recording, entry, json_line, tabulate
from ensemble_lab.core.reply import Model, as_reply
from ensemble_lab.instruments.meter import clock_for


def record(
    models: Mapping[str, Model],
    items: Mapping[Hashable, Any] | Sequence,
    path: str | Path,
    *,
    truth: Mapping[Hashable, Hashable] | Sequence | None = None,
    grade: Callable[[Hashable, Hashable], float] | None = None,
    features: Mapping[str, Sequence] | None = None,
    group: Sequence | None = None,
    progress: bool = True,
) -> Outcomes:
    """Ask every model about every item once, and keep what they say.

    Each reply is written to `path` before the next call. Called again with the same path, it
    goes on where it was stopped: what is there is not asked again.

    Parameters
    ----------
    models : mapping of name to callable
        Each takes an item and returns a `Reply` or a bare answer.
    items : mapping of name to item, or sequence
        Items of a sequence are named 0, 1, …
    path : path
        The recording, ``*.jsonl``; `Outcomes.read` reads it too.
    truth : mapping or sequence, optional
        The right answer of each item.
    grade : callable, optional
        (answer, truth) to correctness in [0, 1]; by default whether they are equal.
    features, group : optional
        What is known of each item, in the order of `items`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Outcomes
        Latency is each model's own word, else measured here with the clock of its ``device``.

    Raises
    ------
    ValueError
        A path that is no recording, or holds another truth for an item of the same name.
    """
    from tqdm.auto import tqdm

    path = Path(path)
    if path.suffix != ".jsonl":
        raise ValueError(f"a recording is named *.jsonl, not {path.name!r}")
    _refuse_unnamed(models)
    items = items if isinstance(items, Mapping) else dict(enumerate(items))
    items = {plain(name, "item name"): item for name, item in items.items()}
    if not items or not models:
        raise ValueError(f"{len(items)} items and {len(models)} models; give at least one of each")
    facts = _facts(items, truth, features, group)
    done = _open(path, facts)
    todo = [(i, name) for name in models for i in items if (i, name) not in done.replies]
    total = len(items) * len(models)
    with (
        path.open("a", encoding="utf-8") as file,
        tqdm(total=total, initial=total - len(todo), unit="call", disable=not progress) as bar,
    ):
        for item, name in todo:
            bar.set_postfix_str(name, refresh=False)
            with _blaming(name, f"item {item!r}; {path} keeps the rest"):
                line = _ask(models[name], items[item])
                line |= _graded(line, done.facts[item].get("truth"), grade)
                # A table of this one reply: what could not be read back is refused now.
                tabulate({(item, name): line}, [item], [name], done.facts)
                written = json_line({"item": item, "model": name} | line)
            _write(file, written)
            done.replies[item, name] = line
            bar.update()
    return tabulate(done.replies, list(items), list(models), done.facts)


def run(
    policy: Policy,
    models: Mapping[str, Model],
    item: Any,
    *,
    features: Mapping[str, float] | None = None,
    labels: Sequence[Hashable] | None = None,
    parallel: bool = True,
) -> Decision:
    """Run a policy on live models, calling only those that it needs.

    The rule is the one that `Policy.decide` replays, `Policy.choose`: after each wave of replies
    it says again whom to call. So live and replay cannot differ.

    Parameters
    ----------
    policy : Policy
        Fitted where it needs to be.
    models : mapping of name to callable
        All that the policy names.
    item
        What the models are asked.
    features : mapping of name to number, optional
        What a selector knows of the item.
    labels : sequence, optional
        All labels, where a rule depends on how many there are (votes over confidences).
    parallel : bool
        Call the models of one wave in threads at the same time.

    Returns
    -------
    Decision
        Of one item.
    """
    _refuse_unnamed(models)
    names = tuple(models)
    facts = {0: {"features": dict(features or {})}}
    replies: dict = {}
    table = _unasked(names, features or {}, labels)
    waves = policy.waves(names)
    for wave in waves:
        for name in wave:
            check_known(name, models, "model", "models given")
        called = policy.choose(table).called[0]
        ask = [name for name in wave if called[names.index(name)]]
        with ThreadPoolExecutor(len(ask) or 1 if parallel else 1) as threads:
            lines = list(threads.map(lambda name: _ask_named(models, name, item), ask))
        replies |= {(0, name): line for name, line in zip(ask, lines, strict=True)}
        if ask:
            table = tabulate(replies, [0], names, facts, labels)
    columns = tuple(tuple(table.columns(wave)) for wave in waves)
    return graded(policy.choose(table), table, columns, parallel)


def _refuse_unnamed(models) -> None:
    if not isinstance(models, Mapping):
        raise TypeError(f"models is {type(models).__name__}; name them: {{'small': model, …}}")


@contextmanager
def _blaming(name: str, which: str):
    """Tell any error which model failed on what."""
    try:
        yield
    except Exception as error:
        error.add_note(f"model {name!r} failed on {which}")
        raise


def _ask(model: Model, item: Any) -> dict:
    clock = clock_for(getattr(model, "device", "cpu"))
    clock.start()
    reply = as_reply(model(item))
    return entry(reply, clock.stop())


def _ask_named(models: Mapping[str, Model], name: str, item: Any) -> dict:
    with _blaming(name, "this item"):
        return _ask(models[name], item)


def _graded(line: dict, truth, grade) -> dict:
    if truth is None or grade is None:
        return {}
    return {"correct": float(grade(line["answer"], truth)) if "answer" in line else 0.0}


def _facts(items: Mapping, truth, features, group) -> dict:
    """What is known of each item, by its name."""
    facts: dict = {item: {} for item in items}
    for name, values in {"truth": truth, "group": group}.items():
        for item, value in _by_item(name, values, items):
            facts[item][name] = value
    for name, values in (features or {}).items():
        for item, value in _by_item(f"feature {name!r}", values, items):
            facts[item].setdefault("features", {})[name] = value
    return facts


def _by_item(name: str, values, items: Mapping) -> Iterator[tuple]:
    """(item, value) wherever there is a value."""
    if values is None:
        return
    if not isinstance(values, Mapping):
        if len(values) != len(items):
            raise ValueError(f"{name} has {len(values)} entries for {len(items)} items")
        values = dict(zip(items, values, strict=True))
    for item in items:
        check_known(item, values, "item", name)
        value = plain(values[item], name)
        if value is not None:
            yield item, value


def _open(path: Path, facts: dict) -> Recording:
    """The recording so far, cut back to whole lines and with every item's facts in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        done = Recording.load(path)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not a recording to go on with: {error}") from error
    _refuse_other_truth(path, done, facts)
    with path.open("r+b") as file:
        file.truncate(done.length)
    with path.open("a", encoding="utf-8") as file:
        if not done.length:  # new, or killed while writing the header
            _write(file, json_line(HEADER))
        for item, known in facts.items():
            before = done.facts.get(item)
            done.facts[item] = (before or {}) | known
            # Compared as written: NaN does not equal itself.
            if before is None or json_line(before) != json_line(done.facts[item]):
                _write(file, json_line({"item": item} | done.facts[item]))
    return done


def _refuse_other_truth(path: Path, done: Recording, facts: dict) -> None:
    replied = {item for item, _ in done.replies}
    for item in replied & facts.keys():
        before = done.facts.get(item, {}).get("truth")
        now = facts[item].get("truth")
        if before is not None and now is not None and before != now:
            raise ValueError(
                f"{path} has truth {before!r} for item {item!r}, now it is {now!r}; record other"
                " items to another path"
            )


def _write(file, line: str) -> None:
    file.write(line)
    file.flush()  # in the system's hands: a killed process loses nothing


def _unasked(models: tuple[str, ...], features: Mapping, labels) -> Outcomes:
    """One item that nobody was asked about yet: every field is there and empty."""
    labels, shape = tuple(labels or ("unknown",)), (1, len(models))
    return Outcomes(
        models=models,
        items=[0],
        correct=np.full(shape, np.nan),
        answer=np.full(shape, ABSENT),
        labels=labels,
        probability=np.full((*shape, len(labels)), np.nan),
        features={name: [value] for name, value in features.items()},
        **{name: np.full(shape, np.nan) for name in MEASURES},
    )
