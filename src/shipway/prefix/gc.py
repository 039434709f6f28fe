"""Garbage: undo areas beyond the horizon, images that nothing refers to, remains of dead sessions.

What goes is first marked in the record, under the prefix lock, and set aside by one rename each; deleting comes after the lock
is released.  A stray that a program wrote into an old directory later (its working directory was there) goes to
lost+found before the directory does, also one that it writes while the directory is being deleted.  What another
user's commit left and we may not move stays, and is told.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from shipway.errors import LockedError
from shipway.fs.found import DIRECTORY
from shipway.fs.lock import is_locked
from shipway.fs.tree import make_directories
from shipway.model.derived import is_derived
from shipway.model.entry import Manifest, join
from shipway.prefix import leases
from shipway.prefix.finish import sweep_bytecode
from shipway.prefix.layout import staged
from shipway.prefix.library import Library
from shipway.prefix.records import Row, State
from shipway.prefix.recover import recover_locked
from shipway.prefix.session import Session, is_alive, is_token
from shipway.prefix.site import Site
from shipway.store.compare import strays

_ROUNDS = 1000
"""Looks for what came while an undo area was deleted: each finds more only if somebody wrote meanwhile."""


class Collected(NamedTuple):
    """What a collection removed: numbers of transactions, names of images, strays saved to lost+found."""

    transactions: tuple[int, ...]
    images: tuple[str, ...]
    strays: tuple[str, ...]


def beyond(rows: list[Row], keep: int, keep_bytes: int) -> list[Row]:
    """The transactions whose undo areas go: all but the last `keep`, and but those that fit into `keep_bytes`."""
    kept = [row for row in rows if row.undo != "collected" and row.state in (State.DONE, State.UNDONE)]
    going, total = [], 0
    for position, row in enumerate(reversed(kept)):
        total += row.bytes
        if position >= keep or total > keep_bytes:
            going.append(row)
    return going


def collect_beyond_horizon(site: Site) -> tuple[str, ...]:
    """The collection after every commit: only if the horizon has moved, and only if nobody holds the lock.

    Returns the strays that were saved to lost+found.
    """
    options = site.options
    rows = site.database.transactions(collected=False)
    if beyond(rows, options.keep, options.keep_bytes) and not is_locked(site.layout.lock):
        return collect(site, options.keep, options.keep_bytes).strays
    return ()


def collect(site: Site, keep: int, keep_bytes: int) -> Collected:
    """Collect; waits for the prefix lock."""
    return _collect(site, lambda rows: beyond(rows, keep, keep_bytes))


def forget(site: Site, number: int) -> Collected:
    """Collect the undo area of one transaction, whatever the horizon; waits for the prefix lock."""
    return _collect(site, lambda rows: [row for row in beyond(rows, 0, 0) if row.id == number])


def _collect(site: Site, choose: Callable[[list[Row]], list[Row]]) -> Collected:
    """Looking for the living among the leases removes the files of the dead; not under another lock."""
    with Session(site) as session:
        lock = site.prefix_lock()
        lock.acquire(wait=site.options.wait, on_wait=site.on_wait)
        try:
            recover_locked(site)
            done, taken = _set_aside(site, session, choose)
        finally:
            lock.release()
        late = [path for each in taken for path in each.delete(f"{session.area}/undo-{each.number}")]
        done = done._replace(strays=(*done.strays, *late))
    with contextlib.suppress(LockedError):
        leases.live(site.layout.leases)
    return done


def _set_aside(
    site: Site, session: Session, choose: Callable[[list[Row]], list[Row]]
) -> tuple[Collected, list[_Taken]]:
    """Under the lock: mark and move to the session's area; what lies there is deleted when the lock is free again."""
    rows = site.database.transactions(collected=False)
    going = [row for row in choose(rows) if _is_ours(site, session, site.layout.undo_of(row.id))]
    for row in rows:
        if row.undo == "kept" and row.state is State.DONE:
            sweep_bytecode(site, site.database.steps(row.ref))
    taken = [_Taken(site, row) for row in going]
    saved = [path for each in taken for path in each.save_strays(site.layout.undo_of(each.number))]
    if going:
        site.database.collected(row.ref for row in going)
    for name in os.listdir(site.layout.undo) if os.path.isdir(site.layout.undo) else ():
        if _is_collected(site, name) and _is_ours(site, session, f"{site.layout.undo}/{name}"):
            set_aside(site, f"{site.layout.undo}/{name}", f"{session.area}/undo-{name}")
    images = _set_images_aside(site, session)
    return Collected(tuple(row.id for row in going), tuple(images), tuple(saved)), taken


