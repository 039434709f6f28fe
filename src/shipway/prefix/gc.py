"""Garbage: undo areas beyond the horizon, images that nothing refers to, remains of dead sessions.

What goes is first marked in the record, under the prefix lock, and set aside by one rename each; deleting comes after the lock
is released.  A stray that a program wrote into an old directory later (its working directory was there) goes to
lost+found before the directory does.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from shipway.errors import LockedError
from shipway.fs.found import DIRECTORY
from shipway.fs.lock import is_locked
from shipway.fs.tree import make_directories
from shipway.model.entry import join
from shipway.prefix import leases
from shipway.prefix.finish import sweep_bytecode
from shipway.prefix.layout import staged
from shipway.prefix.library import Library
from shipway.prefix.records import Row, State, Step
from shipway.prefix.recover import recover_locked
from shipway.prefix.session import Session, is_alive
from shipway.prefix.site import Site
from shipway.store.compare import strays


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


def collect_beyond_horizon(site: Site) -> None:
    """The collection after every commit: only if the horizon has moved, and only if nobody holds the lock."""
    options = site.options
    rows = site.database.transactions()
    if beyond(rows, options.keep, options.keep_bytes):
        if is_locked(site.layout.lock):
            return
        collect(site, options.keep, options.keep_bytes)


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
            done = _set_aside(site, session, choose)
        finally:
            lock.release()
    with contextlib.suppress(LockedError):
        leases.live(site.layout.leases)
    return done


def _set_aside(site: Site, session: Session, choose: Callable[[list[Row]], list[Row]]) -> Collected:
    """Under the lock: mark and move; what lies in the session's area is deleted when it closes."""
    rows = site.database.transactions()
    going = choose(rows)
    for row in rows:
        if row.undo == "kept" and row.state is State.DONE:
            sweep_bytecode(site, site.database.steps(row.ref))
    saved = [path for row in going for path in _save_strays(site, row)]
    if going:
        site.database.collected(row.ref for row in going)
    gone = {row.id for row in rows if row.undo == "collected"} | {row.id for row in going}
    for name in os.listdir(site.layout.undo) if os.path.isdir(site.layout.undo) else ():
        if name.isdigit() and int(name) in gone:
            set_aside(site, f"{site.layout.undo}/{name}", f"{session.area}/undo-{name}")
    images = _set_images_aside(site, session)
    return Collected(tuple(row.id for row in going), tuple(images), tuple(saved))


def set_aside(site: Site, there: str, aside: str) -> None:
    """Move a directory of ours away by one rename; in an overlay's lower layer it cannot be moved, and is removed there."""
    try:
        site.fs.take(there, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        site.fs.remove_tree(there)


def _save_strays(site: Site, row: Row) -> list[str]:
    saved = []
    library = Library(site.database)
    for step in site.database.steps(row.ref):
        there = staged(site.layout.undo_of(row.id), step.seq)
        if step.unit.kind == DIRECTORY and os.path.isdir(there) and step.unit.replaces:
            saved += [_save(site, row, step, there, name) for name in _strays(library, step, there)]
    return saved


def _strays(library: Library, step: Step, there: str) -> list[str]:
    found = [set(strays(there, library(s.image).subtree(s.path), "")) for s in step.unit.replaces]
    names = set.intersection(*found)
    return sorted(n for n in names if not any(n.startswith(other + "/") for other in names))


def _save(site: Site, row: Row, step: Step, there: str, name: str) -> str:
    lost = f"{site.layout.lost}/{row.id}/{join(step.unit.path, name)}"
    make_directories(os.path.dirname(lost), 0o700, site.fs.mkdir)
    site.fs.take(f"{there}/{name}", lost)
    return lost


def _set_images_aside(site: Site, session: Session) -> list[str]:
    """Drop images that nothing refers to; those of living sessions may be about to be committed."""
    used = site.database.used_images()
    rows = site.database.images()
    busy = {name for _, name, token, _ in rows if token and is_alive(site.layout, token)}
    others = any(
        is_alive(site.layout, name)
        for name in {n.removesuffix(".lock") for n in os.listdir(site.layout.work)} - {session.token}
    )
    unused = [name for name in os.listdir(site.layout.images) if name not in used and name not in busy]
    dropped = []
    for name in unused:
        if os.path.isdir(f"{site.layout.images}/{name}") and (not others or any(n == name for _, n, _, _ in rows)):
            set_aside(site, f"{site.layout.images}/{name}", f"{session.area}/image-{name}")
            dropped.append(name)
    there = set(os.listdir(site.layout.images))
    site.database.forget_images(ref for ref, name, _, _ in rows if name not in there and name not in busy)
    return dropped
