"""`shipway history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

if TYPE_CHECKING:
    from shipway.prefix.queries import Past


@as_command("history")
@pass_call
def command(call: Call) -> None:
    """List the transactions, newest first, with what their undo areas take."""
    from shipway.cli.text import columns
    from shipway.prefix.queries import history

    with call.look() as site:
        found = history(site)
    if call.json:
        call.console.document([_document(past) for past in found])
    else:
        call.console.answer(*columns([_row(past) for past in found], right=(0, 3)))
        if not found:
            call.console.say(f"nothing was ever installed in {call.root}")


def _document(past: Past) -> dict[str, object]:
    from shipway.cli.report import change_of
    from shipway.cli.text import utc

    row = past.row
    return {
        "id": row.id,
        "time": utc(row.time),
        "state": row.state,
        "changes": [change_of(change) for change in past.changes],
        "reason": row.reason,
        "undone": past.undone,
        "undoes": row.undoes or None,
        "undo": row.undo,
        "bytes": row.bytes,
        "inodes": row.inodes,
    }


def _row(past: Past) -> tuple[str, ...]:
    from shipway.cli.report import briefs
    from shipway.cli.text import local, size

    row = past.row
    state = "undone" if past.undone else str(row.state)
    kept = {"kept": size(row.bytes), "collected": "collected"}.get(row.undo, "")
    what = briefs(past.changes)
    why = f"{row.reason}: {what}" if what and row.undoes else what or row.reason
    return (str(row.id), local(row.time), state, kept, why)
