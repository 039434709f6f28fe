"""Comparing what lies on disk with a manifest: for `verify`, for recovery, and for what a commit took out.

Derived entries may be rewritten by anybody at any time and are never a difference.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from shipway.fs.hashing import hash_file
from shipway.model.derived import is_cache_directory, is_derived, sources_of
from shipway.model.entry import DIRECTORY, FILE, KIND_NAMES, LINK, Entry, Manifest, join, parent_of
from shipway.store import attributes
from shipway.store.paths import under
from shipway.store.workers import in_batches, processes, shared_out

MISSING = "missing"
MODIFIED = "modified"
TYPE = "type"
MODE = "mode"
TARGET = "target"

_PIECE = 512
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ABSENT = (FileNotFoundError, NotADirectoryError)
_KINDS = {stat.S_IFREG: FILE, stat.S_IFLNK: LINK, stat.S_IFDIR: DIRECTORY}
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM})


class Difference(NamedTuple):
    """One way in which a path is not as its manifest says.

    `problem` is missing, modified, type, mode or target; `metadata_only` that the content is right.
    """

    path: str
    problem: str
    detail: str = ""
    metadata_only: bool = False


def compare(root: str, manifest: Manifest, *, quick: bool, jobs: int = 1) -> list[Difference]:
    """Every difference between a manifest and the tree at `root`, sorted by path.

    Symlinks that stand where the manifest has a directory are a difference, but followed.  With `quick` a file's content is
    read only where its size is right and its mtime is not; a file that may not be read is taken at its size and mtime.
    Raises OSError, for instance if a directory may not be searched.
    """
    return _compare(_Comparer(root, manifest, "", quick=quick), jobs)


def changed(root: str, manifest: Manifest, path: str, jobs: int = 1) -> list[str]:
    """Paths of the manifest below `path` that hold something else in `root`, a copy of that part of the tree.

    A file is read only where its size is right and its mtime is not.  What is missing is not told, nor are mere modes.
    """
    found = _compare(_Comparer(root, manifest, path, quick=True), jobs)
    return sorted({each.path for each in found if each.problem in (MODIFIED, TYPE, TARGET)})


def strays(root: str, manifest: Manifest, path: str) -> list[str]:
    """Paths below `path` that are in `root`, a copy of that part of the tree, but not in the manifest, sorted.

    Of a stray directory everything in it is told too.  Derived files are no strays; bytecode beside no source is not
    derived.  `root` may be a single file: that has none.
    """
    return sorted(_strays(root, manifest, path)) if os.path.isdir(root) and not os.path.islink(root) else []


def is_stray(root: str, path: str, manifests: Iterable[Manifest]) -> bool:
    """Whether a file at `path` in `root` is a stray by each of some manifests, as `strays` tells it."""

    def is_there(source: str) -> bool:
        return os.path.lexists(join(root, source))

    return all(m.entry(path) is None and not _is_derived_file(path, m, is_there) for m in manifests)


class Measure(NamedTuple):
    """Room on disk: bytes by blocks, and inodes."""

    bytes: int
    inodes: int


def measure(*paths: str) -> Measure:
    """The room that trees take together, each inode counted once whatever names it has; what vanishes counts nothing."""
    size = count = 0
    seen: set[tuple[int, int]] = set()
    for status in (status for path in paths for status in _statuses(path)):
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            key = (status.st_dev, status.st_ino)
            if key in seen:
                continue
            seen.add(key)
        size += status.st_blocks * 512
        count += 1
    return Measure(size, count)


def _statuses(path: str) -> Iterator[os.stat_result]:
    try:
        status = os.lstat(path)
    except _ABSENT:
        return
    yield status
    waiting = [path] if stat.S_ISDIR(status.st_mode) else []
    while waiting:
        with contextlib.suppress(*_ABSENT), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(*_ABSENT):
                    yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


class _Piece(NamedTuple):
    """Some names of one directory of the manifest."""

    path: str
    start: int
    stop: int


def _compare(comparer: _Comparer, jobs: int) -> list[Difference]:
    pieces = [(piece, piece.stop - piece.start) for piece in comparer.pieces()]
    batches = list(in_batches(pieces, _PIECE))
    with shared_out(comparer.compare, batches, processes(jobs, sum(weight for _, weight in pieces))) as results:
        return sorted(difference for found in results for difference in found)


class _Comparer:
    """Compares one tree; `base` is the manifest's path of its root."""

    def __init__(self, root: str, manifest: Manifest, base: str, *, quick: bool) -> None:
        self.root = root
        self.manifest = manifest
        self.base = base
        self.quick = quick

    def pieces(self) -> Iterator[_Piece]:
        """All that is to be compared."""
        if self.base not in self.manifest.directories:
            yield _Piece(self.base, 0, 1)
            return
        waiting = [self.base]
        while waiting:
            path = waiting.pop()
            entries = self.manifest.directories[path].entries
            waiting += [join(path, entry.name) for entry in entries.values() if entry.kind == DIRECTORY]
            yield from (_Piece(path, at, min(at + _PIECE, len(entries))) for at in range(0, len(entries), _PIECE))

    def compare(self, pieces: Sequence[_Piece]) -> list[Difference]:
        """The differences in some pieces."""
        return [difference for piece in pieces for difference in self._compare_piece(piece)]

    def _compare_piece(self, piece: _Piece) -> Iterator[Difference]:
        listing = self.manifest.directories.get(piece.path)
        if listing is None:
            yield from self._compare_single()
            return
        entries = [e for e in islice(listing.entries.values(), piece.start, piece.stop) if not e.derived]
        path = under(self.root, piece.path[len(self.base) :].lstrip("/"))
        try:
            directory = os.open(path, _HANDLE)
        except _ABSENT:
            yield from (Difference(join(piece.path, entry.name), MISSING) for entry in entries)
            return
        try:
            for entry in entries:
                yield from self._compare_name(entry, piece.path, path, directory)
        finally:
            os.close(directory)

    def _compare_single(self) -> Iterator[Difference]:
        """The tree is one file or symlink."""
        entry = self.manifest.entry(self.base)
        if entry is None or entry.derived:
            return
        try:
            status = os.lstat(self.root)
        except _ABSENT:
            yield Difference(self.base, MISSING)
        else:
            yield from self._compare_entry(entry, self.base, self.root, status)

    def _compare_name(self, entry: Entry, parent: str, directory: str, handle: int) -> Iterator[Difference]:
        """The hot path: one stat, and nothing more to do where all of it is right."""
        try:
            status = os.stat(entry.name, dir_fd=handle, follow_symlinks=False)
        except FileNotFoundError:
            return iter((Difference(join(parent, entry.name), MISSING),))
        if self.quick and status.st_mtime_ns == entry.mtime and _is_plain_match(entry, status):
            return iter(())
        return self._compare_entry(entry, join(parent, entry.name), join(directory, entry.name), status)

    def _compare_entry(self, entry: Entry, path: str, there: str, status: os.stat_result) -> Iterator[Difference]:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        mode = stat.S_IMODE(status.st_mode)
        if kind != entry.kind:
            is_there = KIND_NAMES.get(kind or "", "special file")
            yield Difference(path, TYPE, f"is a {is_there}, not a {KIND_NAMES[entry.kind]}")
            return
        if kind == LINK:
            yield from _compare_target(entry, path, there)
            return
        if kind == FILE:
            yield from self._compare_content(entry, path, there, status)
        if mode != entry.mode:
            yield Difference(path, MODE, f"{mode:04o}, not {entry.mode:04o}", metadata_only=True)
        if entry.xattrs:
            yield from _compare_xattrs(entry, path, there)

    def _compare_content(self, entry: Entry, path: str, there: str, status: os.stat_result) -> Iterator[Difference]:
        if status.st_size != entry.size:
            yield Difference(path, MODIFIED, f"{status.st_size} bytes, not {entry.size}")
            return
        same_time = status.st_mtime_ns == entry.mtime
        if self.quick and same_time:
            return
        try:
            same = hash_file(there) == entry.digest
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            same = same_time
        if not same:
            yield Difference(path, MODIFIED, "other content")


