"""Garbage: undo areas beyond the horizon, images that nothing refers to, remains of dead sessions.

What goes is first marked in the record, under the prefix lock; deleting comes after the lock is released.  Undo areas are
deleted where they lie: one that a killed collection left is known for what it is by its mark, and the next one goes on with it.
The manifests that say what belongs into it stay recorded until it is gone, so that what a program wrote there is told
from what was taken out (`salvage`).  Images are set aside by one rename each: half of one must not pass for it.

What cannot be removed (it is immutable, another user's, a mount point) stays where it is, is told, and is tried again by
the next collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from shipway.errors import CorruptError, LockedError
from shipway.fs.lock import is_locked
from shipway.prefix import leases
from shipway.prefix.finish import sweep_bytecode
from shipway.prefix.leftover import Leftover, explain, given_up, remove
from shipway.prefix.records import Row, State
from shipway.prefix.recover import recover_locked
from shipway.prefix.salvage import Salvage, Salvaged, images_needed
from shipway.prefix.session import Session, abandoned, images_to_give_back, is_alive, sessions
from shipway.prefix.site import Site


class Collected(NamedTuple):
    """What a collection removed: numbers of transactions, names of images, strays saved to lost+found; and what it could not.

    `earlier` are paths that an earlier collection had left, and that are gone now.
    """

    transactions: tuple[int, ...]
    images: tuple[str, ...]
    strays: tuple[str, ...]
    left: tuple[Leftover, ...] = ()
    earlier: tuple[str, ...] = ()


def beyond(rows: list[Row], keep: int, keep_bytes: int) -> list[Row]:
    """The transactions whose undo areas go: all but the last `keep`, and but those that fit into `keep_bytes`."""
    kept = [row for row in rows if row.undo != "collected" and row.state in (State.DONE, State.UNDONE)]
    going, total = [], 0
    for position, row in enumerate(reversed(kept)):
        total += row.bytes
        if position >= keep or total > keep_bytes:
            going.append(row)
    return going


def collect_beyond_horizon(site: Site) -> Collected:
    """The collection after every commit: only if the horizon has moved, and only if nobody holds the lock.

    Of what could not be removed it tells what is new; `gc` and `doctor` tell all.  Raises LockedError where somebody was faster.
    """
    options, undo = site.options, site.layout.undo
    rows = site.database.transactions(collected=False)
    if not beyond(rows, options.keep, options.keep_bytes) or is_locked(site.layout.lock):
        return Collected((), (), ())
    before = set(os.listdir(undo))
    done = collect(site._replace(options=options._replace(wait=0)), options.keep, options.keep_bytes)
    known = before - set(map(str, done.transactions))
    new = [left for left in done.left if left.path.startswith(f"{undo}/") and _name(undo, left.path) not in known]
    return done._replace(left=tuple(new))


def _name(undo: str, path: str) -> str:
    return path[len(undo) + 1 :].partition("/")[0]


def collect(site: Site, keep: int, keep_bytes: int) -> Collected:
    """Collect; waits for the prefix lock."""
    return _collect(site, lambda rows: beyond(rows, keep, keep_bytes))


def forget(site: Site, number: int) -> Collected:
    """Collect the undo area of one transaction, whatever the horizon; waits for the prefix lock."""
    return _collect(site, lambda rows: [row for row in beyond(rows, 0, 0) if row.id == number])


def _collect(site: Site, choose: Callable[[list[Row]], list[Row]]) -> Collected:
    """Looking for the living among the leases removes the files of the dead; not under another lock."""
    with Session(site) as session:
        collection = _Collection(site, session)
        lock = site.prefix_lock()
        lock.acquire(wait=site.options.wait, on_wait=site.on_wait)
        try:
            recover_locked(site)
            collection.give_up(choose)
        finally:
            lock.release()
        collection.delete()
    with contextlib.suppress(LockedError):
        leases.live(site.layout.leases)
    return collection.done


class _Collection:
    """One run of the collector: `give_up` under the prefix lock, then `delete`."""

    def __init__(self, site: Site, session: Session) -> None:
        self.site = site
        self.session = session
        self.done = Collected((), (), (), tuple(abandoned(site.layout)))
        self._unlisted: list[tuple[str, int, str]] = []
        """Images that nothing refers to, with the refs and tokens of their rows."""

    def give_up(self, choose: Callable[[list[Row]], list[Row]]) -> None:
        """Mark what goes, and set aside images; nothing can be undone from it any longer."""
        site = self.site
        rows = site.database.transactions(collected=False)
        going = [row for row in choose(rows) if self._is_ours(site.layout.undo_of(row.id))]
        for row in rows:
            if row.undo == "kept" and row.state is State.DONE:
                sweep_bytecode(site, site.database.steps(row.ref))
        if going:
            site.database.collected(row.ref for row in going)
        images = self._set_images_aside()
        self.done = self.done._replace(transactions=tuple(row.id for row in going), images=tuple(images))

    def delete(self) -> None:
        """Delete what was given up, now or by an earlier collection that did not come to its end."""
        for path, row in given_up(self.site.layout, self.site.database):
            if row is None or os.path.basename(path) in map(str, self.done.transactions) or self._is_ours(path):
                self._note(path, self._deleted(path, row))
        for left in self.session.clear():
            self.done = self.done._replace(left=(*self.done.left, left))
        needed = {
            image
            for _, row in given_up(self.site.layout, self.site.database)
            if row
            for image in images_needed(self.site, row)
        }
        self.site.database.forget_images((ref, token) for name, ref, token in self._unlisted if name not in needed)

    def _deleted(self, path: str, row: Row | None) -> Salvaged:
        if row is None:
            return Salvaged((), remove(self.site.fs, path))
        try:
            return Salvage(self.site, row).remove(path)
        except CorruptError as error:
            problem = f"what transaction {row.id} had taken out is not known ({error.message})"
            return Salvaged((), Leftover(path, problem, "look into it, then remove it yourself"))

    def _note(self, path: str, salvaged: Salvaged) -> None:
        done = self.done
        left = (*done.left, salvaged.left) if salvaged.left else done.left
        is_gone = not salvaged.left and os.path.basename(path) not in map(str, done.transactions)
        earlier = (*done.earlier, path) if is_gone else done.earlier
        self.done = done._replace(strays=done.strays + salvaged.saved, left=left, earlier=earlier)

    def _is_ours(self, path: str) -> bool:
        """Whether we may move a directory of the state away; what another user's commit made is left to him, and told."""
        error = self.site.fs.can_move(path, self.session.full)
        if error is None or error.errno not in (errno.EACCES, errno.EPERM):
            return True
        left = explain([error], path)
        self.done = self.done._replace(left=(*self.done.left, left))
        return False

    def _set_images_aside(self) -> list[str]:
        """Drop images that nothing refers to; those of living sessions may be about to be committed."""
        site = self.site
        used = site.database.used_images() | images_to_give_back(site.layout)
        rows = list(site.database.images())
        busy = {name for _, name, token, _ in rows if token and is_alive(site.layout, token)}
        others = any(is_alive(site.layout, token) for token in sessions(site.layout) - {self.session.token})
        unused = [name for name in os.listdir(site.layout.images) if name not in used and name not in busy]
        dropped = []
        for name in unused:
            there = f"{site.layout.images}/{name}"
            known = not others or any(n == name for _, n, _, _ in rows)
            if os.path.isdir(there) and known and self._is_ours(there) and self._set_image_aside(name, there):
                dropped.append(name)
        left = set(os.listdir(site.layout.images))
        self._unlisted = [(n, ref, t) for ref, n, t, _ in rows if n not in left and n not in busy and n not in used]
        return dropped

    def _set_image_aside(self, name: str, there: str) -> bool:
        """False, and the image is back, if a session has claimed it meanwhile."""
        aside = f"{self.session.area}/image-{name}"
        set_aside(self.site, there, aside)
        if not any(is_alive(self.site.layout, token) for _, _, token, _ in self.site.database.images(name) if token):
            return True
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            self.site.fs.place(aside, there)
        return False


def set_aside(site: Site, there: str, aside: str) -> None:
    """Move a directory of ours away by one rename; in an overlay's lower layer it cannot be moved, and is removed there."""
    try:
        site.fs.take(there, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        remove(site.fs, there)
