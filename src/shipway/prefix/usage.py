"""What a prefix takes on its disk: live files, images, undo areas; each inode counted once, and where first.

The order is the argument: what is live would be there without Shipway too, so an image whose files are hard links of live
ones costs nothing but its directories, and an undo area only what is in neither.  Blocks are counted, not lengths (stat(2),
st_blocks), so sparse files cost what they take.  Data that reflinks share is counted in each file: the file system
does not tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shipway.fs.found import DIRECTORY, Found, list_directory, look
from shipway.prefix.site import Site

BLOCK = 512
"""Bytes in a block of st_blocks, whatever the file system's own are."""


class Part(NamedTuple):
    """One part of a prefix: bytes on disk and inodes; `unread` counts directories that this user may not look into."""

    name: str
    bytes: int
    inodes: int
    unread: int = 0


class Usage(NamedTuple):
    """All parts in the order they were counted in."""

    parts: tuple[Part, ...]

    @property
    def total(self) -> Part:
        """The sum."""
        return Part(
            "total",
            sum(part.bytes for part in self.parts),
            sum(part.inodes for part in self.parts),
            sum(part.unread for part in self.parts),
        )


def usage(site: Site) -> Usage:
    """Measure: the live files of all packages, the images, the undo areas, and the rest of the state directory."""
    meter = _Meter()
    layout = site.layout
    return Usage(
        (
            meter.count("live", _live(site)),
            meter.count("images", meter.below(layout.images)),
            meter.count("undo", meter.below(layout.undo)),
            meter.count("other", meter.below(layout.state)),
        )
    )


def _live(site: Site) -> Iterator[Found]:
    """What lies where the packages' paths are."""
    paths: set[str] = set()
    for package in site.database.installed().values():
        paths.update(path for path, _ in site.database.manifest(package.image).walk())
    for path in paths:
        found = look(site.layout.live(path))
        if found is not None:
            yield found


class _Meter:
    """Counts, remembering which inodes it has seen."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._unread = 0

    def count(self, name: str, entries: Iterable[Found]) -> Part:
        self._unread = 0
        blocks = inodes = 0
        for found in entries:
            inode = (found.dev, found.ino)
            if inode not in self._seen:
                self._seen.add(inode)
                blocks, inodes = blocks + found.blocks, inodes + 1
        return Part(name, blocks * BLOCK, inodes, self._unread)

    def below(self, path: str) -> Iterator[Found]:
        """A directory and everything in it."""
        found = look(path)
        if found is None:
            return
        yield found
        waiting = [path]
        while waiting:
            path = waiting.pop()
            for found in self._in_directory(path):
                yield found
                if found.kind == DIRECTORY:
                    waiting.append(f"{path}/{found.name}")

    def _in_directory(self, path: str) -> list[Found]:
        try:
            return list_directory(path)
        except PermissionError:
            self._unread += 1
        except FileNotFoundError:
            pass
        return []
