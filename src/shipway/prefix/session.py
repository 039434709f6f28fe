"""A session: one process at work on a prefix, with a staging area of its own and a lock that says it lives.

What a dead session leaves is found by its lock being free.  Before its commit point that is only a staging area, and
perhaps a tree that `--move` had taken: the tree goes back where it came from.  What cannot be removed, or given back, never makes
somebody else's command fail: it is told, and tried again later.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Self

from shipway.errors import LockedError, ShipwayError
from shipway.fs.lock import FileLock, forget, holders, is_locked
from shipway.prefix.layout import Layout
from shipway.prefix.leftover import Leftover, as_owner, discard, owner
from shipway.prefix.salvage import discard_area
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
        self._site, self._fs = site, site.fs
        fs, layout = site.fs, site.layout
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

    def clear(self) -> list[Leftover]:
        """Empty the staging area; the session stays.  Returns what could not be removed."""
        names = [name for name in os.listdir(self.area) if name not in (ORIGIN, FULL)]
        return [left for name in names if (left := self.discard(f"{self.area}/{name}"))]

    def discard(self, path: str) -> Leftover | None:
        """Remove something of the staging area; what cannot be removed is out of the way, and returned."""
        return discard(self._fs, self._site.layout, path, self.token)

    def close(self) -> None:
        """Remove what is left of the staging area, unless it is needed, and end."""
        try:
            if not self.needed:
                self._remove()
        finally:
            self._lock.release()

    def _remove(self) -> None:
        """Where the record cannot be read, and has to be, all is left to `sweep`."""
        with contextlib.suppress(LockedError):
            discard_area(self._site, self.token)
            forget(self._lock.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def is_token(name: str) -> bool:
    """Whether this names a session; whatever else lies in `work/` is not ours."""
    return _TOKEN.match(name) is not None


def is_alive(layout: Layout, token: str) -> bool:
    """Whether the process of a session still lives (by its lock, which the kernel holds).

    Another user's, whose lock may not be opened, is taken to: it is his to clear away.
    """
    try:
        return is_locked(layout.session_lock(token))
    except PermissionError:
        return True


def is_dead(layout: Layout, token: str) -> bool:
    """Whether it does not."""
    return not is_alive(layout, token)


def sessions(layout: Layout) -> set[str]:
    """The tokens of all sessions that there is something of, living or dead."""
    return {token for name in os.listdir(layout.work) if is_token(token := name.removesuffix(".lock"))}


def is_abandoned(layout: Layout, token: str) -> bool:
    """Whether a session is dead, and another user's, so that only he may finish or clear away what it left."""
    lock = layout.session_lock(token)
    return os.path.exists(lock) and not os.access(lock, os.R_OK | os.W_OK) and not holders(lock)


def heir(layout: Layout, token: str) -> str:
    """Who may do what a dead session left to do, as a hint says it."""
    return f"`shipway recover` {as_owner(layout.session_lock(token))}"


def abandoned(layout: Layout) -> list[Leftover]:
    """What dead sessions of other users left."""
    found = []
    for token in sorted(sessions(layout)):
        if is_abandoned(layout, token):
            problem = f"a dead process of {owner(layout.session_lock(token))} left it"
            found.append(Leftover(layout.session(token), problem, f"{heir(layout, token)} clears it away"))
    return found


def sweep(site: Site, needed: frozenset[str]) -> list[str]:
    """Remove what dead sessions left, but for those whose token is `needed`; returns what there is to tell.

    Call under the prefix lock.  A tree that `--move` had taken is put back first, unless it has become an image in use.
    """
    told = []
    kept = {site.layout.image(name) for name in site.database.used_images()}
    for token in sorted(sessions(site.layout) - needed):
        lock = FileLock(site.layout.session_lock(token), what="a session")
        if not _obtained(lock):
            continue
        try:
            told += _clear_away(site, token, kept)
            forget(lock.path)
        finally:
            lock.release()
    return told


def _obtained(lock: FileLock) -> bool:
    """Whether a session is dead, and ours to clear away: its lock is ours now, so that one just being born makes itself another."""
    try:
        lock.acquire(wait=0)
    except (LockedError, PermissionError):
        return False
    return True


def _clear_away(site: Site, token: str, kept: set[str]) -> list[str]:
    area = site.layout.session(token)
    if not os.path.isdir(area):
        return []
    try:
        told = _give_back(site, token, kept)
    except _KeptError as error:
        site.tell("unfinished", str(error))
        return []
    discard_area(site, token)
    return told


class _KeptError(Exception):
    """A tree that `--move` had taken cannot be given back now; says why, and what to do."""


def _texts(value: object) -> list[str]:
    """A note's tree and its places.  Raises ValueError or TypeError if it is none."""
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise TypeError("it is no list of paths")
    for text in value:
        if "\0" in text or not os.path.isabs(os.fsencode(text)):
            raise ValueError(f"{text!r} is no absolute path")
    return value


def _taken(layout: Layout, token: str) -> tuple[str, list[str]]:
    """The tree that a session had taken, and where it may lie now; "" if it took none.

    Raises ShipwayError if that cannot be read: nobody knows then what must not be removed.
    """
    area = layout.session(token)
    try:
        with open(f"{area}/{ORIGIN}", "rb") as note:
            tree, *places = _texts(json.load(note))
    except FileNotFoundError:
        return "", []
    except (ValueError, TypeError, RecursionError) as error:
        hint = f"look into {area}, then remove it"
        raise ShipwayError(f"{area}/{ORIGIN} cannot be read: {error}", hint=hint) from error
    ours = [p for p in places if os.path.normpath(p).startswith((f"{area}/", f"{layout.images}/"))]
    return tree, [place for place in ours if os.path.lexists(place)]


def _give_back(site: Site, token: str, kept: set[str]) -> list[str]:
    tree, places = _taken(site.layout, token)
    place = next((place for place in places if place not in kept), None)
    if place is None:
        return []
    try:
        site.fs.place(place, tree)
    except OSError as error:
        raise _KeptError(
            f"an interrupted --move had taken {tree}; it cannot be put back: {error.strerror};"
            f" until it can, or you move it yourself, it waits in {place}"
        ) from error
    return [f"an interrupted merge --move had taken {tree}: it is back"]


def images_to_give_back(layout: Layout) -> set[str]:
    """The images that are trees which `--move` had taken, and which could not be given back yet."""
    found: set[str] = set()
    for token in sessions(layout):
        with contextlib.suppress(PermissionError):
            found.update(os.path.basename(os.path.dirname(place)) for place in _taken(layout, token)[1])
    return found
