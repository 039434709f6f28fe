"""Questions to the record that change nothing: packages, files, owners, history."""

from __future__ import annotations

import os
from typing import NamedTuple

from shipway.errors import UsageError
from shipway.model.entry import Entry, parent_of
from shipway.model.facts import CONTEST, INSTALLED, Installed, Override, decode_owners, effective
from shipway.model.history import undone
from shipway.prefix.database import Database
from shipway.prefix.lookup import overrides_of
from shipway.prefix.records import PackageChange, Row, past
from shipway.prefix.site import Site


class Package(NamedTuple):
    """An installed package and the transaction that brought it; `size` in bytes."""

    package: Installed
    transaction: int


class Owner(NamedTuple):
    """A claim on a path: whose, and whether it is the one that shows."""

    package: Installed
    entry: Entry
    shows: bool


class Past(NamedTuple):
    """One transaction as history shows it; `undone` says that a later one took it back."""

    row: Row
    changes: tuple[PackageChange, ...]
    undone: bool


def packages(database: Database) -> list[Package]:
    """What is installed, by name, each with the transaction that brought it."""
    installed = database.installed()
    brought: dict[str, int] = {}
    by_ref = {row.ref: row.id for row in database.transactions()}
    for ref, changes in database.all_changes(INSTALLED).items():
        for change in changes:
            if ref in by_ref and change.new is not None:
                brought[change.key] = max(brought.get(change.key, 0), by_ref[ref])
    found = [Package(package, brought.get(identity, 0)) for identity, package in installed.items()]
    return sorted(found, key=lambda p: (p.package.name, p.package.identity))


def files(database: Database, package: Installed) -> list[tuple[str, Entry]]:
    """A package's paths with their entries as they are expected on disk."""
    overrides = overrides_of(database, package.identity)
    return list(effective(database.manifest(package.image), overrides).walk())


def owners(site: Site, path: str) -> list[Owner]:
    """Who claims a path, the claim that shows last.  Raises UsageError if the path is outside the prefix."""
    relative = relative_path(site, path)
    parent, name = parent_of(relative), relative.rpartition("/")[2]
    site.database.check_directory(parent)
    by_image: dict[str, list[Installed]] = {}
    for package in site.database.installed().values():
        by_image.setdefault(package.image, []).append(package)
    found: list[tuple[Installed, Entry]] = []
    for image, listing in site.database.listings(parent, by_image.keys()).items():
        if name in listing.entries:
            found += [(package, listing.entries[name]) for package in by_image[image]]
    found += _laid(site.database, relative, {p.identity: p for ps in by_image.values() for p in ps})
    return _in_order(site.database, relative, found)


def _laid(database: Database, path: str, installed: dict[str, Installed]) -> list[tuple[Installed, Entry]]:
    """Claims by override: NAME.new, which is in no manifest."""
    found = []
    for key, value in database.facts("override").items():
        identity, _, at = key.partition("\n")
        override = Override.decode(value)
        if at == path and override.source and identity in installed:
            found.append((installed[identity], override.entry))
    return found


def _in_order(database: Database, path: str, found: list[tuple[Installed, Entry]]) -> list[Owner]:
    contest = database.facts(CONTEST).get(path)
    stack = decode_owners(contest) if contest else ()
    found.sort(key=lambda pair: (stack.index(pair[0].identity) if pair[0].identity in stack else -1, pair[0].name))
    return [Owner(package, entry, not stack or package.identity == stack[-1]) for package, entry in found]


def relative_path(site: Site, path: str) -> str:
    """A path of the prefix as manifests have it; symlinked directories in it are followed, its last part is not."""
    root = site.layout.root
    absolute = path if os.path.isabs(path) else os.path.join(root, path)
    if not os.path.isabs(path) and os.path.lexists(os.path.abspath(path)) and not os.path.lexists(absolute):
        absolute = os.path.abspath(path)
    real = os.path.join(os.path.realpath(os.path.dirname(absolute.rstrip("/"))), os.path.basename(absolute.rstrip("/")))
    if not real.startswith(root + "/"):
        raise UsageError(f"{path} is not in {root}")
    return real[len(root) + 1 :]


def history(site: Site) -> list[Past]:
    """The transactions, newest first, with what each changed."""
    database = site.database
    transactions = database.transactions()
    gone = undone(past(transactions))
    changes = database.all_changes(INSTALLED)
    found = []
    for row in reversed(transactions):
        rows = tuple(_change(c.key, c.old, c.new) for c in changes.get(row.ref, []))
        found.append(Past(row, rows, row.id in gone))
    return found


def _change(identity: str, old: str | None, new: str | None) -> PackageChange:
    before, after = (Installed.decode(identity, v) if v else None for v in (old, new))
    either = after or before
    name = either.name if either else identity
    return PackageChange(identity, name, before.version if before else None, after.version if after else None)
