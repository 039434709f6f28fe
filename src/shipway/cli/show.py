"""`shipway show`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("show")
@click.argument("name")
@pass_call
def command(call: Call, name: str) -> None:
    """Show one package: version, size, where it came from."""
    from shipway.cli.text import columns, local, size, utc
    from shipway.prefix.lookup import resolve
    from shipway.prefix.queries import packages

    with call.look() as site:
        package = resolve(site.database, name)
        number = next(p.transaction for p in packages(site.database) if p.package.identity == package.identity)
        row = site.database.transaction(number)
    if call.json:
        shown = {**package._asdict(), "transaction": number, "time": utc(row.time) if row else None}
        call.console.document(shown)
        return
    rows = [
        ("name", package.name),
        ("version", package.version),
        ("identity", package.identity),
        ("files", f"{package.files:,}"),
        ("size", size(package.size)),
        ("image", package.image),
        ("python", package.python or "none"),
        ("exclusive", "yes" if package.exclusive else "no"),
        ("transaction", f"{number}, {local(row.time)} ({row.reason})" if row else str(number)),
    ]
    call.console.answer(*columns(rows))
