"""The rows of the database as values: transactions and their units."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from shipway.fs.found import Identity
from shipway.model.entry import KIND_NAMES, checked_path
from shipway.model.facts import FactChange
from shipway.model.history import Past
from shipway.model.unit import Source, Unit, Verb

_IMAGE = re.compile(r"[0-9a-f]{64}\Z")


class State(StrEnum):
    """Where a transaction stands (I3).  Only `done` and `undone` ask for nothing more."""

    PREPARED = "prepared"
    COMMITTING = "committing"
    APPLIED = "applied"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    STUCK = "stuck"


MOVING = (State.COMMITTING, State.UNDOING, State.STUCK)
"""In these the disk is not what the facts say: nobody can plan."""


class Step(NamedTuple):
    """A unit in the journal: its number, and what lay on either side when it was planned.

    `staged` and `live` say which file, `new` and `old` which content: a file's SHA-256, "-> " and a symlink's target, or a
    directory's digest (whose content is compared with the images' manifests); "" where nothing lay.
    """

    seq: int
    unit: Unit
    staged: Identity | None
    live: Identity | None
    new: str = ""
    old: str = ""

    def encode(self) -> str:
        """The row's text."""
        return json.dumps([self.unit, self.staged, self.live, self.new, self.old], separators=(",", ":"))

    @classmethod
    def decode(cls, seq: int, text: str) -> Step:
        """The inverse of `encode`.  Raises ValueError or TypeError on anything else."""
        row, staged, live, new, old = json.loads(text)
        verb, path, kind, sources, replaces, *rest = row
        if kind not in KIND_NAMES or not isinstance(new, str) or not isinstance(old, str):
            raise ValueError("a kind, or a content, that cannot be")
        unit = Unit(Verb(verb), checked_path(path), kind, _sources(sources), _sources(replaces), *rest)
        return cls(seq, unit, Identity(*staged) if staged else None, Identity(*live) if live else None, new, old)


def _sources(rows: Sequence[Sequence[str]]) -> tuple[Source, ...]:
    sources = tuple(Source(*row) for row in rows)
    for source in sources:
        if not all(isinstance(part, str) for part in source):
            raise TypeError("a source that is no text")
        if not source.undo and not _IMAGE.match(source.image):
            raise ValueError(f"{source.image!r} is not an image's name")
        for path in filter(None, (source.path, source.undo)):
            checked_path(path)
    return sources


class Draft(NamedTuple):
    """A transaction before its commit point.  `mode` is "exchange" or "fallback"; `undoes` 0 or a number."""

    token: str
    reason: str
    mode: str
    undoes: int
    changes: Sequence[FactChange]
    steps: Sequence[Step]


class Row(NamedTuple):
    """One transaction as recorded.  `id` is 0 before the commit point; `undo` is "kept", "none" or "collected".

    `time` is seconds since the epoch; `bytes` and `inodes` are what its undo area takes.  `units`, `deltas` and `changed` count the
    rows of these tables that belong to it.
    """

    ref: int
    id: int
    token: str
    state: State
    time: float
    reason: str
    undoes: int
    mode: str
    undo: str
    bytes: int
    inodes: int
    message: str
    units: int
    deltas: int
    changed: int

    @classmethod
    def of(cls, ref: int, draft: Draft, now: float) -> Row:
        """A transaction that is prepared now."""
        rest = (draft.reason, draft.undoes, draft.mode, "kept", 0, 0, "", len(draft.steps), len(draft.changes), 0)
        return cls(ref, 0, draft.token, State.PREPARED, now, *rest)

    @classmethod
    def decode(cls, row: Sequence[Any]) -> Row:
        """The inverse of `encode`.  Raises ValueError or TypeError on anything else."""
        found = cls(row[0], row[1] or 0, row[2], State(row[3]), *row[4:])
        if tuple(map(type, found)) != _ROW:
            raise TypeError("a column of another type")
        return found

    def encode(self) -> tuple[object, ...]:
        """The row's values: no number before the commit point."""
        return (self.ref, self.id or None, self.token, str(self.state), *self[4:])


_ROW = (int, int, str, State, float, str, int, str, str, int, int, str, int, int, int)
"""The types of its fields."""


class PackageChange(NamedTuple):
    """One package before and after a transaction: versions, None where it is not installed."""

    identity: str
    name: str
    old: str | None
    new: str | None


class Generation(NamedTuple):
    """Which state of the record a plan was made from; None of `last` while a commit is moving things."""

    last: int
    undone: int
    moving: bool


def past(rows: Iterable[Row]) -> list[Past]:
    """The finished transactions, as far as undo is concerned."""
    return [
        Past(row.id, row.undoes, row.undo != "collected") for row in rows if row.state in (State.DONE, State.APPLIED)
    ]


CHUNK = 64 * 1024 * 1024 // 16
"""Characters of listings that go into one transaction, so that a committer never waits long behind one."""


class Chunk:
    """Listings that are written together: path, digest, entries."""

    __slots__ = ("last", "rows")

    def __init__(self) -> None:
        self.rows: list[tuple[bytes, str, str]] = []
        self.last = False


def chunks(rows: Iterable[tuple[bytes, str, str]]) -> Iterator[Chunk]:
    """Listings in portions of limited size, the last one marked."""
    chunk, size = Chunk(), 0
    for row in rows:
        if size > CHUNK:
            yield chunk
            chunk, size = Chunk(), 0
        chunk.rows.append(row)
        size += len(row[2])
    chunk.last = True
    yield chunk
