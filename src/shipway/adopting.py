"""Taking over what pip or uv installed, so that it can be replaced, removed, and given back; and seeing what they did to what is ours."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from shipway.api import Image, Prefix, Staged
from shipway.errors import ConflictError, ShipwayError
from shipway.fs.found import look
from shipway.fs.hashing import hash_file
from shipway.fs.tree import make_directories
from shipway.model.derived import is_cache_directory, is_derived
from shipway.model.entry import FILE, Manifest, join
from shipway.model.facts import Installed
from shipway.model.identity import identity_of, project
from shipway.model.planning import Past, Policy
from shipway.model.projects import names_of
from shipway.prefix.change import Intent
from shipway.python.distributions import Distribution
from shipway.python.remains import Remains, remains
from shipway.python.target import Target

_PYPI = "pkg:pypi/"
_WITNESSES = ("RECORD", "METADATA")
"""Files of a dist-info that anybody who installs writes anew; the first that we have says whose it is."""


class Adopted(NamedTuple):
    """A project that was taken over, and what was wrong with it."""

    name: str
    version: str
    damage: tuple[str, ...]


class Taken(NamedTuple):
    """What came of `shipway adopt`: the projects, and of which transactions (0: none, nothing to do or a dry run).

    `incurable` says, of a project by name, what only a new installation mends; `refused` why a project could not be had.
    """

    adopted: tuple[Adopted, ...]
    number: int = 0
    healed: int = 0
    incurable: Mapping[str, Sequence[str]] = MappingProxyType({})
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Adopter:
    """Takes projects of one environment over: a transaction that changes no file.

    `number` is that of the last transaction, 0 before the first.
    """

    def __init__(self, prefix: Prefix, target: Target) -> None:
        self.prefix = prefix
        self.target = target
        self.number = 0
        self._count = 0
        self._found: dict[str, Remains] = {}
        self._parts: dict[str, str] = {}

    def adopt(self, coming: Mapping[str, Manifest | None], *, over: bool = False) -> list[Adopted]:
        """Take over those of these projects that are there and not ours; what is to come in their place may be given.

        All that a name has is taken, a second `dist-info` and what pip left under a tilde too.  Raises ShipwayError if nobody knows
        what belongs to one of them, ConflictError if it is part of another package; with `over` such ones are left alone.
        """
        there = self.found(coming)
        refused = [f"{key} {each.version} {each.refusal}" for key, each in there.items() if each.refusal]
        if refused and not over:
            raise _part_of(refused) if self._parts else _unaccounted(refused)
        self._found = {key: each for key, each in there.items() if not each.refusal}
        if not self._found:
            return []
        others = self._files_of_others()
        images = [self._sealed(key, each, others) for key, each in self._found.items()]
        targets: dict[str, Installed | None] = {i.package.identity: i.package for i in images}
        names = " ".join(f"{i.package.name} {i.package.version}" for i in images)
        past = Past(foreign=_shared(self.target, [i.manifest for i in images]))
        self.number = self.prefix.run(Intent(targets, Policy.OVERWRITE, past=past), f"adopt {names}").number
        return [Adopted(key, each.version, each.damage) for key, each in self._found.items()]

    def found(self, coming: Mapping[str, Manifest | None]) -> dict[str, Remains]:
        """What there is of these projects, as far as it is not ours."""
        known = ours(self.prefix)
        found = {key: self._remains(key, new) for key, new in coming.items() if key not in known}
        there = {key: each for key, each in found.items() if each is not None}
        self._parts = {key: whole for key, whole in ((key, self._whole(each)) for key, each in there.items()) if whole}
        return there | {key: there[key]._replace(refusal=f"is part of {whole}") for key, whole in self._parts.items()}

    def heal(self) -> int:
        """Mend what was damaged of the projects adopted last; returns the transaction's number, 0 if there was nothing to mend.

        What is left of broken installations goes, of several `dist-info` the one stays that tells what lies there, and a missing RECORD
        is written.
        """
        sick = {key: each for key, each in self._found.items() if each.curable}
        if not sick:
            return 0
        others = self._files_of_others(but=sick)
        transaction = self.prefix.transaction(f"heal {' '.join(sick)}", Policy.OVERWRITE)
        for key, each in sick.items():
            files = tuple(path for path in each.files if path not in each.stale)
            if files:
                transaction.install(self._sealed(key, each._replace(files=files, directories=()), others, each.record))
            else:
                transaction.remove(f"pkg:pypi/{key}")
        return transaction.commit().number

    def _whole(self, found: Remains) -> str:
        """The package that a project's metadata belongs to, or ""."""
        owners = (owner for path in found.directories for owner in self.prefix.owners(f"{path}/METADATA"))
        return next((f"{owner.package.name} {owner.package.version}" for owner in owners), "")

    def _remains(self, key: str, new: Manifest | None) -> Remains | None:
        return remains(self.target, key, [path for path, _ in new.files()] if new else ())

    def _sealed(self, key: str, found: Remains, others: set[str], record: str = "") -> Image:
        """An image of what lies on disk, with a RECORD of it if one is to be written."""
        self._count += 1
        root, fs, stage = self.target.root, self.prefix.site.fs, self.prefix.staging(f"adopt-{self._count}")
        for path in ("", *found.directories):
            make_directories(f"{stage}{join(root, path)}", 0o755, fs.mkdir)
        files = [path for path in found.files if path not in others]
        for path in files:
            self._copy(f"{root}/{path}", f"{stage}{root}/{path}")
        if record:
            make_directories(os.path.dirname(f"{stage}{root}/{record}"), 0o755, fs.mkdir)
            fs.write_file(f"{stage}{root}/{record}", _record_of(f"{stage}{root}", record, files), 0o644)
        return self.prefix.seal_staged(staged(stage, key, found.version), Policy.OVERWRITE)

    def _files_of_others(self, but: Container[str] = ()) -> set[str]:
        others = [i for i in (p.package.identity for p in self.prefix.packages()) if i.removeprefix(_PYPI) not in but]
        return {path for identity in others for path, _ in self.prefix.files(identity)}

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


