"""Assembling an image: parts of other images, by links, and a few files that are this image's own.

Nothing is read or hashed but what is new: the entries of the parts are those of their manifests, and so are the digests of
all directories that come whole from one part.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shipway.fs.system import FileSystem
from shipway.model.entry import DIRECTORY, FILE, Directory, Entry, Manifest, join, manifest_of, parent_of
from shipway.store.image import ROOT_MODE, make_directories
from shipway.store.link import LinkMode, LinkRequest, link_all

_MODE = 0o755


class Graft(NamedTuple):
    """A part of another image: what is in the directory `path` of its `tree` comes to lie in the directory `at`."""

    tree: str
    manifest: Manifest
    path: str
    at: str


class Fresh(NamedTuple):
    """A file of the image's own."""

    path: str
    data: bytes
    mode: int


class Parts(NamedTuple):
    """What one image is made of; `mtime` (ns) is that of its own files."""

    grafts: Sequence[Graft]
    fresh: Sequence[Fresh]
    mtime: int


class Assembly:
    """One image in the making: its manifest is known before anything is made."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._open = self._shared_directories()
        self.manifest = self._merged()

    def directories(self) -> Iterator[tuple[str, Entry]]:
        """The directories that do not come whole from one part, parents first, the root left out."""
        for path in sorted(self._open - {""}):
            entry = self.manifest.entry(path)
            assert entry is not None
            yield path, entry

    def requests(self, destination: str, how: LinkMode) -> Iterator[LinkRequest]:
        """What is to be linked, once those directories are there."""
        for graft in self.parts.grafts:
            for path, at in self._whole(graft, graft.path, graft.at):
                yield LinkRequest(graft.tree, graft.manifest, path, f"{destination}/{at}", how, for_image=True)

    def _whole(self, graft: Graft, path: str, at: str) -> Iterator[tuple[str, str]]:
        for entry in graft.manifest.directories[path].entries.values():
            here, there = join(path, entry.name), join(at, entry.name)
            if entry.kind == DIRECTORY and there in self._open:
                yield from self._whole(graft, here, there)
            else:
                yield here, there

    def _placed(self, graft: Graft) -> Iterator[tuple[str, Directory]]:
        """The directories of a graft, by their paths in the image."""
        below = f"{graft.path}/"
        for path, directory in graft.manifest.directories.items():
            if path == graft.path:
                yield graft.at, directory
            elif path.startswith(below):
                yield join(graft.at, path[len(below) :]), directory

    def _shared_directories(self) -> set[str]:
        """Directories that several parts have names in, and all above them."""
        counts = Counter(path for graft in self.parts.grafts for path, _ in self._placed(graft))
        shared = {path for path, count in counts.items() if count > 1}
        shared |= {graft.at for graft in self.parts.grafts} | {parent_of(each.path) for each in self.parts.fresh}
        found = {""}
        for path in shared:
            while path not in found:
                found.add(path)
                path = parent_of(path)
        return found

    def _merged(self) -> Manifest:
        """The manifest of the whole.  Raises ValueError if two parts claim one path."""
        listings: dict[str, dict[str, Entry]] = {path: {} for path in self._open}
        known: dict[str, Directory] = {}
        for graft in self.parts.grafts:
            for path, directory in self._placed(graft):
                if path in listings:
                    for entry in directory.entries.values():
                        self._enter(listings[path], path, entry)
                else:
                    known[path] = directory
        for each in self.parts.fresh:
            parent, _, name = each.path.rpartition("/")
            self._enter(listings[parent], parent, _entry(name, each, self.parts.mtime))
        for path in self._open - {""}:
            name = path.rpartition("/")[2]
            self._enter(listings[parent_of(path)], parent_of(path), Entry(name, DIRECTORY, _MODE))
        whole = {path: each.values() for path, each in listings.items()}
        return manifest_of({**whole, **{path: d.entries.values() for path, d in known.items()}}, known)

    def _enter(self, listing: dict[str, Entry], path: str, entry: Entry) -> None:
        there = listing.get(entry.name)
        if there is not None and {there.kind, entry.kind} != {DIRECTORY}:
            raise ValueError(f"{join(path, entry.name)}: is in it twice")
        listing.setdefault(entry.name, entry)


def assemble(
    fs: FileSystem, assemblies: Sequence[tuple[Assembly, str]], how: LinkMode = LinkMode.AUTO, jobs: int = 1
) -> None:
    """Make images, each with its destination, which must not exist.

    Raises CorruptError if files of a part are not what its manifest says, FileNotFoundError if a part has vanished, OSError; in each case
    nothing is left of any destination.
    """
    made = []
    try:
        for assembly, destination in assemblies:
            fs.mkdir(destination, ROOT_MODE)
            made.append(destination)
            make_directories(fs, destination, assembly.directories())
        requests = [r for assembly, destination in assemblies for r in assembly.requests(destination, how)]
        link_all(fs, requests, jobs)
        for assembly, destination in assemblies:
            for path, data, mode in assembly.parts.fresh:
                fs.write_file(f"{destination}/{path}", data, mode, assembly.parts.mtime)
    except BaseException:
        for destination in made:
            fs.remove_tree(destination)
        raise


def _entry(name: str, fresh: Fresh, mtime: int) -> Entry:
    digest = hashlib.sha256(fresh.data).hexdigest()
    return Entry(name, FILE, fresh.mode, len(fresh.data), mtime, digest)
