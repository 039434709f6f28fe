"""What lies on disk, as values: lstat, the listing of a directory, and the identity of a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from shipway.fs import native

FILE = "f"
LINK = "l"
DIRECTORY = "d"
SPECIAL = "x"

_KINDS = {stat.S_IFREG: FILE, stat.S_IFLNK: LINK, stat.S_IFDIR: DIRECTORY}


class Found(NamedTuple):
    """One name on disk, symlinks not followed.

    `kind` is "f", "l", "d", or "x" for devices, sockets and pipes.  `mode` is the permission bits with setuid,
    setgid and sticky.  `size` is in bytes, 0 unless a file, `mtime` in nanoseconds since the epoch, `blocks` in
    units of 512 bytes, `target` a symlink's text.
    """

    name: str
    kind: str
    mode: int
    size: int
    mtime: int
    ino: int
    dev: int
    uid: int
    gid: int
    nlink: int
    blocks: int
    target: str = ""


class Identity(NamedTuple):
    """What makes a file on disk the very same one later: no other lives under these four.

    `born` is the time of birth in nanoseconds (statx(2)), 0 where the file system keeps none: without it an
    inode number may have been given out again.  (Where the kernel's clock for files is coarse, even all four
    come again if a file is removed and another made within one tick, a few milliseconds.)
    """

    dev: int
    ino: int
    born: int
    kind: str


def kind_of(mode: int) -> str:
    """The kind letter of a `st_mode`."""
    return _KINDS.get(stat.S_IFMT(mode), SPECIAL)


def look(path: str) -> Found | None:
    """What lies at `path`; None if nothing does, or if a parent is no directory.

    Raises OSError for everything else (no permission to search a parent, an I/O error).
    """
    try:
        return _found(path.rpartition("/")[2], path, os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def list_directory(path: str) -> list[Found]:
    """Everything in a directory, sorted by name; what vanishes meanwhile is left out.

    Raises OSError if the directory itself cannot be read.
    """
    result = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                result.append(_found(entry.name, entry.path, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue
    result.sort()
    return result


def list_kinds(path: str) -> dict[str, str]:
    """The names in a directory with their kinds, sorted, without a look at each (readdir(3), d_type)."""
    with os.scandir(path) as entries:
        return dict(sorted((entry.name, _kind_of_entry(entry)) for entry in entries))


def _kind_of_entry(entry: os.DirEntry[str]) -> str:
    if entry.is_file(follow_symlinks=False):
        return FILE
    if entry.is_dir(follow_symlinks=False):
        return DIRECTORY
    return LINK if entry.is_symlink() else SPECIAL


def identity(path: str) -> Identity | None:
    """The identity of what lies at `path`, symlinks not followed; None if nothing does."""
    try:
        status = native.status(path)
        if status is None:
            plain = os.lstat(path)
            return Identity(plain.st_dev, plain.st_ino, 0, kind_of(plain.st_mode))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Identity(status.dev, status.ino, status.born, kind_of(status.mode))


def _found(name: str, path: str, status: os.stat_result) -> Found:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), SPECIAL)
    return Found(
        name,
        kind,
        status.st_mode & 0o7777,
        status.st_size if kind == FILE else 0,
        status.st_mtime_ns,
        status.st_ino,
        status.st_dev,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
        status.st_blocks,
        os.readlink(path) if kind == LINK else "",
    )


def everything(path: str) -> Iterator[str]:
    """A path and all paths below it, a directory before what is in it; symlinks are not followed."""
    waiting = [path]
    while waiting:
        path = waiting.pop()
        yield path
        if os.path.isdir(path) and not os.path.islink(path):
            waiting += [f"{path}/{name}" for name in sorted(os.listdir(path), reverse=True)]
