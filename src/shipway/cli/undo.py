"""`shipway undo`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.model.config import POLICIES


@as_command("undo")
@click.argument("transaction", type=click.IntRange(min=1), required=False)
@click.option(
    "--on-conflict",
    type=click.Choice(POLICIES),
    help="What to do about paths that others have by now [else: fail].",
)
@pass_call
def command(call: Call, transaction: int | None, on_conflict: str | None) -> None:
    """Take a transaction back: the last one that has its effect, or the one given by its number.

    Undo again goes one further back, `shipway redo` forward.  To undo is a transaction too.
    """
    from shipway.cli.report import briefs, deliver, footnote
    from shipway.model.planning import Policy

    policy = Policy(on_conflict or call.place.config.on_conflict)
    with call.open() as prefix:
        outcome = prefix.undo(transaction, policy=policy)
        row = prefix.site.database.transaction(outcome.number)
        what = f": {briefs(outcome.changes)}" if outcome.changes else ""
        deliver(call, outcome, f"transaction {row.undoes if row else 0} is undone{what} {footnote(outcome)}")
