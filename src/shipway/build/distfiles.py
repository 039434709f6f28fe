"""Archives by their digests: those that a user keeps in directories of his own, and the cache that all prefixes share.

The cache holds `DIGEST/NAME`, whole and verified, while it is fetched `DIGEST/NAME.part`, and a lock for each digest in `locks/`.
A name is given by a rename, after the digest was checked; who comes second waits for the lock and finds the file.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence

from shipway.errors import UsageError
from shipway.fs.hashing import hash_file
from shipway.fs.lock import FileLock, Waiting
from shipway.fs.partial import PartialFile
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories

PART = ".part"
DISTFILES = "distfiles"
LOCKS = "locks"


class Distfiles:
    """The cache, in a directory that need not be there yet."""

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self.fs = fs
        self.directory = directory

    def find(self, digest: str) -> str:
        """The file with this digest, looked at just now; "" if there is none.  It counts as used."""
        for path in self._held(digest):
            if _is(path, digest):
                with contextlib.suppress(OSError):
                    self.fs.utime(path, time.time_ns())
                return path
        return ""

    @contextlib.contextmanager
    def slot(self, digest: str, name: str, on_wait: Callable[[Waiting], None]) -> Iterator[Slot]:
        """A place for one file, which is ours alone for the length of a `with` block.  Raises UsageError without a cache."""
        self.make(LOCKS)
        lock = FileLock(f"{self.directory}/{LOCKS}/{digest}", what=name)
        lock.acquire(on_wait=on_wait)
        with lock:
            self.make(digest)
            for left in os.listdir(f"{self.directory}/{digest}"):
                if left.startswith("."):
                    self.fs.remove_tree(f"{self.directory}/{digest}/{left}")
            yield Slot(self, digest, name)

    @contextlib.contextmanager
    def unknown(self, name: str) -> Iterator[Slot]:
        """A place for a file whose digest nobody knows yet; raises as `slot` does."""
        self.make("")
        with self.fs.scratch(self.directory) as area:
            yield Slot(self, "", name, area)

    def make(self, name: str) -> None:
        """A directory of the cache.  Raises UsageError if there is none for it."""
        if not self.directory:
            raise UsageError("there is no directory for a cache", hint="say where with the variable SHIPWAY_CACHE")
        make_directories(f"{self.directory}/{name}".rstrip("/"), 0o700, self.fs.mkdir)

    def _held(self, digest: str) -> list[str]:
        directory = f"{self.directory}/{digest}"
        try:
            names = sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{directory}/{name}" for name in names if not name.endswith(PART) and not name.startswith(".")]


class Slot:
    """Where one file of the cache is made; `digest` is "" for one that may be any, and known once it is taken."""

    def __init__(self, cache: Distfiles, digest: str, name: str, directory: str = "") -> None:
        self.fs = cache.fs
        self.digest = digest
        self.name = name
        self.path = f"{directory or f'{cache.directory}/{digest}'}/{name}"
        self._cache = cache

    def part(self) -> PartialFile:
        """What has come of it so far."""
        return PartialFile(self.fs, self.path + PART)

    @contextlib.contextmanager
    def page(self) -> Iterator[PartialFile]:
        """A file for what one reads on the way, gone at the end."""
        with self.scratch() as area, PartialFile(self.fs, f"{area}/page") as file:
            yield file

    def take(self, file: str) -> str:
        """Move a file of our own to where it belongs, if it is the right one.  Returns the digest that it has."""
        found = hash_file(file)
        if not self.digest:
            self._cache.make(LOCKS)
            self._cache.make(found)
            self.digest, self.path = found, f"{self._cache.directory}/{found}/{self.name}"
        if found == self.digest:
            self.fs.chmod(file, 0o644)
            self.fs.replace(file, self.path)
        return found

    def discard(self) -> None:
        """Forget what has come so far."""
        self.fs.remove_tree(self.path + PART)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """A directory for programs that choose names themselves, gone at the end."""
        with self.fs.scratch(os.path.dirname(self.path)) as area:
            yield area


def look_into(directories: Sequence[str], names: Sequence[str], digest: str) -> tuple[str, list[str]]:
    """The file of the right content under one of the names, "" if there is none; and those whose content is wrong."""
    wrong: list[str] = []
    for directory in directories:
        for name in dict.fromkeys(names):
            path = os.path.join(os.path.abspath(directory), name)
            if os.path.isfile(path):
                if _is(path, digest):
                    return path, wrong
                wrong.append(path)
    return "", wrong


def _is(path: str, digest: str) -> bool:
    try:
        return hash_file(os.path.realpath(path)) == digest
    except OSError:
        return False
