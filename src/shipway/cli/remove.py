"""`shipway remove`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import ConflictError

if TYPE_CHECKING:
    from shipway.api import Prefix


@as_command("remove")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option("--cascade", is_flag=True, help="Remove what runs with them, too.")
@pass_call
def command(call: Call, names: tuple[str, ...], cascade: bool) -> None:
    """Remove packages, all in one transaction.  What others own or have put there stays."""
    from shipway.cli.report import deliver, footnote
    from shipway.cli.text import listed

    with call.open() as prefix:
        going = list(dict.fromkeys(prefix.package(name).identity for name in names))
        more = _dependents(prefix, going)
        if more and not cascade:
            raise _refusal(prefix, more)
        outcome = prefix.remove([*going, *more])
        gone = [f"{change.name} {change.old}" for change in outcome.changes]
        verb = "is" if len(gone) == 1 else "are"
        deliver(call, outcome, f"{listed(gone)} {verb} gone from {call.root} {footnote(outcome)}")


def _dependents(prefix: Prefix, going: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What was built from recipes that say it runs with these; only where there are such packages is it asked."""
    site = prefix.site
    if not os.path.isdir(site.layout.builds):
        return {}
    from shipway.schedule.dependents import dependents
    from shipway.schedule.notes import read

    return dependents(read(site, site.database.installed().values()), going)


def _refusal(prefix: Prefix, found: Mapping[str, Sequence[str]]) -> ConflictError:
    installed = prefix.site.database.installed()
    lines = [
        f"{installed[identity].name} runs with {' and '.join(installed[each].name for each in needed)}"
        for identity, needed in found.items()
    ]
    return ConflictError(
        "other packages run with what is to go; nothing was changed",
        details=sorted(lines),
        hint="--cascade removes them, too",
    )
