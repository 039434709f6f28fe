"""Work shared out between processes, none of which outlives the block that wanted it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from shipway.fs import pool

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextlib.contextmanager
def shared_out(function: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Iterator[Result]]:
    """`function` of every item in their order, by `jobs` processes that are gone when the block is left.

    So whoever leaves it by an exception may remove what they were writing.
    """
    results = pool.run(function, items, jobs)
    try:
        yield results
    finally:
        if isinstance(results, Generator):
            results.close()


def processes(jobs: int, files: int) -> int:
    """How many of `jobs` processes so much work is worth: a fork costs about as much as a stat of 500 files."""
    return max(1, min(jobs, files // 500))


def do_all(function: Callable[[Item], object], items: Sequence[Item], jobs: int) -> None:
    """`function` of every item, for what it does."""
    with shared_out(function, items, jobs) as results:
        for _ in results:
            pass


def in_batches(items: Iterable[tuple[Item, int]], size: int) -> Iterator[list[Item]]:
    """Items, each with its weight, in runs that weigh `size` or a little more."""
    batch: list[Item] = []
    weight = 0
    for item, more in items:
        batch.append(item)
        weight += more
        if weight >= size:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch
