"""The planner's two questions answered from a real prefix: what is recorded, and what lies there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shipway.fs.found import Found, list_directory, list_kinds, look
from shipway.fs.hashing import hash_file
from shipway.fs.mount import mount_points
from shipway.fs.system import FileSystem
from shipway.model.entry import Entry, Manifest, parent_of
from shipway.model.facts import BACKUP, CONTEST, FOREIGN, KEPT, OVERRIDE, Override, decode_owners, split_override_key
from shipway.model.planning import Claim
from shipway.prefix.database import Database
from shipway.prefix.layout import STATE, Layout


class LiveRecord:
    """What the database says about everybody but the packages that change (`model.planning.Record`)."""

    def __init__(self, database: Database, changing: Collection[str]) -> None:
        self._database = database
        self._owners: dict[str, list[str]] = {}
        for identity, package in database.installed().items():
            if identity not in changing:
                self._owners.setdefault(package.image, []).append(identity)
        self._contests = {path: decode_owners(value) for path, value in database.facts(CONTEST).items()}
        self._foreign = database.facts(FOREIGN)
        self._overrides = self._laid_over(set().union(*self._owners.values()) if self._owners else set())
        self._seen: dict[str, dict[str, list[Claim]]] = {}
        self._backups: dict[str, Manifest] = {}

    def others(self, directory: str) -> Mapping[str, list[Claim]]:
        """Their claims in a directory, by name."""
        if directory not in self._seen:
            self._seen[directory] = self._others(directory)
        return self._seen[directory]

    def contest(self, path: str) -> tuple[str, ...]:
        """The owners of a contested path from bottom to top, or ()."""
        return self._contests.get(path, ())

    def contested_below(self, directory: str) -> bool:
        """Whether any path below a directory is contested."""
        start = f"{directory}/"
        return any(path.startswith(start) for path in self._contests)

    def foreign(self, path: str) -> str | None:
        """The value of the fact that a directory was there before any package."""
        return self._foreign.get(path)

    def _others(self, directory: str) -> dict[str, list[Claim]]:
        claims: dict[str, list[Claim]] = {}
        for image, listing in self._database.listings(directory, self._owners.keys()).items():
            for owner in self._owners[image]:
                for name, entry in {**listing.entries, **self._overlay(owner, directory)}.items():
                    claims.setdefault(name, []).append(Claim(owner, entry, image))
        for path, owners in self._contests.items():
            if parent_of(path) == directory:
                for owner in owners:
                    if owner.startswith(BACKUP):
                        claims.setdefault(path.rpartition("/")[2], []).insert(0, self._backup(owner, path))
        return claims

    def _overlay(self, owner: str, directory: str) -> dict[str, Entry]:
        overrides = self._overrides.get(owner, {})
        return {o.entry.name: o.entry for path, o in overrides.items() if parent_of(path) == directory}

    def _laid_over(self, owners: Collection[str]) -> dict[str, dict[str, Override]]:
        found: dict[str, dict[str, Override]] = {}
        for key, value in self._database.facts(OVERRIDE).items():
            owner, path = split_override_key(key)
            override = Override.decode(value)
            if owner in owners and override.why != KEPT:
                found.setdefault(owner, {})[path] = override
        return found

    def _backup(self, owner: str, path: str) -> Claim:
        image = owner.removeprefix(BACKUP)
        if image not in self._backups:
            self._backups[image] = self._database.manifest(image)
        entry = self._backups[image].entry(path)
        assert entry is not None, f"backup image {image} has no {path}"
        return Claim(owner, entry, image)


class LiveDisk:
    """What lies in the prefix (`model.planning.Disk`), remembered for one plan."""

    def __init__(self, fs: FileSystem, layout: Layout, full: str) -> None:
        self._fs = fs
        self._layout = layout
        self._full = full
        self._listings: dict[str, dict[str, Found]] = {}
        self._digests: dict[str, str] = {}
        self._mounts = [p[len(layout.root) + 1 :] for p in mount_points(layout.root)]
        self.exchange = fs.exchange_works(full)

    def look(self, path: str) -> Found | None:
        """What lies at a path, or None."""
        parent = parent_of(path)
        if parent in self._listings:
            return self._listings[parent].get(path.rpartition("/")[2])
        return look(self._layout.live(path))

    def names(self, directory: str) -> Mapping[str, Found]:
        """What lies in a directory; nothing if it is not one.  Of the state directory only its files are told."""
        if directory not in self._listings:
            self._listings[directory] = self._list(directory)
        return self._listings[directory]

    def kinds(self, directory: str) -> Mapping[str, str]:
        """The names in a directory with their kinds; nothing if it is not one."""
        if directory in self._listings:
            return {name: found.kind for name, found in self._listings[directory].items()}
        try:
            kinds = list_kinds(self._layout.live(directory))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {name: kind for name, kind in kinds.items() if directory != STATE or kind != "d"}

    def digest(self, path: str) -> str:
        """The hex SHA-256 of a file."""
        if path not in self._digests:
            self._digests[path] = hash_file(self._layout.live(path))
        return self._digests[path]

    def refusal(self, path: str) -> str:
        """Why a directory cannot be renamed as a whole, or ""."""
        for mount in self._mounts:
            if mount == path or mount.startswith(f"{path}/"):
                return f"{mount} is a mount point"
        error = self._fs.can_move(self._layout.live(path), self._full)
        return f"the kernel would not let it go ({error.strerror})" if error else ""

    def _list(self, directory: str) -> dict[str, Found]:
        try:
            found = list_directory(self._layout.live(directory))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {f.name: f for f in found if directory != STATE or f.kind != "d"}
