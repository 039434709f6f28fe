"""Taking over what pip or uv installed, so that it can be replaced, removed, and given back; and seeing what they did to what is ours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shipway.api import Image, Prefix, Staged
from shipway.errors import ShipwayError
from shipway.fs.found import look
from shipway.fs.hashing import hash_file
from shipway.fs.tree import make_directories
from shipway.model.derived import is_cache_directory, is_derived
from shipway.model.entry import FILE, Manifest, join
from shipway.model.facts import Installed
from shipway.model.identity import identity_of
from shipway.model.planning import Past, Policy
from shipway.prefix.change import Intent
from shipway.python.distributions import Distribution
from shipway.python.remains import Remains, remains
from shipway.python.target import Target

_WITNESSES = ("RECORD", "METADATA")
"""Files of a dist-info that anybody who installs writes anew; the first that we have says whose it is."""


class Adopted(NamedTuple):
    """A project that was taken over, and what was wrong with it."""

    name: str
    version: str
    damage: tuple[str, ...]


class Adopter:
    """Takes projects of one environment over: a transaction that changes no file."""

    def __init__(self, prefix: Prefix, target: Target) -> None:
        self.prefix = prefix
        self.target = target
        self._count = 0

    def adopt(self, coming: Mapping[str, Manifest | None]) -> list[Adopted]:
        """Take over those of these projects that are there and not ours; what is to come in their place may be given.

        All that a name has is taken, a second `dist-info` and what pip left under a tilde too.
        """
        found = {key: self._remains(key, new) for key, new in coming.items() if key not in ours(self.prefix)}
        there = {key: each for key, each in found.items() if each is not None}
        if not there:
            return []
        others = self._files_of_others()
        images = [self._sealed(key, each, others) for key, each in there.items()]
        targets: dict[str, Installed | None] = {i.package.identity: i.package for i in images}
        names = " ".join(f"{i.package.name} {i.package.version}" for i in images)
        past = Past(foreign=_shared(self.target.root, [i.manifest for i in images]))
        self.prefix.run(Intent(targets, Policy.OVERWRITE, past=past), f"adopt {names}")
        return [Adopted(key, each.version, each.damage) for key, each in there.items()]

    def _remains(self, key: str, new: Manifest | None) -> Remains | None:
        return remains(self.target, key, [path for path, _ in new.files()] if new else ())

    def _sealed(self, key: str, found: Remains, others: set[str]) -> Image:
        """An image of what lies on disk."""
        self._count += 1
        root, fs, stage = self.target.root, self.prefix.site.fs, self.prefix.staging(f"adopt-{self._count}")
        for path in ("", *found.directories):
            make_directories(f"{stage}{join(root, path)}", 0o755, fs.mkdir)
        for path in found.files:
            if path not in others:
                self._copy(f"{root}/{path}", f"{stage}{root}/{path}")
        return self.prefix.seal_staged(staged(stage, key, found.version), Policy.OVERWRITE)

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


def staged(stage: str, key: str, version: str, python: str = "") -> Staged:
    """A staged tree of a project, below its final path."""
    return Staged(stage, identity_of(f"pkg:pypi/{key}"), key, version, move=True, destdir=True, python=python)


def ours(prefix: Prefix) -> dict[str, Installed]:
    """The projects that are recorded as ours, by their compared names."""
    found = [p.package for p in prefix.packages()]
    return {p.identity.removeprefix("pkg:pypi/"): p for p in found if p.identity.startswith("pkg:pypi/")}


def what_became_of(prefix: Prefix, there: Mapping[str, Distribution]) -> dict[str, str]:
    """Projects of ours that somebody else removed or replaced, by name: a sentence about each."""
    told = {}
    for key, package in ours(prefix).items():
        now = _now(prefix, package, there.get(key))
        if now:
            told[key] = f"{key} {package.version} {now}: somebody else changed it; it is no longer taken for ours"
    return told


def _now(prefix: Prefix, package: Installed, found: Distribution | None) -> str:
    if found is None:
        return "is gone"
    if found.version != package.version:
        return f"is {found.version} now"
    return "" if _is_as_recorded(prefix, package, found) else "was installed again"


def _is_as_recorded(prefix: Prefix, package: Installed, found: Distribution) -> bool:
    """Whether its metadata is what we put there: size and time first, then the digest."""
    info = os.path.realpath(found.info)[len(prefix.site.layout.root) + 1 :]
    listing = prefix.site.database.listings(info, {package.image}).get(package.image)
    if listing is None:
        return False
    entry = next((listing.entries[name] for name in _WITNESSES if name in listing.entries), None)
    if entry is None or entry.kind != FILE:
        return True
    path = f"{found.info}/{entry.name}"
    seen = look(path)
    if seen is None or seen.kind != FILE or seen.size != entry.size:
        return False
    try:
        return seen.mtime == entry.mtime or hash_file(path) == entry.digest
    except (OSError, ShipwayError):
        return False


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
