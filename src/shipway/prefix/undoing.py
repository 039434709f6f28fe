"""Undo and redo as requests: what a transaction changed, the other way round, planned anew from manifests (I4)."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.errors import ConflictError, ShipwayError
from shipway.fs.found import DIRECTORY
from shipway.model import planning
from shipway.model.facts import CONTEST, FOREIGN, INSTALLED, FactChange, Installed, decode_owners, reverse
from shipway.model.history import to_redo, to_undo, undone
from shipway.model.planning import Plan, Policy
from shipway.model.unit import Source
from shipway.prefix.change import Intent
from shipway.prefix.commit import Planned
from shipway.prefix.database import Database
from shipway.prefix.records import Row, State, past


def choose(database: Database, number: int | None, *, redo: bool) -> Row:
    """The transaction that undo or redo means.  Raises ConflictError if it cannot be."""
    listed = past(database.transactions())
    chosen = number if number is not None else (to_redo(listed) if redo else to_undo(listed))
    row = database.transaction(chosen)
    if row is None or row.id not in {p.id for p in listed}:
        raise ShipwayError(f"there is no finished transaction {chosen}", hint="`shipway history` lists them")
    if row.id in undone(listed):
        raise ConflictError(f"transaction {row.id} is undone already", hint="`shipway redo` brings it back")
    if row.undo == "collected":
        raise ConflictError(f"transaction {row.id} is beyond the undo horizon: its old content was collected")
    return row


def intent_to_undo(database: Database, row: Row, policy: Policy) -> Intent:
    """What undoing a transaction wants.  Raises ConflictError where later ones are in the way, naming them."""
    changes = database.changes(row.ref)
    packages = [c for c in changes if c.kind == INSTALLED]
    refuse_overtaken(database, row, packages)
    targets = {c.key: Installed.decode(c.key, c.old) if c.old is not None else None for c in packages}
    return Intent(targets, policy=policy, past=_past_of(database, row, changes))


def _past_of(database: Database, row: Row, changes: Sequence[FactChange]) -> planning.Past:
    """What a transaction took out that was in no image, what it gave back that nobody owned, and how claims stood before."""
    stacks = {c.key: decode_owners(c.old) if c.old is not None else () for c in changes if c.kind == CONTEST}
    foreign = {c.key: c.old for c in changes if c.kind == FOREIGN and c.old is not None}
    steps = [step for step in database.steps(row.ref) if step.unit.kind != DIRECTORY]
    places = {s.unit.path: f"u{s.seq}" for s in steps if s.unit.keep} | database.changed(row.ref)
    restore = {path: Source("", path, undo=f"{row.id}/{place}") for path, place in places.items()}
    given = frozenset(s.unit.path for s in steps if any(source.undo for source in s.unit.sources))
    return planning.Past(restore, stacks, given, foreign)


def only_facts(database: Database, row: Row) -> Planned | None:
    """The reverse of a transaction that moved no file (`verify --accept`, taking over what is there), else None.

    What was forgotten (`detach`) may have changed since: undoing that looks at the disk, as an installation does.
    """
    changes = database.changes(row.ref)
    if database.steps(row.ref) or any(c.kind == INSTALLED and c.old is not None for c in changes):
        return None
    refuse_overtaken(database, row, changes)
    return Planned(Plan((), (), (), (), ()), reverse(changes))


def refuse_overtaken(database: Database, row: Row, changes: Sequence[FactChange]) -> None:
    """Raise ConflictError if facts that a transaction changed were changed again since."""
    later: dict[tuple[str, str], list[int]] = {}
    for other in database.transactions_after(row.id):
        if other.state is not State.UNDONE:
            for c in database.changes(other.ref):
                later.setdefault((c.kind, c.key), []).append(other.id)
    problems = []
    for change in changes:
        if database.fact(change.kind, change.key) != change.new:
            numbers = ", ".join(map(str, later.get((change.kind, change.key), [])))
            problems.append(f"{change.key.partition(chr(10))[0]}: changed again by transaction {numbers or '?'}")
    if problems:
        raise ConflictError(
            f"transaction {row.id} cannot be undone: later ones are in the way",
            details=problems,
            hint="undo those first; `shipway undo` without a number takes the last one",
        )
