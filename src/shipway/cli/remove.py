"""`shipway remove`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("remove")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@pass_call
def command(call: Call, names: tuple[str, ...]) -> None:
    """Remove packages, all in one transaction.  What others own or have put there stays."""
    from shipway.cli.report import deliver, footnote
    from shipway.cli.text import listed

    with call.open() as prefix:
        outcome = prefix.remove(list(dict.fromkeys(names)))
        gone = [f"{change.name} {change.old}" for change in outcome.changes]
        verb = "is" if len(gone) == 1 else "are"
        deliver(call, outcome, f"{listed(gone)} {verb} gone from {call.root} {footnote(outcome)}")