def _is_plain_match(entry: Entry, status: os.stat_result) -> bool:
    right = status.st_size == entry.size and status.st_mode == stat.S_IFREG | entry.mode
    return right and entry.kind == FILE and not entry.xattrs


def _compare_target(entry: Entry, path: str, there: str) -> Iterator[Difference]:
    target = os.readlink(there)
    if target != entry.target:
        yield Difference(path, TARGET, f"-> {target}, not {entry.target}")


def _compare_xattrs(entry: Entry, path: str, there: str) -> Iterator[Difference]:
    found = dict(attributes.of_path(there))
    lost = [name for name, value in entry.xattrs if found.get(name) != value]
    if lost:
        yield Difference(path, MODE, f"without its extended attributes {', '.join(lost)}")


def _strays(root: str, manifest: Manifest, base: str) -> Iterator[str]:
    waiting = [(root, base)]
    while waiting:
        directory, path = waiting.pop()
        listing = manifest.directories.get(path)
        with os.scandir(directory) as found:
            present = {entry.name: entry.is_dir(follow_symlinks=False) for entry in found}
        for name, is_directory in present.items():
            at = join(path, name)
            entry = listing.entries.get(name) if listing else None
            if is_directory and (entry is None or entry.kind == DIRECTORY):
                waiting.append((f"{directory}/{name}", at))
            if entry is None and not _is_derived(at, present, manifest):
                yield at


def _is_derived(path: str, beside: dict[str, bool], manifest: Manifest) -> bool:
    """Whether something unknown was derived: by its place, or because its source is or was there."""
    if beside[path.rpartition("/")[2]]:
        return is_cache_directory(path)
    return _is_derived_file(path, manifest, lambda source: source.rpartition("/")[2] in beside)


def _is_derived_file(path: str, manifest: Manifest, is_there: Callable[[str], bool]) -> bool:
    if not is_derived(path):
        return False
    parent = parent_of(path)
    sources = sources_of(path)
    if any(parent_of(source) != parent for source in sources):
        return True
    return any(is_there(source) or manifest.entry(source) for source in sources)
