"""What a transaction did, and what a plan would do: for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.text import milliseconds, plural, visible

if TYPE_CHECKING:
    from shipway.model.planning import Note
    from shipway.prefix.records import PackageChange
    from shipway.prefix.work import Outcome

SHOWN = 5
"""Notes of one kind that are shown without -v."""

_COUNTED = {"dropped": "left out"}
"""Kinds of notes that are expected: without -v only how many there are is told."""


def change_of(change: PackageChange) -> dict[str, object]:
    """One package before and after, as JSON has it everywhere."""
    return {"name": change.name, "old": change.old, "new": change.new}


def note_of(note: Note) -> dict[str, object]:
    """One note as JSON."""
    return {"kind": note.kind, "path": note.path, "text": note.text}


def document(call: Call, outcome: Outcome, notes: Sequence[Note] = ()) -> dict[str, object]:
    """A transaction as JSON.  `transaction` is null where there was nothing to do."""
    return {
        "transaction": outcome.number or None,
        "changes": [change_of(change) for change in outcome.changes],
        "units": outcome.units,
        "notes": [note_of(note) for note in (*notes, *outcome.notes)],
        "timings": {
            "lock_ms": round(outcome.lock_ms, 3),
            "database_ms": round(outcome.database_ms, 3),
            "total_ms": round(call.elapsed_ms, 3),
        },
    }


def deliver(call: Call, outcome: Outcome, sentence: str, notes: Sequence[Note] = (), nothing: str = "") -> None:
    """Tell how a transaction went: notes first, then the sentence, which is the answer; or all as JSON.

    `nothing` is the sentence for when everything was as wanted already.
    """
    if outcome.interrupted:
        call.console.say("the signal came after the commit point: the commit was finished first")
    if call.json:
        call.console.document(document(call, outcome, notes))
    else:
        tell(call, (*notes, *outcome.notes))
        if not call.quiet:
            call.console.answer(sentence if outcome.number else nothing or f"there was nothing to do in {call.root}")


def footnote(outcome: Outcome, *more: str) -> str:
    """(transaction 12: 3 units, 213 files, committed in 4 ms)."""
    parts = [plural(outcome.units, "unit"), *more, f"committed in {milliseconds(outcome.lock_ms)}"]
    return f"(transaction {outcome.number}: {', '.join(parts)})"


def brief(change: PackageChange) -> str:
    """One package in a few words: gmp 6.3.0 → 6.2.1."""
    if change.old is None:
        return f"{change.name} {change.new} installed"
    if change.new is None:
        return f"{change.name} {change.old} removed"
    if change.old == change.new:
        return f"{change.name} {change.new} again"
    return f"{change.name} {change.old} → {change.new}"


def briefs(changes: Sequence[PackageChange]) -> str:
    """Several packages in a few words."""
    return ", ".join(map(brief, changes))


def tell(call: Call, notes: Sequence[Note]) -> None:
    """Notes on stderr, the first few of each kind; with -v all."""
    by_kind: dict[str, list[Note]] = {}
    for note in notes:
        by_kind.setdefault(note.kind, []).append(note)
    for kind, found in by_kind.items():
        call.console.say(
            *(_counted(kind, found) if not call.verbose and kind in _COUNTED else _some(found, call.verbose))
        )


def _counted(kind: str, notes: Sequence[Note]) -> list[str]:
    reasons = sorted({note.text for note in notes})
    return [f"note: {_COUNTED[kind]}: {plural(len(notes), 'file')} ({', '.join(reasons)})"]


def _some(notes: Sequence[Note], verbose: int) -> list[str]:
    shown = list(notes if verbose else notes[:SHOWN])
    lines = [f"note: {visible(f'{note.path}: {note.text}' if note.path else note.text)}" for note in shown]
    more = len(notes) - len(shown)
    return [*lines, f"note: … and {more} more like these (-v shows all)"] if more else lines