def adopt_before(prefix: Prefix, wanted: Staged, infos: Sequence[str], *, dry_run: bool = False) -> list[Adopted]:
    """Take over what somebody else installed of the project that a staged tree is; `infos` are the tree's `dist-info` directories."""
    root = prefix.site.layout.root
    found = {f"{_PYPI}{project(os.path.basename(info).partition('-')[0])}" for info in infos}
    if len(found) != 1 or not found <= {wanted.identity, *names_of(wanted.name)}:
        return []
    place = os.path.realpath(f"{root}/{os.path.dirname(infos[0])}")
    paths = {"purelib": place, "platlib": place, "scripts": f"{root}/bin", "data": root, "headers": f"{root}/include"}
    adopter = Adopter(prefix, Target("", root, paths))
    coming = {found.pop().removeprefix(_PYPI): None}
    if dry_run:
        return [Adopted(key, each.version, each.damage) for key, each in adopter.found(coming).items()]
    return adopter.adopt(coming)


def _part_of(refused: Sequence[str]) -> ConflictError:
    return ConflictError(
        "what is part of another package can be neither replaced nor removed; nothing was changed",
        details=refused,
        hint="upgrade that package, or make it without; --ignore-installed --on-conflict backup installs over it",
    )


def _unaccounted(refused: Sequence[str]) -> ShipwayError:
    return ShipwayError(
        "what nobody has a list of can be neither replaced nor removed; nothing was changed",
        details=refused,
        hint="remove it by what installed it, or install over it: --ignore-installed --on-conflict overwrite",
    )


