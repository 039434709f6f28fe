"""`shipway owner`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import FAILED


@as_command("owner")
@click.argument("path")
@pass_call
def command(call: Call, path: str) -> int:
    """Say whose PATH is: relative to the prefix, or absolute.  1 if it is nobody's."""
    from shipway.prefix.queries import owners, relative_path

    with call.look() as site:
        found = owners(site, path)
        relative = relative_path(site, path)
    if call.json:
        shown = [
            {"name": o.package.name, "version": o.package.version, "identity": o.package.identity, "shows": o.shows}
            for o in found
        ]
        call.console.document({"path": relative, "owners": shown})
    for owner in () if call.json else found:
        below = "" if owner.shows else "  (hidden by another package's)"
        call.console.answer(f"{owner.package.name} {owner.package.version}{below}")
    if not found:
        call.console.say(f"nobody owns {relative}")
    return 0 if found else FAILED
