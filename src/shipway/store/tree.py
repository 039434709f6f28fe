"""A manifest in the making: entries by directory, and what collides where directories were redirected."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.model.entry import DIRECTORY, KIND_NAMES, Directory, Entry, Manifest, Xattrs, join, manifest_of, parent_of

_IMPLIED_MODE = 0o755


class Tree:
    """Entries by directory.  Whoever comes first has a path: give what needs no redirection first.

    `duplicates` are paths of the tree whose place in the manifest is taken by the same content, `problems` those
    where it is taken by something else.
    """

    def __init__(self) -> None:
        self.listings: dict[str, dict[str, Entry]] = {"": {}}
        self.duplicates: list[str] = []
        self.problems: list[str] = []
        self._origins: dict[str, str] = {}
        self._digests: dict[str, str] = {}

    def add_directory(self, path: str, at: str, mode: int, xattrs: Xattrs) -> None:
        """Enter a directory, and those above it that a redirection leads into though the tree lacks them."""
        if at in self.listings:
            return
        parent, _, name = at.rpartition("/")
        self.add_directory(path, parent, _IMPLIED_MODE, ())
        self.listings[at] = {}
        self._add_one(path, at, Entry(name, DIRECTORY, mode, xattrs=xattrs))

    def add(self, path: str, at: str, entries: Mapping[str, Entry], digest: str = "") -> None:
        """Enter names of the tree's directory `path` into the manifest's directory `at`.

        `digest` is that of these entries, sorted by name, as a listing of their own, if it has been taken.
        """
        listing = self.listings[at]
        if digest and not listing:
            self._digests[at] = digest
        else:
            self._digests.pop(at, None)
        if path == at and listing.keys().isdisjoint(entries):
            listing.update(entries)
            return
        for name, entry in entries.items():
            self._add_one(join(path, name), join(at, name), entry)

    def holds(self, path: str, at: str) -> bool:
        """Whether the manifest's entry `at` stands for `path` of the tree."""
        return self._origins.get(at, at) == path

    def replace(self, at: str, entry: Entry) -> None:
        """Put another entry in the place of one that is there."""
        self._digests.pop(parent_of(at), None)
        self.listings[parent_of(at)][entry.name] = entry

    def entry(self, at: str) -> Entry:
        """The entry at a path that is there."""
        parent, _, name = at.rpartition("/")
        return self.listings[parent][name]

    def find(self, at: str) -> Entry | None:
        """The entry at a path, if there is one."""
        parent, _, name = at.rpartition("/")
        return self.listings.get(parent, {}).get(name)

    def manifest(self) -> Manifest:
        """The manifest of all that was entered."""
        known = {path: Directory(self.listings[path], digest) for path, digest in self._digests.items()}
        return manifest_of({path: entries.values() for path, entries in self.listings.items()}, known)

    def _add_one(self, path: str, at: str, entry: Entry) -> None:
        self._digests.pop(parent_of(at), None)
        listing = self.listings[parent_of(at)]
        there = listing.get(entry.name)
        if there is None:
            listing[entry.name] = entry
            if path != at:
                self._origins[at] = path
        elif there.same_as(entry):
            self.duplicates.append(path)
        else:
            kind = KIND_NAMES[there.kind]
            self.problems.append(f"{path}: goes to {at}, where the {kind} {self._origins.get(at, at)} differs")
