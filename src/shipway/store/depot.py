"""The depot: a user's images of what is the same in every prefix, for all his prefixes to link from.

images/KEY/manifest, images/KEY/tree/…     an image, named for what it was made from; it has its name when it is complete
filling/TOKEN/…, filling/TOKEN.lock        what a process is making, or removing, as long as it holds the lock

It is a cache: whoever cannot read or write it does without, and it may be removed at any time, also while others link from it.  They
then find files missing and make what they need themselves.  Files may be hard links of live ones, so before each use size, mode and mtime
are compared with the manifest (`store.link`), and what somebody has written into is made anew.

What another user could have put there is not trusted: the directories must be ours, or root's, and closed to others' writing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from shipway.errors import LockedError, ShipwayError
from shipway.fs.lock import FileLock, forget, is_locked
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.model.entry import Directory, Entry, Manifest, encode_listing

FORMAT = 1
MANIFEST = "manifest"
TREE = "tree"
MODE = 0o700
_PATIENCE = 10.0
"""Seconds; a new lock may be held for an instant by somebody who looks whether its process lives."""
_TOKEN = re.compile(r"[0-9a-f]{16}\Z")
_UNFIT = stat.S_IWGRP | stat.S_IWOTH


class Kept(NamedTuple):
    """An image that can be linked from: its tree, what is in it, and what whoever made it wants to know again."""

    tree: str
    manifest: Manifest
    about: Mapping[str, Any]


class Depot:
    """The images in a directory, which need not be there yet; "" for no depot at all."""

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self.fs = fs
        self.directory = directory
        self.images = f"{directory}/images"
        self._filling = f"{directory}/filling"

    def find(self, key: str) -> Kept | None:
        """An image, which counts as used now; None if there is none that can be trusted."""
        place = self.place(key)
        if not (self.directory and _is_fit(self.images) and _is_fit(place)):
            return None
        found = load(place)
        with suppress(OSError):
            self.fs.utime(f"{place}/{MANIFEST}", time.time_ns())
        return found

    def place(self, key: str) -> str:
        """Where the image of this key lies, if it does."""
        return f"{self.images}/{key}"

    @contextmanager
    def workshop(self) -> Iterator[str]:
        """A directory to make images in, gone afterwards.  Raises OSError or ShipwayError where there can be none.

        What dead processes left in theirs is removed first.
        """
        if not self.directory:
            raise ShipwayError("there is no cache")
        for directory in (self.images, self._filling):
            make_directories(directory, MODE, self.fs.mkdir)
            if not _is_fit(directory):
                raise ShipwayError(f"{directory} belongs to somebody else, or is open to others")
        self._sweep()
        token = os.urandom(8).hex()
        lock = FileLock(f"{self._filling}/{token}.lock", what="a cache")
        lock.acquire(wait=_PATIENCE)
        try:
            self.fs.mkdir(f"{self._filling}/{token}", MODE)
            yield f"{self._filling}/{token}"
        finally:
            self._remove(token)
            lock.release()

    @contextmanager
    def on_disk(self, workshop: str) -> Iterator[None]:
        """Have on disk, at the end of the block, what was made in it: before it gets its name.  Raises OSError."""
        descriptor = self.fs.open_for_sync(workshop)
        try:
            yield
            self.fs.sync(descriptor)
        finally:
            os.close(descriptor)

    def describe(self, made: str, kept: Kept) -> None:
        """Write the manifest of an image that was made in a workshop (`made`, its tree in it)."""
        self.fs.write_file(f"{made}/{MANIFEST}", encode(kept), 0o600)

    def keep(self, key: str, made: str, kept: Kept) -> Kept:
        """Give such an image its name; whoever comes second uses the first's."""
        try:
            self.fs.place(made, self.place(key))
        except FileExistsError:
            first = self.find(key)
            if first is not None:
                return first
            self.drop(key, os.path.dirname(made))
            self.fs.take(made, self.place(key))
        return kept._replace(tree=f"{self.place(key)}/{TREE}")

    def drop(self, key: str, workshop: str) -> None:
        """Remove an image; whoever links from it at this moment finds the rest missing."""
        aside = f"{workshop}/{key}-{os.urandom(4).hex()}"
        with suppress(FileNotFoundError):
            self.fs.take(self.place(key), aside)
            with suppress(OSError, ExceptionGroup):
                self.fs.remove_tree(aside)

    def _sweep(self) -> None:
        for token in {name.removesuffix(".lock") for name in os.listdir(self._filling)}:
            lock = FileLock(f"{self._filling}/{token}.lock")
            with suppress(LockedError, OSError):
                if _TOKEN.match(token) and not is_locked(lock.path):
                    lock.acquire(wait=0)
                    self._remove(token)
            lock.release()

    def _remove(self, token: str) -> None:
        with suppress(OSError, ExceptionGroup):
            self.fs.remove_tree(f"{self._filling}/{token}")
            forget(f"{self._filling}/{token}.lock")


def directory_of(environment: Mapping[str, str] = os.environ) -> str:
    """Shipway's cache of this user: SHIPWAY_CACHE, else below XDG_CACHE_HOME, else ~/.cache; "" for a user without a home."""
    if environment.get("SHIPWAY_CACHE"):
        return os.path.abspath(environment["SHIPWAY_CACHE"])
    above = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{above}/shipway" if os.path.isabs(above) else ""


def load(place: str) -> Kept | None:
    """The image that lies at a place; None if there is none, or its manifest is damaged."""
    try:
        with open(f"{place}/{MANIFEST}", "rb") as file:
            return decode(file.read(), f"{place}/{TREE}")
    except OSError:
        return None


def encode(kept: Kept) -> bytes:
    """An image as its manifest file has it: the SHA-256 of the rest, what is known about it, then its listings, a line each."""
    listings = ",\n".join(
        f"[{json.dumps(path)},{json.dumps(directory.digest)},{encode_listing(directory)}]"
        for path, directory in kept.manifest.directories.items()
    )
    rest = f'{{"about":{json.dumps(dict(kept.about))},\n"listings":[\n{listings}\n]}}\n'.encode()
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def decode(data: bytes, tree: str) -> Kept | None:
    """The inverse of `encode`; None if what is there is damaged."""
    digest, _, rest = data.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        return None
    said = json.loads(rest)
    directories = {
        path: Directory({row[0]: Entry(*row) for row in rows}, digest) for path, digest, rows in said["listings"]
    }
    return Kept(tree, Manifest(directories), said["about"])


def _is_fit(directory: str) -> bool:
    """Whether nobody else could have put something into a directory."""
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid in (os.geteuid(), 0) and not status.st_mode & _UNFIT
