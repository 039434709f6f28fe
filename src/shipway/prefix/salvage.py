"""Removing directories that once were live: what a program wrote into them since is saved first (I9).

A program whose working directory was swapped out goes on writing there, for as long as it likes.  So the look for what
belongs to nothing that was installed, and the removal, which spares such files, are repeated until nothing is left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from shipway.fs.found import DIRECTORY
from shipway.fs.tree import make_directories
from shipway.model.entry import Manifest, join
from shipway.prefix.layout import staged
from shipway.prefix.leftover import IN_THE_WAY, Leftover, discard, explain, remove
from shipway.prefix.library import Library
from shipway.prefix.records import Row, State
from shipway.prefix.site import Site
from shipway.store.compare import is_stray, strays

_STAGED = re.compile(r"u\d+\Z")

_ROUNDS = 1000
"""Looks for what came while a tree was removed: each finds more only if somebody wrote meanwhile."""


class Part(NamedTuple):
    """A directory in an area: the path it was live at, and the images' manifests of it."""

    path: str
    manifests: list[Manifest]


class Salvaged(NamedTuple):
    """What became of a removal: where strays were saved, and what could not be removed."""

    saved: tuple[str, ...]
    left: Leftover | None


def images_needed(site: Site, row: Row) -> set[str]:
    """The images whose manifests say what belongs to the area of a transaction."""
    return {
        source.image
        for step in site.database.steps(row.ref)
        if step.unit.kind == DIRECTORY
        for source in (step.unit.sources if row.state is State.UNDONE else step.unit.replaces)
    }


def discard_area(site: Site, token: str) -> None:
    """Remove the area of a session that is over, and tell of what was saved, or could not be removed.

    If its transaction was taken back there lie directories that were live for a while.
    """
    area = site.layout.session(token)
    names = os.listdir(area) if os.path.isdir(area) else ()
    row = site.database.transaction_of(token) if any(map(_STAGED.match, names)) else None
    for path in Salvage(site, row).remove(area).saved if row else ():
        site.tell("note", f"{path} was written into a directory that was taken back; it is kept there")
    left = discard(site.fs, site.layout, area, token)
    if left:
        site.tell("note", str(left))


class Salvage:
    """Knows what belongs to the area of one transaction: what it took out or, if it was taken back, what it had staged."""

    def __init__(self, site: Site, row: Row) -> None:
        library = Library(site.database)
        self.site = site
        self.number = row.id
        self.parts: dict[str, Part] = {}
        for step in site.database.steps(row.ref):
            sources = step.unit.sources if row.state is State.UNDONE else step.unit.replaces
            if step.unit.kind == DIRECTORY and sources:
                manifests = [library(source.image).subtree(source.path) for source in sources]
                self.parts[os.path.basename(staged("", step.seq))] = Part(step.unit.path, manifests)

    def remove(self, area: str) -> Salvaged:
        """Remove an area; what belongs to nothing is saved to lost+found first, also what comes meanwhile.

        A stray that cannot be moved stays, and so does what cannot be removed.
        """
        saved: list[str] = []
        left: Leftover | None = None
        for _ in range(_ROUNDS):
            found, stuck = self._save_strays(area)
            saved += found
            left = remove(self.site.fs, area, self._spares(area))
            if not os.path.lexists(area):
                return Salvaged(tuple(saved), None)
            if not found and (stuck or left):
                return Salvaged(tuple(saved), left or explain(stuck, area))
        return Salvaged(tuple(saved), left or explain([OSError(errno.ENOTEMPTY, "", area)], area))

    def _spares(self, area: str) -> Callable[[str], bool]:
        """For `FileSystem.remove_tree`: whether a file came since."""

        def spares(path: str) -> bool:
            name, _, below = path[len(area) + 1 :].partition("/")
            part = self.parts.get(name)
            return part is not None and is_stray(f"{area}/{name}", below, part.manifests)

        return spares

    def _save_strays(self, area: str) -> tuple[list[str], list[OSError]]:
        saved: list[str] = []
        stuck: list[OSError] = []
        for name, part in self.parts.items():
            there = f"{area}/{name}"
            for below in _strays(there, part.manifests):
                try:
                    saved += self._save(f"{there}/{below}", join(part.path, below))
                except OSError as error:
                    if error.errno not in IN_THE_WAY:
                        raise
                    stuck.append(error)
        return saved, stuck

    def _save(self, there: str, path: str) -> Iterator[str]:
        """Move one away; nothing if its program, or another collection, was faster."""
        wanted = f"{self.site.layout.lost}/{self.number}/{path}"
        make_directories(os.path.dirname(wanted), 0o700, self.site.fs.mkdir)
        for lost in _names(wanted):
            try:
                self.site.fs.take(there, lost)
            except FileExistsError:
                continue
            except FileNotFoundError:
                return
            yield lost
            return


def _strays(there: str, manifests: list[Manifest]) -> list[str]:
    """The topmost names that no manifest knows; what vanishes meanwhile is none."""
    names: set[str] = set()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = set.intersection(*(set(strays(there, manifest, "")) for manifest in manifests))
    return sorted(n for n in names if not any(n.startswith(other + "/") for other in names))


def _names(path: str) -> Iterator[str]:
    """A name, then the same with numbers: a program may write a file again that was saved already."""
    yield path
    yield from (f"{path}.{number}" for number in count(1))
