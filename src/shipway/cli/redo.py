"""`shipway redo`."""

from __future__ import annotations

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("redo")
@pass_call
def command(call: Call) -> None:
    """Take the last undo back, unless something else was committed since."""
    from shipway.cli.report import briefs, deliver, footnote

    with call.open() as prefix:
        outcome = prefix.undo(redo=True)
        what = f": {briefs(outcome.changes)}" if outcome.changes else ""
        deliver(call, outcome, f"the last undo is taken back{what} {footnote(outcome)}")
