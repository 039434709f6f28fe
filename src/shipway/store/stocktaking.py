"""What a depot holds, what of it is in use, and giving up the rest.

A file that a prefix has linked has more than one name: only what has one takes room that removing it would free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from shipway.model.entry import Directory, Manifest
from shipway.store.compare import compare
from shipway.store.depot import MANIFEST, TREE, Depot, load

BLOCK = 512
DAY = 86_400


class Held(NamedTuple):
    """One image: when it was used last (seconds since the epoch), its bytes on disk, and of these what no prefix shares."""

    key: str
    used: float
    bytes: int
    unshared: int


class Terms(NamedTuple):
    """What may stay: what was used after `since`, as long as no more than `keep` bytes are unshared; what is sound.

    With `thorough` the content of all files is read.
    """

    keep: int
    since: float = 0.0
    thorough: bool = False


def held(depot: Depot) -> list[Held]:
    """The images of a depot, the one used longest ago first; what vanishes meanwhile is left out."""
    try:
        keys = os.listdir(depot.images)
    except OSError:
        return []
    return sorted(_found(depot, keys), key=lambda each: each.used)


def prune(depot: Depot, terms: Terms, jobs: int, tell: Callable[[str], None]) -> list[Held]:
    """Remove what may not stay, and what is damaged, which is told; returns what went.

    Whoever links from it at this moment finds it missing, and makes it anew.
    """
    images = held(depot)
    if not images:
        return []
    gone = []
    unshared = sum(each.unshared for each in images)
    with depot.workshop() as workshop:
        for each in images:
            damaged = not is_sound(depot, each.key, jobs, thorough=terms.thorough)
            if damaged:
                tell(f"{each.key} was damaged")
            if damaged or each.used < terms.since or (each.unshared and unshared > terms.keep):
                depot.drop(each.key, workshop)
                unshared -= each.unshared
                gone.append(each)
    return gone


def is_sound(depot: Depot, key: str, jobs: int, *, thorough: bool = False) -> bool:
    """Whether the files of an image hold what its manifest says, by size and mtime; with `thorough` by content.

    A file with another mode, or time, is sound: it is copied where others are linked.
    """
    kept = load(depot.place(key))
    if kept is None:
        return False
    differences = compare(kept.tree, _with_bytecode(kept.manifest), quick=not thorough, jobs=jobs)
    return all(each.metadata_only for each in differences)


def _with_bytecode(manifest: Manifest) -> Manifest:
    """The manifest with bytecode as something that nobody may change."""
    return Manifest(
        {
            path: Directory(
                {name: e._replace(derived=False) for name, e in directory.entries.items()}, directory.digest
            )
            for path, directory in manifest.directories.items()
        }
    )


def _found(depot: Depot, keys: Iterable[str]) -> Iterator[Held]:
    for key in keys:
        place = depot.place(key)
        try:
            used = os.stat(f"{place}/{MANIFEST}").st_mtime
        except FileNotFoundError:
            used = 0.0
        sizes = list(_sizes(f"{place}/{TREE}"))
        yield Held(key, used, sum(size for size, _ in sizes), sum(size for size, links in sizes if links == 1))


def _sizes(directory: str) -> Iterator[tuple[int, int]]:
    """Bytes and names of every file below a directory."""
    waiting = [directory]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_blocks * BLOCK, status.st_nlink
        except FileNotFoundError:
            continue
