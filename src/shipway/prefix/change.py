"""Requests to the committer: install, upgrade and remove packages, in one transaction.

A request plans from the present state each time it is asked, so that a plan which somebody else's commit has made
stale is simply made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from shipway.model.entry import Entry, Manifest
from shipway.model.facts import INSTALLED, NEW, FactChange, Installed, Override, effective
from shipway.model.plan import plan
from shipway.model.planning import Note, Past, Plan, PlanRequest, Policy, Wish
from shipway.prefix.commit import Planned
from shipway.prefix.library import Library
from shipway.prefix.live import LiveDisk, LiveRecord
from shipway.prefix.lookup import overrides_of
from shipway.prefix.retime import retimed
from shipway.prefix.session import Session
from shipway.prefix.site import Site

Follow = Callable[[Session, Mapping[str, Installed]], Mapping[str, Installed]]


class Intent(NamedTuple):
    """What is wanted: packages by identity, None for those that shall go, and how conflicts are settled.

    `follow` says which other packages change with them, from what is installed whenever the intent is planned.
    """

    targets: Mapping[str, Installed | None]
    policy: Policy = Policy.FAIL
    exclusive: bool = False
    past: Past | None = None
    follow: Follow | None = None


class ChangePlanner:
    """Plans one intent, from what is recorded and what lies on disk at the moment it is called."""

    def __init__(self, site: Site, session: Session, library: Library, intent: Intent) -> None:
        self.site = site
        self.session = session
        self.library = library
        self.intent = intent
        self._asked = intent.targets

    def __call__(self) -> Planned:
        """Plan.  Raises CorruptError if an image that is needed is not recorded."""
        installed = self.site.database.installed()
        notes = self._follow(installed)
        made = self._plan(installed)
        if made.shadowed and not made.conflicts:
            self._retime(made)
            made = self._plan(installed)
            assert not made.shadowed, "an image given other times still shadows"
        made = made._replace(notes=(*notes, *made.notes))
        changes = (*self._installed_changes(installed, made), *made.changes)
        touched = [*(installed.get(identity) for identity in self.intent.targets), *self.intent.targets.values()]
        exclusive = self.intent.exclusive or any(package is not None and package.exclusive for package in touched)
        return Planned(made, changes, exclusive)

    def _follow(self, installed: Mapping[str, Installed]) -> list[Note]:
        """Add the packages that change with those that were asked for, and say so."""
        if self.intent.follow is None:
            return []
        followers = self.intent.follow(self.session, installed)
        self.intent = self.intent._replace(targets={**followers, **self._asked})
        new = [package for identity, package in followers.items() if package.image != installed[identity].image]
        count = f"{len(new)} package{'s' if len(new) != 1 else ''}"
        return (
            [Note("recompiled", "", f"bytecode of {count} is compiled anew for Python {new[0].python}")] if new else []
        )

    def preview(self) -> Plan:
        """The plan alone, from images that need not be in the store yet."""
        return self._plan(self.site.database.installed())

    def _retime(self, made: Plan) -> None:
        """Give images other times where old bytecode would pass for new (I6)."""
        by_owner: dict[str, dict[str, Entry]] = {}
        for identity, path, present in made.shadowed:
            by_owner.setdefault(identity, {})[path] = present
        targets = dict(self.intent.targets)
        for identity, against in by_owner.items():
            package = targets[identity]
            assert package is not None
            targets[identity] = retimed(self.site, self.session, self.library, package, against)
        self.intent = self.intent._replace(targets=targets)

    def _plan(self, installed: Mapping[str, Installed]) -> Plan:
        wishes = [self._wish(identity, installed) for identity in self.intent.targets]
        return plan(
            PlanRequest(
                wishes=[w for w in wishes if w.old is not None or w.new is not None],
                record=LiveRecord(self.site.database, self.intent.targets.keys()),
                disk=LiveDisk(self.site.fs, self.site.layout, self.session.full),
                policy=self.intent.policy,
                past=self.intent.past,
            )
        )

    def _wish(self, identity: str, installed: Mapping[str, Installed]) -> Wish:
        was, becomes = installed.get(identity), self.intent.targets[identity]
        overrides = overrides_of(self.site.database, identity) if was else {}
        return Wish(
            identity,
            self._old(was, overrides) if was else None,
            self.library(becomes.image) if becomes else None,
            was.image if was else "",
            becomes.image if becomes else "",
            overrides,
        )

    def _old(self, was: Installed, overrides: Mapping[str, Override]) -> Manifest:
        laid = {path: override for path, override in overrides.items() if override.why == NEW}
        return effective(self.library(was.image), laid)

    def _installed_changes(self, installed: Mapping[str, Installed], made: Plan) -> list[FactChange]:
        changes = []
        for identity, becomes in self.intent.targets.items():
            was = installed.get(identity)
            old, new = (was.encode() if was else None), (becomes.encode() if becomes else None)
            if old != new and not self._is_same(was, becomes, made):
                changes.append(FactChange(INSTALLED, identity, old, new))
        return changes

    def _is_same(self, was: Installed | None, becomes: Installed | None, made: Plan) -> bool:
        """Whether only the times of an image differ, so that there is nothing to do."""
        if was is None or becomes is None or made.units or made.changes:
            return False
        same = self.library(was.image).digest == self.library(becomes.image).digest
        return same and was._replace(image=becomes.image, python=becomes.python) == becomes
