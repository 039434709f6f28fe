"""`shipway exec`."""

from __future__ import annotations

import shlex

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("exec", allow_interspersed_args=False)
@click.argument("words", metavar="-- CMD…", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_call
def command(call: Call, words: tuple[str, ...]) -> int:
    """Run CMD while no package of the prefix moves: commits that would move one wait until it has ended.

    The exit code is CMD's own; 127 if it cannot be found, 126 if it cannot be run, 128 + N if signal N ended it.
    """
    from shipway.cli.child import run
    from shipway.prefix.leases import ALL, Options, take

    with call.open() as prefix:
        site = prefix.site
    options = Options(command=shlex.join(words), wait=call.wait, on_wait=site.on_wait)
    with take(site.layout.leases, ALL, options) as lease:
        call.console.say(f"running under a lease on all packages of {call.root}")
        call.console.progress.clear()
        return run(words, lease.environment())
