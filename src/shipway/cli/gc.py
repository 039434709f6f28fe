"""`shipway gc`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("gc")
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    metavar="N",
    help="Transactions to keep the undo areas of [else: the horizon].",
)
@pass_call
def command(call: Call, keep: int | None) -> None:
    """Give up undo areas beyond the horizon, images that nothing refers to, and remains of dead processes."""
    from shipway.cli.text import plural, ranges, visible

    call.if_interrupted = "run it again, it goes on where it stopped"
    with call.open() as prefix:
        done = prefix.gc(keep)
    call.console.warn(*(visible(str(left)) for left in done.left))
    if call.json:
        call.console.document(
            {
                "transactions": list(done.transactions),
                "images": list(done.images),
                "strays": list(done.strays),
                "left": [left._asdict() for left in done.left],
                "earlier": list(done.earlier),
            }
        )
        return
    for stray in done.strays:
        call.console.say(f"note: {stray} was written into an old directory; it is kept there")
    for path in done.earlier:
        call.console.say(f"note: {path}, given up earlier, is gone now")
    if not done.transactions and not done.images:
        call.console.answer("nothing was left to give up")
        return
    numbers = f" ({ranges(done.transactions)})" if done.transactions else ""
    undo = f"the undo of {plural(len(done.transactions), 'transaction')}{numbers}"
    call.console.answer(f"gave up {undo} and {plural(len(done.images), 'image')}")
