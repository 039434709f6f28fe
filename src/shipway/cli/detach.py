"""`shipway detach`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError


@as_command("detach")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Forget everything and remove the state directory: a plain tree is left."
)
@pass_call
def command(call: Call, names: tuple[str, ...], everything: bool) -> None:
    """Forget packages, and keep their files: they belong to nobody then."""
    if everything == bool(names):
        raise UsageError("name the packages to forget, or say --all")
    if everything:
        _detach_all(call)
    else:
        _detach(call, names)


def _detach(call: Call, names: tuple[str, ...]) -> None:
    from shipway.cli.report import deliver
    from shipway.cli.text import listed

    with call.open() as prefix:
        outcome = prefix.detach(list(dict.fromkeys(names)))
    forgotten = [f"{change.name} {change.old}" for change in outcome.changes]
    verb = "is" if len(forgotten) == 1 else "are"
    deliver(
        call,
        outcome,
        f"{listed(forgotten)} {verb} forgotten (transaction {outcome.number}); the files are where they were",
    )


def _detach_all(call: Call) -> None:
    with call.open() as prefix:
        names = [p.package.name for p in prefix.packages()]
        removed = prefix.detach_all()
    if call.json:
        call.console.document({"detached": names, "removed": removed})
    elif not call.quiet:
        call.console.answer(f"{call.root} is a plain tree now; {removed} is gone")
