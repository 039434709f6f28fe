"""Recovery: whoever takes the lock finishes what a dead process began (I3, I10).

Idempotent, and may be killed itself: it runs the journal's own loop and moves a transaction on only when all of it is
proven.  Works where the prefix was copied, restored or moved meanwhile, because a side whose identity is
unknown is recognised by its content.
"""

from __future__ import annotations

from shipway.errors import StuckError
from shipway.fs.lock import forget
from shipway.model.planning import Note
from shipway.prefix.finish import Finisher, HeldError
from shipway.prefix.journal import Journal
from shipway.prefix.library import Library
from shipway.prefix.records import Row, State, Step
from shipway.prefix.session import heir, is_abandoned, is_alive, sessions, sweep
from shipway.prefix.site import Site


def needs_recovery(site: Site) -> bool:
    """Whether a transaction of a dead process waits to be finished, or a dead session to be swept; takes no lock."""
    if any(not is_alive(site.layout, row.token) or _is_not_ours(site, row) for row in site.database.unfinished()):
        return True
    return any(not is_alive(site.layout, name) for name in sessions(site.layout))


def recover_locked(site: Site, *, again: bool = False) -> list[str]:
    """Finish, or take back, every transaction of a dead process.  Call under the prefix lock; returns what was done.

    `again` tries stuck transactions too.  Raises StuckError while one is stuck, or only another user may finish it.
    """
    told = []
    for row in site.database.unfinished():
        if row.state is State.STUCK and not again:
            raise _stuck(row)
        if row.state is State.APPLIED and is_alive(site.layout, row.token):
            continue
        if _is_not_ours(site, row):
            raise StuckError(
                f"transaction {row.id} ({row.reason}) was interrupted, and what it had staged is not ours",
                hint=f"{heir(site.layout, row.token)} finishes it",
            )
        told.append(_recover(site, row))
        forget(site.layout.session_lock(row.token))
    told += _sweep(site)
    for text in told:
        site.tell("recovered", text)
    return told


def _is_not_ours(site: Site, row: Row) -> bool:
    """Whether a transaction stopped in the middle of its renames, and only another user may go on with it."""
    return row.state is not State.APPLIED and is_abandoned(site.layout, row.token)


def _recover(site: Site, row: Row) -> str:
    steps = site.database.steps(row.ref)
    journal = Journal(site.fs, site.layout, site.layout.area(row.id, row.token), row.mode, Library(site.database))
    if row.state is State.UNDOING:
        return _take_back(site, row, journal, steps)
    current = _not_overtaken(site, row, steps)
    try:
        journal.roll_forward(current)
    except (OSError, StuckError) as error:
        site.database.set_state(row.ref, State.UNDOING, str(error))
        return _take_back(site, row, journal, steps)
    if row.state is not State.APPLIED:
        site.database.set_state(row.ref, State.APPLIED)
    try:
        _say(site, Finisher(site, row.ref, row.id, row.token, journal).finish(steps))
    except HeldError as error:
        return f"transaction {row.id} ({row.reason}) is carried out, but what it took out is not put away: {error}"
    return f"transaction {row.id} ({row.reason}) was interrupted; it is finished now"


def _take_back(site: Site, row: Row, journal: Journal, steps: list[Step]) -> str:
    try:
        take_back(Finisher(site, row.ref, row.id, row.token, journal), steps)
    except StuckError as error:
        raise _stuck(row._replace(message="\n".join(error.details))) from error
    return f"transaction {row.id} ({row.reason}) was interrupted and could not be finished; it is taken back"


def take_back(finisher: Finisher, steps: list[Step]) -> None:
    """Take back a transaction that is `undoing`, and say what was found; StuckError if that cannot be."""
    _say(finisher.site, finisher.take_back(steps))


def _say(site: Site, notes: list[Note]) -> None:
    for note in notes:
        site.tell("note", f"{note.path}: {note.text}")


def _not_overtaken(site: Site, row: Row, steps: list[Step]) -> list[Step]:
    """The steps of an `applied` transaction that no later one has touched: only those can have been lost."""
    if row.state is not State.APPLIED:
        return steps
    later = {s.unit.path for other in site.database.transactions_after(row.id) for s in site.database.steps(other.ref)}
    return [s for s in steps if not any(_related(s.unit.path, path) for path in later)]


def _related(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _stuck(row: Row) -> StuckError:
    return StuckError(
        f"transaction {row.id} ({row.reason}) can be neither finished nor taken back; nothing was guessed",
        details=row.message.split("\n"),
        hint="put each path as it was before or after, then run `shipway recover`",
    )


def _sweep(site: Site) -> list[str]:
    """Drop what dead sessions left that never reached a commit point."""
    dead = [row.ref for row in site.database.prepared() if not is_alive(site.layout, row.token)]
    if dead:
        site.database.discard(dead)
    needed = frozenset(row.token for row in site.database.unfinished())
    if not any(not is_alive(site.layout, name) for name in sessions(site.layout) - needed):
        return []
    return sweep(site, needed)
