"""Units: the steps of a commit, one rename each, and the order in which they go (I7)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from shipway.model.entry import LINK


class Verb(StrEnum):
    """What one rename does."""

    PLACE = "place"
    """Put new content where there is none (RENAME_NOREPLACE)."""
    SWAP = "swap"
    """New content for old in one step (RENAME_EXCHANGE); the old lands in the undo area."""
    RETIRE = "retire"
    """Take old content out, into the undo area."""
    RMDIR = "rmdir"
    """Remove an emptied directory that cannot be renamed (an overlay's lower layer)."""


class Source(NamedTuple):
    """Where staged content comes from: a path within an image, or below the undo area of a transaction."""

    image: str
    path: str
    undo: str = ""


class Unit(NamedTuple):
    """One rename.

    `kind` is that of the new content (of the old one where there is no new).  `sources` say where the new content comes
    from, `replaces` which images the old content was.  `derived` units
    never fail a commit: whoever wrote the bytecode there may do so again at any moment.  `keep` says why the
    content taken out is not just the old image's: "changed" (an owned file, edited) or "foreign" (owned by
    nobody).  `why` is the sentence that `--explain` prints.
    """

    verb: Verb
    path: str
    kind: str
    sources: tuple[Source, ...] = ()
    replaces: tuple[Source, ...] = ()
    derived: bool = False
    keep: str = ""
    why: str = ""


LIBRARIES, PROGRAMS, METADATA = 0, 1, 2


def rank(path: str) -> int:
    """When a path appears: programs after the libraries they came with, package metadata last (I7)."""
    parts = path.split("/")
    if parts[-1].endswith(".pc") or any(p.endswith((".dist-info", ".egg-info")) for p in parts):
        return METADATA
    return PROGRAMS if any(p in ("bin", "sbin", "libexec") for p in parts) else LIBRARIES


def in_order(units: list[Unit]) -> tuple[Unit, ...]:
    """The order of a commit: what appears or changes by rank, then what goes, by rank downwards.

    Symlinks come after files and leave before them, so that a library's link is not left dangling;
    derived files follow their sources; an emptied directory goes after all that was in it (a path
    never ranks below the directory that holds it).
    """
    coming = [u for u in units if u.verb in (Verb.PLACE, Verb.SWAP)]
    going = [u for u in units if u.verb not in (Verb.PLACE, Verb.SWAP)]
    coming.sort(key=lambda u: (rank(u.path), u.derived, u.kind == LINK, u.path))
    going.sort(key=lambda u: (-rank(u.path), u.verb is Verb.RMDIR, not u.derived, u.kind != LINK, _deepest(u), u.path))
    return (*coming, *going)


def _deepest(unit: Unit) -> int:
    return -unit.path.count("/") if unit.verb is Verb.RMDIR else 0
