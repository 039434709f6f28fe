"""`shipway list`."""

from __future__ import annotations

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("list")
@pass_call
def command(call: Call) -> None:
    """List what is installed: name, version, files, size."""
    from shipway.cli.text import columns, plural, size
    from shipway.prefix.queries import packages

    with call.look() as site:
        found = packages(site.database)
    if call.json:
        call.console.document(
            [
                {
                    "name": p.name,
                    "version": p.version,
                    "files": p.files,
                    "size": p.size,
                    "transaction": t,
                    "identity": p.identity,
                }
                for p, t in found
            ]
        )
    else:
        rows = [(p.name, p.version, plural(p.files, "file"), size(p.size)) for p, _ in found]
        call.console.answer(*columns(rows, right=(2, 3)))
        if not found:
            call.console.say(f"nothing is installed in {call.root}")
