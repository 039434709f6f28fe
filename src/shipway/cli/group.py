"""The `shipway` command: its commands by name, each in a module that is loaded when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from shipway import __version__
from shipway.cli.call import Call
from shipway.cli.options import global_options
from shipway.errors import Interrupted

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Change what is installed": {
        "merge": "Install a staged tree or an image file, or upgrade to it.",
        "remove": "Remove packages.",
        "undo": "Take a transaction back.",
        "redo": "Take the last undo back.",
        "repair": "Put back what is missing or was changed.",
        "detach": "Forget packages, and keep their files.",
        "adopt": "Take over what pip or uv installed, and heal it.",
        "pip": "Install, remove or sync Python projects; pip's own commands.",
    },
    "Build": {
        "install": "Build packages and what they need, and put them in.",
        "build": "Build packages and keep them, or write an image to a file.",
        "check": "Build packages and run their tests.",
        "shell": "Open a shell where a package is built.",
        "plan": "Say what would be built, and why.",
        "fetch": "Fetch sources, and check them.",
        "recipe": "Look at recipes, check, write and mend them.",
        "log": "Show what was said while a package was built.",
    },
    "Ask": {
        "list": "List what is installed.",
        "show": "Show one package.",
        "files": "List the files of a package.",
        "owner": "Say whose a path is.",
        "history": "List the transactions.",
        "verify": "Compare what lies on disk with the record.",
        "du": "Say what the prefix takes on its disk.",
        "env": "Print what a shell needs to use the prefix.",
    },
    "Work with the prefix": {
        "exec": "Run a command while no package it can see moves.",
        "init": "Write a shipway.toml.",
        "recover": "Finish what an interrupted process left.",
        "gc": "Give up old undo areas and unused images.",
        "rehome": "Make a moved or copied prefix at home where it is.",
        "cache": "Say what the user's cache holds, or make it smaller.",
        "doctor": "Look for what may go wrong here.",
    },
}
"""The commands with their short help: the help of the whole must not load them all."""

COMMANDS: Mapping[str, str] = {name: text for section in SECTIONS.values() for name, text in section.items()}


class Shipway(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, as the help has them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, from its module; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        found = import_module(f"shipway.cli.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in their sections, without loading one."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; to be interrupted is an error like others, which says what has become of the prefix."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return _interrupted(ctx.ensure_object(Call))


def _interrupted(call: Call) -> int:
    """Before the commit point nothing has changed; after it the transaction stands, whatever is left to do (I3)."""
    if not call.ear.committed:
        raise Interrupted(f"interrupted; {call.if_interrupted}")
    left = "what was left to do after it is done by the next command"
    call.console.say(f"interrupted when transaction {call.ear.committed} was committed; {left}")
    return 0


@click.group(
    cls=Shipway,
    context_settings={"auto_envvar_prefix": "SHIPWAY", "help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed or differences found, 2 usage, 3 conflict, 4 lock not obtained, 5 a build failed, 130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", message="shipway %(version)s")
@click.pass_context
def group(context: click.Context) -> None:
    """Install packages into a live prefix: atomically, recorded, reversibly."""
    context.ensure_object(Call)


group.params.extend(global_options(after=False))
