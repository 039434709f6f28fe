"""Fakes that behave: a prefix in memory for the planner, and trees stated as dicts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shipway.model.entry import DIRECTORY, FILE, LINK, Entry, Manifest, join, manifest_of, parent_of
from shipway.model.planning import Claim

OLD_TIME = 1_600_000_000_000_000_000


def entry_of(path: str, content: str, mode: int = 0o644, mtime: int = OLD_TIME) -> Entry:
    """A file with this text, or, where the text begins with "-> ", a symlink."""
    name = path.rpartition("/")[2]
    if content.startswith("-> "):
        return Entry(name, LINK, 0o777, target=content[3:])
    data = content.encode()
    derived = path.endswith(".pyc")
    return Entry(name, FILE, mode, len(data), mtime, hashlib.sha256(data).hexdigest(), derived=derived)


def image_of(files: Mapping[str, str], mtime: int = OLD_TIME, directories: Mapping[str, int] | None = None) -> Manifest:
    """A manifest from paths and contents; a path that ends in "/" is an empty directory."""
    modes = directories or {}
    listings: dict[str, dict[str, Entry]] = {"": {}}
    for path in (*files, *(d + "/" for d in modes)):
        for above in _above(path):
            name = above.rpartition("/")[2]
            entry = Entry(name, DIRECTORY, modes.get(above, 0o755))
            listings.setdefault(parent_of(above), {}).setdefault(name, entry)
            listings.setdefault(above, {})
        if not path.endswith("/"):
            entry = entry_of(path, files[path], mtime=mtime)
            listings[parent_of(path)][entry.name] = entry
    return manifest_of({path: listing.values() for path, listing in listings.items()})


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


@dataclass
class MemoryDisk:
    """A live tree: files by path, directories by their existence; counts what was looked at."""

    files: dict[str, Entry] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)
    exchange: bool = True
    immovable: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, path: str, content: str, mtime: int = OLD_TIME) -> None:
        """Write one file, with the directories above it."""
        for above in _above(path):
            self.directories.setdefault(above, 0o755)
        self.files[path] = entry_of(path, content, mtime=mtime)

    def lay(self, manifest: Manifest) -> None:
        """Put a whole image there."""
        for path, entry in manifest.walk():
            if entry.kind == DIRECTORY:
                self.directories.setdefault(path, entry.mode)
            else:
                self.files[path] = entry

    def look(self, path: str) -> Entry | None:
        """What lies at a path."""
        self.asked.append(path)
        if path in self.directories:
            return Entry(path.rpartition("/")[2], DIRECTORY, self.directories[path])
        return self.files.get(path)

    def names(self, directory: str) -> dict[str, Entry]:
        """What lies in a directory."""
        found = {}
        for path in (*self.files, *self.directories):
            if parent_of(path) == directory:
                seen = self.look(path)
                assert seen is not None
                found[path.rpartition("/")[2]] = seen
        return dict(sorted(found.items()))

    def kinds(self, directory: str) -> dict[str, str]:
        """The kinds of what lies in a directory."""
        return {name: seen.kind for name, seen in self.names(directory).items()}

    def digest(self, path: str) -> str:
        """The digest of a file."""
        return self.files[path].digest

    def refusal(self, path: str) -> str:
        """Why a directory cannot be renamed as a whole."""
        return self.immovable.get(path, "")


@dataclass
class MemoryRecord:
    """Packages beside those that change, by identity, with contests and foreign directories."""

    packages: dict[str, Manifest] = field(default_factory=dict)
    contests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    foreigns: dict[str, str] = field(default_factory=dict)

    def others(self, directory: str) -> dict[str, Sequence[Claim]]:
        """Claims in a directory."""
        found: dict[str, list[Claim]] = {}
        for owner, manifest in self.packages.items():
            listing = manifest.directories.get(directory)
            for name, entry in (listing.entries if listing else {}).items():
                found.setdefault(name, []).append(Claim(owner, entry, f"image of {owner}"))
        return dict(found)

    def contest(self, path: str) -> tuple[str, ...]:
        """The stack at a path."""
        return self.contests.get(path, ())

    def contested_below(self, directory: str) -> bool:
        """Whether a contested path lies below."""
        return any(path.startswith(join(directory, "")) for path in self.contests)

    def foreign(self, path: str) -> str | None:
        """The foreign fact of a directory."""
        return self.foreigns.get(path)
