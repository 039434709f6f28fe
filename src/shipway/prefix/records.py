"""The rows of the database as values: transactions and their units."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from shipway.fs.found import Identity
from shipway.model.facts import FactChange
from shipway.model.history import Past
from shipway.model.unit import Source, Unit, Verb


class State(StrEnum):
    """Where a transaction stands (I3).  Only `done` and `undone` ask for nothing more."""

    PREPARED = "prepared"
    COMMITTING = "committing"
    APPLIED = "applied"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    STUCK = "stuck"


UNFINISHED = (State.COMMITTING, State.APPLIED, State.UNDOING, State.STUCK)
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
        """The inverse of `encode`."""
        row, staged, live, new, old = json.loads(text)
        verb, path, kind, sources, replaces, *rest = row
        unit = Unit(Verb(verb), path, kind, _sources(sources), _sources(replaces), *rest)
        return cls(seq, unit, Identity(*staged) if staged else None, Identity(*live) if live else None, new, old)


def _sources(rows: Sequence[Sequence[str]]) -> tuple[Source, ...]:
    return tuple(Source(*row) for row in rows)


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

    `time` is seconds since the epoch; `bytes` and `inodes` are what its undo area takes.
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
