"""What makes a tree an image, whether it was copied or taken over: its modes, its times, its hard links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shipway.fs.system import FileSystem
from shipway.model.entry import Entry, Manifest, join
from shipway.store import attributes
from shipway.store.paths import under
from shipway.store.request import Remark, Shelf, Taken
from shipway.store.workers import do_all, in_batches

IMAGE_MODE = 0o1777
"""What of a file's mode an image keeps: neither setuid nor setgid (I11)."""

ROOT_MODE = 0o755
"""An image is as readable as the live tree; its root is nobody's entry."""

OWNER = 0o700
"""What a directory's owner needs to work in it."""

_BATCH = 512


class Place(NamedTuple):
    """An image in the making.  `moved`: files lie where the manifest says; else where they lay in the tree."""

    root: str
    manifest: Manifest
    moved: bool


def retime(fs: FileSystem, place: Place, taken: Taken, jobs: int) -> None:
    """Set the mtimes of files that had others when they were read."""
    late = [(shelf, len(shelf.names)) for shelf in taken.shelves if shelf.retimed]
    do_all(_Retimer(fs, place).retime, list(in_batches(late, _BATCH)), jobs)
    for names in taken.groups:
        path, at = names[0]
        entry = place.manifest.entry(at)
        if entry is not None:
            fs.utime(under(place.root, at if place.moved else path), entry.mtime)


class _Retimer:
    def __init__(self, fs: FileSystem, place: Place) -> None:
        self.fs = fs
        self.place = place

    def retime(self, shelves: Sequence[Shelf]) -> None:
        for shelf in shelves:
            entries = self.place.manifest.directories[shelf.at].entries
            parent = under(self.place.root, shelf.at if self.place.moved else shelf.path)
            for name, before in zip(shelf.names, shelf.mtimes, strict=True):
                mtime = entries[name].mtime
                if mtime != before:
                    self.fs.utime(join(parent, name), mtime)


def make_directories(fs: FileSystem, root: str, directories: Iterable[tuple[str, Entry]]) -> None:
    """Make directories, parents first, in which everything may still be done."""
    for path, entry in sorted(directories):
        fs.mkdir(under(root, path), entry.mode | OWNER)


def close_directories(fs: FileSystem, root: str, directories: Iterable[tuple[str, Entry]]) -> list[Remark]:
    """Give directories what they could not have while files were put into them; what was refused."""
    lost = []
    for path, entry in sorted(directories, reverse=True):
        full = under(root, path)
        lost += [Remark(path, attributes.refusal(name)) for name in attributes.attach(fs, full, entry.xattrs)]
        if entry.xattrs or entry.mode & OWNER != OWNER:
            fs.chmod(full, entry.mode)
    return lost
