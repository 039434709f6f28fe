"""`shipway rehome`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

if TYPE_CHECKING:
    from shipway.prefix.rehome import Rehomed


@as_command("rehome")
@pass_call
def command(call: Call) -> None:
    """After a prefix was moved or copied: correct the record, and list the files that still name the old path."""
    from shipway.prefix.rehome import rehome

    with call.open() as prefix:
        found = rehome(prefix.site)
    if call.json:
        call.console.document(_document(found))
    else:
        _show(call, found)


def _document(found: Rehomed) -> dict[str, object]:
    return {
        "was": found.was,
        "now": found.now,
        "copied": found.copied,
        "mentions": [mention._asdict() for mention in found.mentions],
    }


def _show(call: Call, found: Rehomed) -> None:
    from shipway.cli.text import plural

    if not found.moved:
        call.console.say(f"{found.now} is where it was made; there was nothing to do")
        return
    call.console.answer(*(f"{mention.path}: {mention.kind} ({mention.package})" for mention in found.mentions))
    how = "a copy of" if found.copied else "moved from"
    call.console.say(f"{found.now} is {how} {found.was}; the record says so now")
    if found.mentions:
        call.console.say(
            f"{plural(len(found.mentions), 'file')} still name {found.was}: rebuild those packages for their new place"
        )
