"""`shipway recover`."""

from __future__ import annotations

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("recover")
@pass_call
def command(call: Call) -> None:
    """Finish what an interrupted process left; try a stuck transaction again.

    Every command does the first by itself; a boot unit or a careful person does it with this one.
    """
    call.if_interrupted = "run it again, it goes on where it stopped"
    call.ear.tells_recovery = False
    with call.open() as prefix:
        prefix.recover()
    found = call.ear.recovered
    if call.json:
        call.console.document({"recovered": found})
    else:
        call.console.answer(*(found or ["nothing was left to recover"]))
