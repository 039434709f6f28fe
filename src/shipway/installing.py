"""Python environments: requirements become wheels, wheels become images, and all of them one transaction.

    reconcile ─ resolve (pip) ─ fetch, build (pip) ─ unpack, seal, compile ─┬─ environment lock ─ unchanged? ─ adopt ─ commit
      └──────────────── somebody changed the environment meanwhile: again ──┘

Only the last part excludes others who do the same; readers, and commits of other packages, are never in the way.  What pip or
uv installed is taken over first where it is to be replaced or removed: a transaction of its own, so that undo gives it back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from shipway.api import Image, Outcome, Prefix, Staged
from shipway.errors import ShipwayError
from shipway.fs.found import look
from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.model.derived import is_cache_directory, is_derived
from shipway.model.entry import Manifest, join
from shipway.model.facts import Installed
from shipway.model.identity import identity_of
from shipway.model.planning import Past, Policy
from shipway.prefix.change import Intent
from shipway.python.distributions import Distribution, installed, leftovers, normal, owned_files
from shipway.python.pip_arguments import Arguments
from shipway.python.resolver import Chosen, fetch, resolve
from shipway.python.target import Target
from shipway.python.wheel import Wheel, unpack

ATTEMPTS = 5
"""How often the environment may change between resolving and committing before the next attempt holds its lock throughout."""


class Change(NamedTuple):
    """One project: its versions before and after, "" for none."""

    name: str
    old: str
    new: str


class Done(NamedTuple):
    """What came of it.  `outcome` is None where there was nothing to do, or nothing was to be done (`--dry-run`)."""

    changes: tuple[Change, ...]
    outcome: Outcome | None = None
    adopted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Environment:
    """The projects of one target, and the prefix that keeps the record of them."""

    def __init__(self, prefix: Prefix, target: Target) -> None:
        self.prefix = prefix
        self.target = target
        self._notes: list[str] = []
        self._adopted: list[str] = []
        self._count = 0

    # -- what is asked for -----------------------------------------------------------------------------------

    def install(self, arguments: Arguments) -> Done:
        """Install what pip resolves.  Raises ShipwayError, ConflictError or LockedError, nothing changed."""
        for attempt in range(ATTEMPTS + 1):
            with self._locked(attempt == ATTEMPTS):
                self.reconcile()
                before = self.installed()
                chosen = self._resolved(arguments)
                if arguments.dry_run or not chosen:
                    return self._done(_changes(chosen, before))
                images = self._sealed(arguments, chosen)
                done = self._commit_if_unchanged(images, before, held=attempt == ATTEMPTS)
                if done is not None:
                    return done
        raise AssertionError("the last attempt holds the lock")

    def uninstall(self, names: Sequence[str], *, dry_run: bool = False) -> Done:
        """Remove projects by name; one that is not installed is told, as pip does."""
        with self._locked(True):
            self.reconcile()
            before = self.installed()
            keys = list(dict.fromkeys(normal(name) for name in names))
            self._notes += [f"{key} is not installed" for key in keys if key not in before]
            going = [key for key in keys if key in before]
            if dry_run or not going:
                return self._done([Change(before[k].name, before[k].version, "") for k in going])
            return self._commit({}, going, before)

    def sync(self, arguments: Arguments) -> Done:
        """Make the environment what a file says, no more and no less; its lines are not resolved any further."""
        exact = arguments._replace(resolving=("--no-deps", "--ignore-installed", *arguments.resolving))
        with self._locked(True):
            self.reconcile()
            before = self.installed()
            listed = self._resolved(exact)
            wanted = {normal(c.name) for c in listed}
            chosen = [c for c in listed if not self._is_there(c, before)]
            going = [key for key, found in before.items() if key not in wanted and not _is_seed(found)]
            changes = [*_changes(chosen, before), *(Change(before[k].name, before[k].version, "") for k in going)]
            if arguments.dry_run or not changes:
                return self._done(changes)
            return self._commit(self._sealed(exact, chosen) if chosen else {}, going, before)

    # -- what is there ---------------------------------------------------------------------------------------

    def installed(self) -> dict[str, Distribution]:
        """The projects by their compared names; where one is there twice, the one that can be imported last."""
        return {each.key: each for each in installed(self.target)}

    def reconcile(self) -> None:
        """See what others did to packages of ours: forget those they removed or replaced, and say so."""
        there = self.installed()
        ours = {key: p.package for p in self.prefix.packages() if (key := _key(p.package.identity))}
        gone = [key for key, package in ours.items() if key not in there or there[key].version != package.version]
        for key in gone:
            now = f"is {there[key].version} now" if key in there else "is gone"
            self._notes.append(
                f"{key} {ours[key].version} {now}: somebody else changed it; it is no longer taken for ours"
            )
        if gone:
            self.prefix.detach([ours[key].identity for key in gone])

    def adopt(self, keys: Sequence[str]) -> None:
        """Take projects over that somebody else installed: a transaction that changes no file.

        All that a name has is taken, a second `dist-info` and what pip left under a tilde too.
        """
        ours = {_key(p.package.identity) for p in self.prefix.packages()}
        wanted = [key for key in dict.fromkeys(keys) if key not in ours]
        images = [self._sealed_as_is(key) for key in wanted]
        if not images:
            return
        targets: dict[str, Installed | None] = {i.package.identity: i.package for i in images}
        names = " ".join(f"{i.package.name} {i.package.version}" for i in images)
        past = Past(foreign=_shared(self.target.root, [i.manifest for i in images]))
        self.prefix.run(Intent(targets, Policy.OVERWRITE, past=past), f"adopt {names}")
        self._adopted += [f"{i.package.name} {i.package.version}" for i in images]

    # -- steps -----------------------------------------------------------------------------------------------

    def _resolved(self, arguments: Arguments) -> list[Chosen]:
        self.prefix.site.tell("phase", "resolving")
        chosen = resolve(self.target, arguments, self._area("resolve"))
        if not self.target.isolated or arguments.upgrades or arguments.reinstalls:
            return chosen
        before = self.installed()
        return [each for each in chosen if not self._is_there(each, before)]

    def _is_there(self, chosen: Chosen, before: dict[str, Distribution]) -> bool:
        found = before.get(normal(chosen.name))
        return found is not None and found.version == chosen.version and not chosen.direct_url

    def _sealed(self, arguments: Arguments, chosen: Sequence[Chosen]) -> dict[str, Image]:
        """An image for each project, by its compared name."""
        self.prefix.site.tell("phase", f"fetching {len(chosen)} projects")
        wheels = fetch(self.target, arguments, chosen, self._area("fetch"))
        return {normal(wheel.name): self._seal(wheel, compiled=arguments.compile) for wheel in wheels}

    def _seal(self, wheel: Wheel, *, compiled: bool) -> Image:
        self.prefix.site.tell("phase", f"preparing {wheel.name} {wheel.version}")
        stage = self._area("stage")
        unpack(wheel, self.target, stage)
        return self.prefix.seal_staged(
            self._staged(stage, wheel.name, wheel.version, compiled=compiled), Policy.OVERWRITE
        )

    def _staged(self, stage: str, name: str, version: str, *, compiled: bool) -> Staged:
        identity = identity_of(f"pkg:pypi/{normal(name)}")
        python = self.target.python if compiled else ""
        return Staged(stage, identity, normal(name), version, move=True, destdir=True, python=python)

    def _sealed_as_is(self, key: str) -> Image:
        """An image of what lies on disk."""
        root, fs = self.target.root, self.prefix.site.fs
        found = [each for each in installed(self.target) if each.key == key]
        paths = sorted({path for each in found for path in owned_files(each, root)} - self._files_of_others())
        stage = self._area("adopt")
        for path in paths:
            self._copy(f"{root}/{path}", f"{stage}{root}/{path}")
        make_directories(f"{stage}{root}", 0o755, fs.mkdir)
        return self.prefix.seal_staged(self._staged(stage, key, found[-1].version, compiled=False), Policy.OVERWRITE)

    def _files_of_others(self) -> set[str]:
        return {path for p in self.prefix.packages() for path, _ in self.prefix.files(p.package.identity)}

    def _copy(self, source: str, target: str) -> None:
        fs, found = self.prefix.site.fs, look(source)
        if found is None:
            return
        make_directories(os.path.dirname(target), 0o755, fs.mkdir)
        if found.kind == "l":
            fs.symlink(found.target, target)
            fs.utime(target, found.mtime)
        elif found.kind == "f":
            fs.copy_file(source, target, found.mode, found.mtime)

    def _commit_if_unchanged(
        self, images: dict[str, Image], before: dict[str, Distribution], *, held: bool
    ) -> Done | None:
        with self._locked(not held):
            return self._commit(images, (), before) if self.installed() == before else None

    def _commit(self, images: dict[str, Image], going: Sequence[str], before: dict[str, Distribution]) -> Done:
        self.adopt([key for key in (*images, *going) if key in before])
        changes = [Change(i.package.name, _version(before, key), i.package.version) for key, i in images.items()]
        changes += [Change(before[key].name, before[key].version, "") for key in going]
        with self.prefix.transaction(_reason(changes)) as transaction:
            for image in images.values():
                transaction.install(image)
            for key in going:
                transaction.remove(f"pkg:pypi/{key}")
        return self._done(changes, transaction.outcome)

    def _done(self, changes: Sequence[Change], outcome: Outcome | None = None) -> Done:
        left = [f"{path} is left of an installation that was broken off" for path in leftovers(self.target)]
        return Done(tuple(changes), outcome, tuple(self._adopted), (*self._notes, *left))

    def _area(self, name: str) -> str:
        self._count += 1
        return self.prefix.staging(f"{name}-{self._count}")

    @contextmanager
    def _locked(self, wanted: bool) -> Iterator[None]:
        """The lock of those who change the projects of this environment: from the last look at it to the commit."""
        if not wanted:
            yield
            return
        site = self.prefix.site
        lock = FileLock(f"{site.layout.state}/environment.lock", site.lock_mode, what="the environment")
        lock.acquire(wait=site.options.wait, on_wait=site.on_wait)
        try:
            yield
        finally:
            lock.release()


def prepare(target: Target) -> None:
    """Make the directory of a target that need not be there yet (`--target`, `--prefix`)."""
    if target.isolated:
        make_directories(target.root, 0o755, FileSystem().mkdir)


def refuse_managed(target: Target) -> None:
    """An environment that the distribution manages is left alone (PEP 668)."""
    if target.managed:
        raise ShipwayError(
            f"{target.root} is managed by the distribution (EXTERNALLY-MANAGED)",
            hint="make an environment of its own: python3 -m venv .venv && . .venv/bin/activate",
        )


def _shared(root: str, manifests: Sequence[Manifest]) -> dict[str, str]:
    """The directories of these that are not theirs alone, with their modes: they were there before, and will stay."""
    listings: dict[str, set[str]] = {}
    for manifest in manifests:
        for path, directory in manifest.directories.items():
            listings.setdefault(path, set()).update(directory.entries)
    shared: dict[str, str] = {}
    for path in sorted(listings, reverse=True):
        found = look(f"{root}/{path}")
        below = {join(path, name) for name in listings[path]}
        if path and found and (below & shared.keys() or _holds_more(f"{root}/{path}", listings[path])):
            shared[path] = f"{found.mode:o}"
    return shared


def _holds_more(directory: str, names: set[str]) -> bool:
    return any(
        name not in names and not is_cache_directory(name) and not is_derived(f"{directory}/{name}")
        for name in os.listdir(directory)
    )


def _key(identity: str) -> str:
    return identity.removeprefix("pkg:pypi/") if identity.startswith("pkg:pypi/") else ""


def _version(before: dict[str, Distribution], key: str) -> str:
    return before[key].version if key in before else ""


def _changes(chosen: Sequence[Chosen], before: dict[str, Distribution]) -> list[Change]:
    return [Change(c.name, _version(before, normal(c.name)), c.version) for c in chosen]


def _is_seed(found: Distribution) -> bool:
    return found.key in ("pip", "setuptools", "wheel") and found.installer != "shipway"


def _reason(changes: Sequence[Change]) -> str:
    words = [f"{c.name} {c.new}" if c.new else f"-{c.name}" for c in changes]
    return "pip " + ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")