def _record_of(root: str, record: str, files: Iterable[str]) -> bytes:
    """A RECORD of files below a root, as the packaging specification has it; bytecode need not be in it."""
    place = os.path.dirname(os.path.dirname(record))
    rows = [(path, *_hashed(f"{root}/{path}")) for path in files if not is_derived(path)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((os.path.relpath(path, place), digest, size) for path, digest, size in (*rows, (record, "", "")))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _hashed(path: str) -> tuple[str, str]:
    if os.path.islink(path):
        return "", ""
    digest = base64.urlsafe_b64encode(bytes.fromhex(hash_file(path))).rstrip(b"=").decode()
    return f"sha256={digest}", str(os.stat(path).st_size)


def staged(stage: str, key: str, version: str, python: str = "") -> Staged:
    """A staged tree of a project, below its final path."""
    return Staged(stage, identity_of(f"pkg:pypi/{key}"), key, version, move=True, destdir=True, python=python)


def ours(prefix: Prefix) -> dict[str, Installed]:
    """The projects that are recorded as ours, by their compared names."""
    found = [p.package for p in prefix.packages()]
    return {p.identity.removeprefix(_PYPI): p for p in found if p.identity.startswith(_PYPI)}


def what_became_of(prefix: Prefix, target: Target, there: Mapping[str, Distribution]) -> dict[str, str]:
    """Projects of ours that somebody else removed or replaced, by name: a sentence about each.

    Only what has metadata where the target's interpreter looks for it is judged.
    """
    told = {}
    packages = ours(prefix)
    recorded = _recorded_infos(prefix, target, {package.image for package in packages.values()})
    for key, package in packages.items():
        infos = recorded[package.image]
        now = _now(prefix, package, infos, there.get(key)) if infos else ""
        if now:
            told[key] = f"{key} {package.version} {now}: somebody else changed it; it is no longer taken for ours"
    return told


def _recorded_infos(prefix: Prefix, target: Target, images: Collection[str]) -> dict[str, list[str]]:
    """The `dist-info` directories of images that lie in the target, absolute, by image."""
    found: dict[str, list[str]] = {image: [] for image in images}
    for place in dict.fromkeys(os.path.realpath(place) for place in target.libraries):
        for image, listing in prefix.site.database.listings(place[len(target.root) + 1 :], images).items():
            found[image] += [f"{place}/{name}" for name in listing.entries if name.endswith(".dist-info")]
    return found


def _now(prefix: Prefix, package: Installed, infos: Sequence[str], found: Distribution | None) -> str:
    if found is None or not found.info.endswith(".dist-info"):
        return "" if any(map(os.path.isdir, infos)) else "is gone"
    if _is_as_recorded(prefix, package, found):
        return ""
    versions = {os.path.basename(info).removesuffix(".dist-info").partition("-")[2] for info in infos}
    return "was installed again" if found.version in versions else f"is {found.version} now"


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


def _shared(target: Target, manifests: Sequence[Manifest]) -> dict[str, str]:
    """The directories of these that are not theirs alone, with their modes: they were there before, and will stay."""
    root = target.root
    listings: dict[str, set[str]] = {}
    for manifest in manifests:
        for path, directory in manifest.directories.items():
            listings.setdefault(path, set()).update(directory.entries)
    shared: dict[str, str] = {}
    for path in sorted(listings, reverse=True):
        found = look(f"{root}/{path}")
        below = {join(path, name) for name in listings[path]}
        if path and found and (below & shared.keys() or _holds_more(target, path, listings[path])):
            shared[path] = f"{found.mode:o}"
    return shared


def _holds_more(target: Target, path: str, names: set[str]) -> bool:
    """Whether a directory is one that an environment has anyway, or holds more than these."""
    directory = f"{target.root}/{path}"
    return directory in {os.path.realpath(place) for place in target.paths.values()} or any(
        name not in names and not is_cache_directory(name) and not is_derived(f"{directory}/{name}")
        for name in os.listdir(directory)
    )
