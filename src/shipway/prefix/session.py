"""A session: one process at work on a prefix, with a staging area of its own and a lock that says it lives.

What a dead session leaves is found by its lock being free.  Before its commit point that is only a staging area, and
perhaps a tree that `--move` had taken: the tree goes back where it came from.
"""

from __future__ import annotations

import json
import os
import re
from typing import Self

from shipway.errors import LockedError, ShipwayError
from shipway.fs.lock import FileLock, forget, is_locked
from shipway.fs.system import FileSystem
from shipway.prefix.layout import Layout
from shipway.prefix.site import Site

ORIGIN = "origin"
PATIENCE = 10.0
"""Seconds; a new session's lock may be held for an instant by somebody who looks whether it is alive."""
FULL = "full"
_TOKEN = re.compile(r"[0-9a-f]{16}\Z")


class Session:
    """The staging area `work/TOKEN` and its lock, from `open` to `close`.

    While it is `needed` a transaction past its commit point lives from it: if its process has to stop, all is left to recovery.
    """

    def __init__(self, site: Site) -> None:
        self.needed = False
        self._fs = fs = site.fs
        layout = site.layout
        self.token = os.urandom(8).hex()
        self.area = layout.session(self.token)
        self._lock = FileLock(layout.session_lock(self.token), site.lock_mode, what="a session")
        self._lock.acquire(wait=PATIENCE)
        try:
            fs.mkdir(self.area, site.private_mode)
            fs.mkdir(self.full, site.private_mode)
            fs.write_file(f"{self.full}/never-empty", b"see FileSystem.can_move\n", 0o600)
        except BaseException:
            self.close()
            raise

    @property
    def full(self) -> str:
        """A directory that is never empty, for `FileSystem.can_move`."""
        return f"{self.area}/{FULL}"

    def remember_origin(self, tree: str, *places: str) -> None:
        """Write down, durably, where a tree that is about to be taken came from, and where it may lie."""
        path = f"{self.area}/{ORIGIN}"
        self._fs.write_file(f"{path}.new", json.dumps([tree, *places]).encode(), 0o600)
        self._fs.flush(f"{path}.new")
        self._fs.replace(f"{path}.new", path)
        self._fs.flush(self.area)

    def forget_origin(self) -> None:
        """The tree is ours for good, or was given back."""
        forget(f"{self.area}/{ORIGIN}")

    def clear(self) -> None:
        """Empty the staging area; the session stays."""
        for name in os.listdir(self.area):
            if name not in (ORIGIN, FULL):
                self._fs.remove_tree(f"{self.area}/{name}")

    def close(self) -> None:
        """Remove what is left of the staging area, unless it is needed, and end."""
        if not self.needed:
            self._fs.remove_tree(self.area)
            forget(self._lock.path)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def is_token(name: str) -> bool:
    """Whether this names a session; whatever else lies in `work/` is not ours."""
    return _TOKEN.match(name) is not None


def is_alive(layout: Layout, token: str) -> bool:
    """Whether the process of a session still lives (by its lock, which the kernel holds)."""
    return is_locked(layout.session_lock(token))


def sweep(fs: FileSystem, layout: Layout, needed: frozenset[str], used_images: frozenset[str]) -> list[str]:
    """Remove what dead sessions left, but for those whose token is `needed`; returns what there is to tell.

    Call under the prefix lock.  A tree that `--move` had taken is put back first, unless it has become an image in use.
    """
    told = []
    kept = {layout.image(name) for name in used_images}
    for name in sorted(os.listdir(layout.work)):
        token = name.removesuffix(".lock")
        lock = FileLock(layout.session_lock(token), what="a session")
        if not is_token(token) or token in needed or not _obtained(lock):
            continue
        try:
            area = layout.session(token)
            if os.path.isdir(area):
                told += _give_back(fs, layout, token, kept)
                fs.remove_tree(area)
            forget(lock.path)
        finally:
            lock.release()
    return told


def _obtained(lock: FileLock) -> bool:
    """Whether a session is dead: its lock is ours now, so that one just being born makes itself another."""
    try:
        lock.acquire(wait=0)
    except LockedError:
        return False
    return True


def _texts(value: object) -> list[str]:
    """A note's tree and its places.  Raises ValueError or TypeError if it is none."""
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise TypeError("it is no list of paths")
    for text in value:
        if "\0" in text or not os.path.isabs(os.fsencode(text)):
            raise ValueError(f"{text!r} is no absolute path")
    return value


def _give_back(fs: FileSystem, layout: Layout, token: str, kept: set[str]) -> list[str]:
    area = layout.session(token)
    try:
        with open(f"{area}/{ORIGIN}", "rb") as note:
            tree, *places = _texts(json.load(note))
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, RecursionError) as error:
        hint = f"look into {area}, then remove it"
        raise ShipwayError(f"{area}/{ORIGIN} cannot be read: {error}", hint=hint) from error
    ours = [p for p in places if os.path.normpath(p).startswith((f"{area}/", f"{layout.images}/"))]
    place = next((p for p in ours if os.path.lexists(p) and p not in kept), None)
    if place is None:
        return []
    try:
        fs.place(place, tree)
    except OSError as error:
        raise ShipwayError(
            f"an interrupted --move had taken {tree}; it cannot be put back: {error.strerror}",
            hint=f"move {place} where you want it, then run the command again",
        ) from error
    return [f"an interrupted merge --move had taken {tree}: it is back"]