def _is_collected(site: Site, name: str) -> bool:
    """Whether a name in undo/ is that of a transaction that was collected, be it by somebody killed before it was removed."""
    row = site.database.transaction(int(name)) if name.isdigit() else None
    return row is not None and row.undo == "collected"


def set_aside(site: Site, there: str, aside: str) -> None:
    """Move a directory of ours away by one rename; in an overlay's lower layer it cannot be moved, and is removed there."""
    try:
        site.fs.take(there, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        site.fs.remove_tree(there)


def _is_ours(site: Site, session: Session, path: str) -> bool:
    """Whether we may move a directory of the state away; what another user's commit made is left to him, and told."""
    error = site.fs.can_move(path, session.full)
    if error is None or error.errno not in (errno.EACCES, errno.EPERM):
        return True
    site.tell("note", f"{path} was left by another user and is not ours to remove; `shipway gc` as that user does")
    return False


class _Taken:
    """What a transaction took out, wherever its undo area lies; made before the images it came from are forgotten."""

    def __init__(self, site: Site, row: Row) -> None:
        library = Library(site.database)
        self.site = site
        self.number = row.id
        self.parts = {
            os.path.basename(staged("", step.seq)): (
                step.unit.path,
                [library(source.image).subtree(source.path) for source in step.unit.replaces],
            )
            for step in site.database.steps(row.ref)
            if step.unit.kind == DIRECTORY and step.unit.replaces
        }

    def save_strays(self, area: str) -> list[str]:
        """Move what belongs to nothing that was taken out from an undo area to lost+found; returns where it is."""
        saved = []
        for part, (path, manifests) in self.parts.items():
            there = f"{area}/{part}"
            if os.path.isdir(there):
                saved += [self._save(f"{there}/{name}", join(path, name)) for name in _strays(there, manifests)]
        return saved

    def _save(self, there: str, path: str) -> str:
        wanted = f"{self.site.layout.lost}/{self.number}/{path}"
        make_directories(os.path.dirname(wanted), 0o700, self.site.fs.mkdir)
        lost = next(free for free in _names(wanted) if not os.path.lexists(free))
        self.site.fs.take(there, lost)
        return lost

    def delete(self, area: str) -> list[str]:
        """Delete an undo area that was set aside.  What a program that works in there creates meanwhile is saved."""

        def is_stray(path: str) -> bool:
            part, _, name = path[len(area) + 1 :].partition("/")
            manifests = self.parts[part][1] if part in self.parts else []
            return bool(manifests) and all(m.entry(name) is None for m in manifests) and not is_derived(name)

        saved = []
        for _ in range(_ROUNDS):
            self.site.fs.remove_tree(area, is_stray)
            if not os.path.isdir(area):
                break
            saved += self.save_strays(area)
        return saved


def _strays(there: str, manifests: list[Manifest]) -> list[str]:
    names = set.intersection(*(set(strays(there, manifest, "")) for manifest in manifests))
    return sorted(n for n in names if not any(n.startswith(other + "/") for other in names))


def _names(path: str) -> Iterator[str]:
    """A name, then the same with numbers: a program may write a file again that was saved already."""
    yield path
    yield from (f"{path}.{number}" for number in count(1))


def _set_images_aside(site: Site, session: Session) -> list[str]:
    """Drop images that nothing refers to; those of living sessions may be about to be committed."""
    used = site.database.used_images()
    rows = site.database.images()
    busy = {name for _, name, token, _ in rows if token and is_alive(site.layout, token)}
    others = any(
        is_alive(site.layout, name)
        for name in {n.removesuffix(".lock") for n in os.listdir(site.layout.work)} - {session.token}
        if is_token(name)
    )
    unused = [name for name in os.listdir(site.layout.images) if name not in used and name not in busy]
    dropped = []
    for name in unused:
        there = f"{site.layout.images}/{name}"
        known = not others or any(n == name for _, n, _, _ in rows)
        if os.path.isdir(there) and known and _is_ours(site, session, there):
            set_aside(site, there, f"{session.area}/image-{name}")
            dropped.append(name)
    left = set(os.listdir(site.layout.images))
    site.database.forget_images(ref for ref, name, _, _ in rows if name not in left and name not in busy)
    return dropped
