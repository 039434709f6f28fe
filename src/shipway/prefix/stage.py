"""Staging: everything a commit will rename, complete and checked, in the session's area beside the live tree.

Before the commit point nothing but this area is written.  What can be known to stand in a rename's way is asked here
too (the kernel itself is asked, see `FileSystem.can_move`), and all of it is told at once.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable

from shipway.errors import ShipwayError
from shipway.fs.found import DIRECTORY, FILE, Found, identity, look
from shipway.fs.hashing import hash_file
from shipway.fs.mount import mount_points
from shipway.fs.space import flags, free
from shipway.model.entry import Entry, Manifest, parent_of
from shipway.model.unit import Source, Unit, Verb
from shipway.prefix.inherit import Inheritance, finish, inherited, prepare
from shipway.prefix.journal import FALLBACK, content_of
from shipway.prefix.layout import saved, staged
from shipway.prefix.records import Step
from shipway.prefix.session import Session
from shipway.prefix.site import Site
from shipway.store.link import LinkMode, LinkRequest, link_all

MARGIN = 1 << 20
"""Bytes that must be free beyond what is staged, for the directories that renames may enlarge."""


class Stager:
    """Stages the units of one plan.  `fresh` are images sealed by this very session, whose files need no second look."""

    def __init__(
        self, site: Site, session: Session, mode: str, manifest: Callable[[str], Manifest], fresh: frozenset[str]
    ) -> None:
        self.site = site
        self.session = session
        self.mode = mode
        self.manifest = manifest
        self.fresh = fresh
        self.mounts: list[str] | None = None

    def stage(self, units: tuple[Unit, ...], overlays: tuple[tuple[str, Source], ...] = ()) -> list[Step]:
        """Stage every unit; returns the journal.  Raises ShipwayError with everything that stands in the way."""
        self._refuse_obstacles(units)
        coming = [(seq, unit) for seq, unit in enumerate(units) if unit.verb in (Verb.PLACE, Verb.SWAP)]
        passed_on = {
            p: inherited(self.site.layout.live(p), self.site.options.group)
            for p in {parent_of(unit.path) for _, unit in coming}
        }
        requests = [r for seq, u in coming for r in self._requests(seq, u, passed_on[parent_of(u.path)])]
        link_all(self.site.fs, requests, self.site.options.jobs)
        for seq, unit in coming:
            self._complete(seq, unit, passed_on[parent_of(unit.path)])
            self._overlay(seq, unit, overlays, passed_on[parent_of(unit.path)])
        return [self._step(seq, unit) for seq, unit in enumerate(units)]

    # -- content ---------------------------------------------------------------------------------------------

    def _requests(self, seq: int, unit: Unit, given: Inheritance) -> list[LinkRequest]:
        """What is to be linked out for one unit: the first source under its name, further ones beside it."""
        there = staged(self.session.area, seq)
        if given.needs_copies:
            holder = f"{self.session.area}/h{seq}"
            self.site.fs.mkdir(holder, 0o700)
            prepare(self.site.fs, holder, given)
            there = f"{holder}/new"
        requests = []
        for number, source in enumerate(unit.sources):
            if source.undo:
                self._from_undo(there, source.undo)
            else:
                requests.append(self._request(source, f"{there}.{number}" if number else there, given))
        return requests

    def _request(self, source: Source, there: str, given: Inheritance) -> LinkRequest:
        return LinkRequest(
            tree=self.site.layout.image(source.image),
            manifest=self.manifest(source.image),
            path=source.path,
            destination=there,
            how=LinkMode.COPY if given.needs_copies else self.site.options.link,
            copied=self._is_copied if self.site.options.copied else None,
            trusted=source.image in self.fresh,
            gid=given.gid,
            jobs=self.site.options.jobs,
        )

    def _complete(self, seq: int, unit: Unit, given: Inheritance) -> None:
        """After linking: several packages' parts become one, and what the destination passes on is set."""
        there = staged(self.session.area, seq)
        if given.needs_copies:
            holder = f"{self.session.area}/h{seq}"
            for name in os.listdir(holder):
                self.site.fs.take(f"{holder}/{name}", there + name.removeprefix("new"))
            self.site.fs.remove_tree(holder)
        for number in range(1, len(unit.sources)):
            self._merge(there, f"{there}.{number}")
        finish(self.site.fs, there, given)

    def _from_undo(self, there: str, taken: str) -> None:
        """Content that a commit took out comes back as a copy, so that the undo area stays what it was."""
        path = f"{self.site.layout.undo}/{taken}"
        found = look(path)
        if found is None:
            raise ShipwayError(f"{path} is gone; what it held cannot be given back")
        if found.kind == FILE:
            self.site.fs.copy_file(path, there, found.mode, found.mtime)
        else:
            self.site.fs.symlink(found.target, there)

    def _overlay(self, seq: int, unit: Unit, overlays: tuple[tuple[str, Source], ...], given: Inheritance) -> None:
        """Lay content from elsewhere over what a staged directory got from its sources."""
        for path, source in overlays:
            there = f"{staged(self.session.area, seq)}{path[len(unit.path) :]}"
            if not path.startswith(unit.path + "/") or not os.path.isdir(os.path.dirname(there)):
                continue
            if os.path.lexists(there):
                self.site.fs.unlink(there)
            if source.undo:
                self._from_undo(there, source.undo)
            else:
                link_all(self.site.fs, [self._request(source, there, given)], 1)

    def _merge(self, there: str, beside: str) -> None:
        """Lay a second package's part of a new directory into the first's; what both have is the same."""
        for name in os.listdir(beside):
            target, source = f"{there}/{name}", f"{beside}/{name}"
            if not os.path.lexists(target):
                self.site.fs.take(source, target)
            elif os.path.isdir(source) and not os.path.islink(source):
                self._merge(target, source)
        self.site.fs.remove_tree(beside)

    def _is_copied(self, path: str) -> bool:
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.site.options.copied)

    # -- the journal -----------------------------------------------------------------------------------------

    def _step(self, seq: int, unit: Unit) -> Step:
        area, live = self.session.area, self.site.layout.live(unit.path)
        there = identity(staged(area, seq)) if unit.verb in (Verb.PLACE, Verb.SWAP) else None
        here = identity(live) if unit.verb is not Verb.PLACE else None
        if (
            self.mode == FALLBACK
            and unit.verb is Verb.SWAP
            and here
            and there
            and {here.kind, there.kind} <= {"f", "l"}
        ):
            self._keep(live, saved(area, seq))
        new = self._content(unit.sources, unit, staged(area, seq)) if there else ""
        old = self._content(unit.replaces if not unit.keep else (), unit, live) if here else ""
        return Step(seq, unit, there, here, new, old)

    def _content(self, sources: tuple[Source, ...], unit: Unit, path: str) -> str:
        """What a side holds, for recovery: from the manifest where it says so, else read."""
        if unit.derived:
            return ""
        entry = self.manifest(sources[0].image).entry(sources[0].path) if sources and not sources[0].undo else None
        if entry is not None:
            return _named(entry)
        found = look(path)
        return content_of(path, found.kind) if found and found.kind != DIRECTORY else ""

    def _keep(self, live: str, kept: str) -> None:
        """Fall-back mode: the old content gets its second name before the commit point, or a copy of it is made."""
        try:
            self.site.fs.link(live, kept)
        except OSError:
            found = look(live)
            if found is None:
                raise
            _copy(self.site, live, kept, found)

    # -- obstacles -------------------------------------------------------------------------------------------

    def _refuse_obstacles(self, units: tuple[Unit, ...]) -> None:
        problems = [
            problem for parent in sorted({parent_of(u.path) for u in units}) for problem in self._closed(parent)
        ]
        problems += [f"{unit.path}: {problem}" for unit in units for problem in self._immovable(unit)]
        problems += _short_of_room(self.site.layout.work, len(units))
        if problems:
            raise ShipwayError("the prefix cannot be changed as planned", details=problems, hint="nothing was changed")

    def _closed(self, path: str) -> list[str]:
        """Why no name in a directory may come or go."""
        parent = self.site.layout.live(path)
        found = flags(parent)
        if found.immutable or found.append_only:
            return [f"{parent} is {'immutable' if found.immutable else 'append-only'} (see chattr)"]
        if not os.access(parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return [f"{parent}: no permission to write"]
        if self._mount_of(parent) != self._mount_of(self.site.layout.work):
            return [f"{parent} lies on another file system than {self.site.layout.state}, mounted there"]
        return []

    def _mount_of(self, path: str) -> str:
        """The mount point inside the prefix that a path lies on, or "" where it is the prefix's own."""
        if self.mounts is None:
            self.mounts = mount_points(self.site.layout.root)
        return max((p for p in self.mounts if path == p or path.startswith(p + "/")), key=len, default="")

    def _immovable(self, unit: Unit) -> list[str]:
        if unit.verb is Verb.RMDIR and self._mount_of(self.site.layout.live(unit.path)):
            return ["is a mount point, or lies in one"]
        if unit.verb in (Verb.PLACE, Verb.RMDIR):
            return []
        error = self.site.fs.can_move(self.site.layout.live(unit.path), self.session.full)
        if error is None or (unit.derived and isinstance(error, FileNotFoundError)):
            return []
        return [error.strerror or str(error)]


def _short_of_room(path: str, units: int) -> list[str]:
    room = free(path)
    problems = []
    if room.bytes < MARGIN + 4096 * units:
        problems.append(f"the disk is full ({room.bytes} bytes are left)")
    if room.inodes is not None and room.inodes < units + 16:
        problems.append(f"{room.inodes} inodes are left")
    return problems


def _named(entry: Entry) -> str:
    return f"-> {entry.target}" if entry.kind == "l" else entry.digest


def _copy(site: Site, live: str, kept: str, found: Found) -> None:
    if found.kind == FILE:
        before = hash_file(live)
        site.fs.copy_file(live, kept, found.mode, found.mtime)
        if hash_file(kept) != before:
            raise ShipwayError(
                f"{live} changes while it is read", hint="stop the program that writes it, then try again"
            )
    else:
        site.fs.symlink(found.target, kept)
