"""`replay`: a policy on a table of any size, in the memory of one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.policy import Policy
from ensemble_lab.systems.replaying.partitions import Partition, Table, batches, partitions
from ensemble_lab.systems.replaying.totals import Replayed, Totals

ENGINES = ("local", "ray")


def replay(
    policy: Policy,
    files: str | Path | Iterable[str | Path],
    engine: str = "local",
    *,
    parallel: bool = True,
    progress: bool = True,
) -> Replayed:
    """Replay a fitted policy on the partitions of a table that may be larger than the memory.

    Every policy decides item by item, so the partitions are read in batches and only counts and
    sums are kept. They are those of `policy.decide` on all items in one table: counts and the
    interval of the accuracy exactly, sums of costs and seconds to 12 digits.

    All footers are compared before the first item is read. The models and labels of a partition
    may be in another order. An item that is in two partitions counts twice: to find it, all names
    would have to be kept.

    Parameters
    ----------
    policy : Policy
        Fitted.
    files : path, pattern or several of them
        Files that `Outcomes.to_parquet` wrote, such as ``"runs/part-*.parquet"``. ``**`` stands for
        folders at any depth. Hidden files, and those without ``.parquet`` that begin with ``_``, do
        not match a pattern.
    engine : {"local", "ray"}
        In this process, or one task of Ray a file: then every machine must see the files under the
        same paths. A cluster that runs is used; else one is started here and stopped at the end.
    parallel : bool
        Whether models asked together run at the same time, as in `Policy.decide`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Replayed
        Counts and sums. Nothing is written.

    Raises
    ------
    TypeError
        Not a policy, or one that learns while it answers (`OnlinePolicy.decide` replays it).
    FileNotFoundError
        A file that is not there; a pattern that no file matches.
    ValueError
        A file that is no partition, is of another table, or is damaged; a file named twice.
    ImportError
        Ray is not installed.

    Examples
    --------
    >>> replay(Cascade(("small", "big"), (0.8,)), "runs/part-*.parquet")  # doctest: +SKIP
    Replayed(100,000,000 items in 100 files, accuracy 0.8312, 1.27 calls an item)
    """
    from tqdm.auto import tqdm

    if isinstance(policy, OnlinePolicy):
        raise TypeError(
            f"{type(policy).__name__} learns from one item to the next; its decide(outcomes)"
            " replays it on one table"
        )
    if not isinstance(policy, Policy):
        what = policy.__name__ if isinstance(policy, type) else shown(policy)
        raise TypeError(f"policy is {what}; give a policy that is made: MajorityVote()")
    check_known(engine, ENGINES, "engine", "list of engines")
    table, found = partitions(files)
    work = in_this_process if engine == "local" else on_ray
    total = sum(part.items for part in found)
    with tqdm(total=total, unit="item", unit_scale=True, disable=not progress) as bar:

        def counted() -> Iterator[Totals]:
            for totals in work(policy, found, table, parallel):
                bar.update(int(totals.counts[0]))
                yield totals

        totals = Totals.together(counted(), len(table.models))
    return Replayed.of(totals, table.models, table.measures, len(found))


def in_this_process(
    policy: Policy, found: list[Partition], table: Table, parallel: bool
) -> Iterator[Totals]:
    """The totals of each batch, one file after the other."""
    for part in found:
        for outcomes in batches(part, table):
            yield Totals.of(policy.decide(outcomes, parallel=parallel))


def on_ray(
    policy: Policy, found: list[Partition], table: Table, parallel: bool
) -> Iterator[Totals]:
    """The totals of each file, as its task of Ray ends."""
    from ensemble_lab.models.asking.on_ray import cluster, results

    def totals(part: Partition, policy: Policy) -> Totals:
        return Totals.together(in_this_process(policy, [part], table, parallel), len(table.models))

    with cluster() as ray:
        task, shared = ray.remote(totals), ray.put(policy)
        yield from results([task.remote(part, shared) for part in found])
