"""`shipway env`."""

from __future__ import annotations

import os

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

SHELLS = ("sh", "fish", "csh", "modulefile", "lmod")


@as_command("env")
@click.option("--shell", type=click.Choice(SHELLS), default="sh", show_default=True, help="In whose words.")
@click.option("--libraries", is_flag=True, help="LD_LIBRARY_PATH too, which every program will obey.")
@pass_call
def command(call: Call, shell: str, libraries: bool) -> None:
    """Print what a shell needs to use the prefix.

    In sh: eval "$(shipway -p PREFIX env)".  In fish: shipway -p PREFIX env --shell fish | source
    """
    from shipway.prefix.environment import OPTIONAL, render, variables

    root = os.path.realpath(call.place.prefix)
    there = [path for path in OPTIONAL if os.path.isdir(f"{root}/{path}")]
    found = variables(root, there, libraries=libraries)
    if call.json:
        call.console.document({variable.name: list(variable.directories) for variable in found})
    else:
        call.console.raw(render(shell, found, root))
