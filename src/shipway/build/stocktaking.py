"""What the cache holds of sources: archives, repositories, the distribution's lists; and giving up what was not used for long."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from shipway.build.distfiles import DISTFILES, LOCKS
from shipway.errors import LockedError
from shipway.fs.hashing import hash_file
from shipway.fs.lock import FileLock, forget
from shipway.fs.system import FileSystem

_BLOCK = 512
_DAY = 86_400
_DIGEST = 64


class Held(NamedTuple):
    """One archive with what has come of it, a repository with what was taken from it, or all lists.

    `paths` are what it consists of, `lock` the file whose lock makes it ours; `used` is in seconds since the epoch, `bytes` on disk.
    """

    name: str
    paths: tuple[str, ...]
    lock: str
    used: float
    bytes: int


def held(cache: str) -> list[Held]:
    """All there is, what was used longest ago first; what vanishes meanwhile is left out."""
    return sorted((*_archives(cache), *_repositories(cache), *_lists(cache)), key=lambda each: each.used)


def prune(
    fs: FileSystem, cache: str, keep: int, since: float = 0.0, tell: Callable[[str], None] | None = None
) -> list[Held]:
    """Remove what was used longest ago until no more than `keep` bytes are left, and what was not used after `since`.

    With `tell` all archives are read; those that are damaged go too, and are told.  What somebody fetches at this moment stays.
    Returns what went.
    """
    stock = held(cache)
    left, gone = sum(each.bytes for each in stock), []
    for each in stock:
        damaged = tell is not None and is_damaged(each)
        if damaged and tell is not None:
            tell(f"{each.name} was damaged")
        if (damaged or each.used < since or left > keep) and _remove(fs, each):
            left -= each.bytes
            gone.append(each)
    _sweep(fs, f"{cache}/{DISTFILES}")
    return gone


def is_damaged(held: Held) -> bool:
    """Whether an archive has another digest than it is kept under; what was only begun has none yet."""
    digest = os.path.basename(held.paths[0])
    if len(digest) != _DIGEST:
        return False
    with suppress(OSError):
        return any(hash_file(path) != digest for path in _files(held.paths[0]) if not path.endswith(".part"))
    return False


def _archives(cache: str) -> Iterator[Held]:
    directory = f"{cache}/{DISTFILES}"
    for name in _names(directory):
        if len(name) == _DIGEST:
            files = _names(f"{directory}/{name}")
            readable = next((file for file in files if not file.startswith(".")), name)
            yield from _held(readable, (f"{directory}/{name}",), f"{directory}/{LOCKS}/{name}")


def _repositories(cache: str) -> Iterator[Held]:
    directory = f"{cache}/git"
    names = _names(directory)
    for name in names:
        if name.endswith(".lock"):
            stem = name.removesuffix(".lock")
            paths = tuple(f"{directory}/{each}" for each in names if each.startswith(stem) and each != name)
            yield from _held("a git repository", paths, f"{directory}/{name}")


def _lists(cache: str) -> Iterator[Held]:
    paths = tuple(f"{cache}/apt/{name}" for name in ("updated", "lists", "cache"))
    yield from _held("the lists of the distribution's sources", paths, f"{cache}/apt/lock")


def _held(name: str, paths: tuple[str, ...], lock: str) -> Iterator[Held]:
    found = [status for path in paths for status in _all_statuses(path)]
    if found:
        used = max(status.st_mtime for status in found)
        yield Held(name, paths, lock, used, sum(status.st_blocks for status in found) * _BLOCK)


def _remove(fs: FileSystem, held: Held) -> bool:
    """False if somebody is at work there, or it is not ours to remove."""
    lock = FileLock(held.lock)
    try:
        lock.acquire(wait=0)
    except (LockedError, OSError):
        return False
    with lock:
        for path in held.paths:
            fs.remove_tree(path)
        forget(held.lock)
    return True


def _sweep(fs: FileSystem, directory: str) -> None:
    """What killed processes left of files whose digest was not known yet."""
    for name in _names(directory):
        path = f"{directory}/{name}"
        with suppress(OSError):
            if name.startswith(".shipway-") and os.stat(path).st_mtime < time.time() - _DAY:
                fs.remove_tree(path)


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _files(directory: str) -> list[str]:
    return [f"{directory}/{name}" for name in _names(directory) if os.path.isfile(f"{directory}/{name}")]


def _all_statuses(path: str) -> Iterator[os.stat_result]:
    """Of a file, or of all files of a tree."""
    try:
        if not os.path.isdir(path):
            yield os.lstat(path)
            return
    except OSError:
        return
    for name in _names(path):
        yield from _all_statuses(f"{path}/{name}")
