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
    with call.open() as prefix:
        found = prefix.owners(path)
    if call.json:
        owners = [
            {"name": o.package.name, "version": o.package.version, "identity": o.package.identity, "shows": o.shows}
            for o in found
        ]
        call.console.document({"path": path, "owners": owners})
    for owner in () if call.json else found:
        below = "" if owner.shows else "  (hidden by another package's)"
        call.console.answer(f"{owner.package.name} {owner.package.version}{below}")
    if not found:
        call.console.say(f"{path} belongs to no package")
    return 0 if found else FAILED
