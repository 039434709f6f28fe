"""One transaction from request to the last note: commit, finish, regenerate what many packages share, collect."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from shipway.errors import LockedError
from shipway.fs.tree import make_directories
from shipway.model.entry import DIRECTORY, join, parent_of
from shipway.model.facts import INSTALLED, Installed
from shipway.model.generated import may_regenerate
from shipway.model.planning import Note, Plan
from shipway.model.unit import Source
from shipway.prefix import rescue
from shipway.prefix.change import ChangePlanner, Intent
from shipway.prefix.commit import Committed, Committer, Planned, Request, conflict_error
from shipway.prefix.finish import Finisher, HeldError
from shipway.prefix.gc import collect_beyond_horizon
from shipway.prefix.library import Library
from shipway.prefix.records import PackageChange, Step
from shipway.prefix.session import Session, is_dead
from shipway.prefix.site import Site
from shipway.store.link import LinkMode, LinkRequest, link_out

LATE = "was written into a directory that had been taken out; it is saved here"


class Outcome(NamedTuple):
    """What a transaction did.  `number` is 0 where everything was as wanted.  Times are in milliseconds."""

    number: int
    changes: tuple[PackageChange, ...]
    units: int
    notes: tuple[Note, ...]
    lock_ms: float = 0.0
    database_ms: float = 0.0
    interrupted: bool = False


class Work:
    """Runs transactions on a site.  `library` knows the images that were sealed for them."""

    def __init__(self, site: Site, library: Library, fresh_tokens: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.library = library
        self.fresh_tokens = fresh_tokens or {}

    """Tokens of the sessions that sealed images which are not recorded yet, by image."""

    def plan(self, intent: Intent) -> Plan:
        """The plan alone, for `--dry-run`: nothing is staged, conflicts are in it."""
        with Session(self.site) as session:
            return ChangePlanner(self.site, session, self.library, intent).preview()

    def check(self, intent: Intent) -> None:
        """Raise ConflictError if a transaction would meet conflicts as things are."""
        conflicts = self.plan(intent).conflicts
        if conflicts:
            raise conflict_error(conflicts)

    def run(self, intent: Intent, reason: str, *, undoes: int = 0) -> Outcome:
        """Carry an intent out.  Raises ConflictError, LockedError or ShipwayError with the prefix unchanged."""
        with Session(self.site) as session:
            planner = ChangePlanner(self.site, session, self.library, intent)
            return self.carry_out(session, Request(planner, partial(self._register, session.token), reason, undoes))

    def carry_out(self, session: Session, request: Request) -> Outcome:
        """Commit a request that is planned by whoever gives it, and do what follows a commit."""
        committed = Committer(self.site, session, self.library).commit(request)
        self.library.settle()
        if not committed.number:
            return Outcome(0, (), 0, committed.planned.plan.notes)
        notes = [*committed.planned.plan.notes, *self._finish(session, committed)]
        notes += self._regenerate(committed.steps)
        with suppress(LockedError):
            collected = collect_beyond_horizon(self.site)
            notes += [Note("stray", path, LATE) for path in collected.strays]
            notes += [Note("left", left.path, left.text) for left in collected.left]
        return Outcome(
            committed.number,
            package_changes(committed.planned),
            len(committed.steps),
            tuple(notes),
            committed.lock_ms,
            committed.database_ms,
            committed.interrupted,
        )

    def _finish(self, session: Session, committed: Committed) -> list[Note]:
        assert committed.journal is not None
        finisher = Finisher(self.site, committed.ref, committed.number, session.token, committed.journal)
        try:
            finisher.finish(committed.steps)
        except (LockedError, HeldError) as error:
            left = f"transaction {committed.number} is committed, and left to the next command to tidy up: {error}"
            finisher.notes.append(Note("unfinished", "", left))
        else:
            session.needed = False
        return finisher.notes

    def _regenerate(self, steps: list[Step]) -> list[Note]:
        """Bring up to date what many packages share; its module, and what it runs, is loaded only if there is any."""
        touched = self._touched(steps)
        if not touched:
            return []
        from shipway.prefix.regenerate import Surroundings, regenerate

        around = Surroundings(self.site.layout.root, self.site.layout.state)
        done = regenerate(self.site.fs, around, touched)
        return [Note("regenerated", note.regeneration.directory, str(note)) for note in done]

    def _register(self, token: str, planned: Planned) -> None:
        """Record the images this plan needs, and store what nobody owned before it is displaced."""
        database = self.site.database
        if planned.plan.backups is not None:
            self._store_backup(planned)
        for name, manifest in self.library.fresh.items():
            holder = self.fresh_tokens.get(name, token)
            if not database.claim_image(name, holder, partial(is_dead, self.site.layout)):
                database.register_image(name, manifest, holder)
        rescue.pin(self.site, planned.plan.units)

    def _store_backup(self, planned: Planned) -> None:
        """Copies of the files that somebody else put there: an image of its own, given back when the claim above goes."""
        manifest = planned.plan.backups
        assert manifest is not None
        name = manifest.image_name()
        self.library.add(name, manifest)
        request = LinkRequest(
            tree=self.site.layout.root,
            manifest=manifest,
            path="",
            destination=self.site.layout.image(name),
            how=LinkMode.COPY,
            for_image=True,
            trusted=False,
        )
        if not os.path.isdir(request.destination):
            make_directories(os.path.dirname(request.destination), 0o755, self.site.fs.mkdir)
            link_out(self.site.fs, request)

    def _touched(self, steps: list[Step]) -> list[str]:
        """The paths that came, changed or went, where that can matter to what many packages share."""
        paths = []
        for step in steps:
            if step.unit.kind != DIRECTORY:
                paths.append(step.unit.path)
                continue
            for source in (*step.unit.sources, *step.unit.replaces):
                paths += self._below(step.unit.path, source)
        return [path for path in paths if may_regenerate(parent_of(path))]

    def _below(self, path: str, source: Source) -> Iterator[str]:
        for directory, listing in self.library(source.image).subtree(source.path).directories.items():
            at = join(path, directory) if directory else path
            if may_regenerate(at):
                yield from (join(at, name) for name in listing.entries)


def package_changes(planned: Planned) -> tuple[PackageChange, ...]:
    """The packages that a plan changes, with their versions."""
    found = []
    for change in planned.changes:
        if change.kind == INSTALLED:
            old, new = (Installed.decode(change.key, v) if v else None for v in (change.old, change.new))
            either = new or old
            assert either is not None
            found.append(
                PackageChange(change.key, either.name, old.version if old else None, new.version if new else None)
            )
    return tuple(found)
