"""`shipway du`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

if TYPE_CHECKING:
    from shipway.prefix.usage import Usage


@as_command("du")
@pass_call
def command(call: Call) -> None:
    """Say what the prefix takes on its disk: live files, then what images and undo areas take beside them."""
    from shipway.prefix.usage import usage

    with call.look() as site:
        found = usage(site)
    if found.total.unread:
        call.console.warn(f"{found.total.unread} directories are not yours to read, and not counted")
    if call.json:
        call.console.document(_document(found))
    else:
        call.console.answer(*_table(found))


def _document(found: Usage) -> dict[str, object]:
    parts = (*found.parts, found.total)
    return {part.name: {"bytes": part.bytes, "inodes": part.inodes} for part in parts}


def _table(found: Usage) -> list[str]:
    from shipway.cli.text import columns, plural, size

    rows = [(part.name, size(part.bytes), plural(part.inodes, "inode")) for part in (*found.parts, found.total)]
    return columns(rows, right=(1, 2))
