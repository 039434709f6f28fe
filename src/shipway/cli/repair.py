"""`shipway repair`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("repair")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@pass_call
def command(call: Call, names: tuple[str, ...]) -> None:
    """Put back from the images what is missing or was changed, of the packages named or of all.

    What was changed is kept in the undo area.  Bytecode that the prefix's interpreter does not take any more is compiled anew.
    """
    from shipway.cli.report import deliver, footnote
    from shipway.cli.text import plural

    with call.open() as prefix:
        outcome = prefix.repair(list(dict.fromkeys(names)))
        mended = sum(note.kind == "repaired" for note in outcome.notes)
        what = f"{plural(mended, 'path')} put back" if mended else "bytecode compiled anew"
        sentence = f"{what} in {call.root} {footnote(outcome)}"
        deliver(call, outcome, sentence, nothing=f"all is as recorded in {call.root}; there was nothing to do")
