"""`shipway shell`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

import click

from shipway.cli.building import Asked, Building, python_of, with_building, workshop_of
from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.api import Prefix
    from shipway.build.one import Request
    from shipway.build.recipe_file import Found
    from shipway.schedule.order import Workshop
    from shipway.schedule.rooms import Room

TERMINAL = ("TERM", "COLORTERM", "LINES", "COLUMNS")
"""What a person at a terminal wants beside the variables of a build."""


@as_command("shell", allow_interspersed_args=False)
@click.argument("name", required=False)
@click.argument("words", metavar="[-- CMD…]", nargs=-1, type=click.UNPROCESSED)
@with_building
@pass_call
def command(call: Call, name: str | None, words: tuple[str, ...], **wanted: Unpack[Building]) -> int:
    """Open a shell as a build of NAME has it: its environment, its directory, and nothing of the prefix is changed.

    A build that failed, or was kept, is found as it was left; else its source is prepared.  Without NAME: the environment
    of every build of this prefix.
    """
    from shipway.build.shell import SHELL, open_shell
    from shipway.schedule.rooms import Room

    with call.open() as prefix:
        shop = workshop_of(call, prefix, wanted, python_of(call))
        found = Asked(call, wanted, (name,)).founds[0] if name else _any()
        room = Room(prefix.site.fs, shop.rooms, found.recipe.name)
        room.lock.acquire(wait=call.wait, on_wait=prefix.site.on_wait)
        try:
            if not room.source or not os.path.isdir(room.source):
                _prepare(call, prefix, wanted, found, room)
            request = _request(found, shop, room)
            call.console.say(
                f"the environment of {name or 'every build'} for {call.root}; nothing that is written there stays"
            )
            call.console.progress.clear()
            more = {variable: os.environ[variable] for variable in TERMINAL if variable in os.environ}
            return open_shell(request, more, words[words[:1] == ("--",) :] or SHELL)
        finally:
            room.lock.release()


def _any() -> Found:
    """A package that stands for all: what every build of a prefix sees."""
    from shipway.build.recipe import Recipe
    from shipway.build.recipe_file import Found

    return Found(Recipe(name="shell", version="0"), os.getcwd())


def _prepare(call: Call, prefix: Prefix, wanted: Building, found: Found, room: Room) -> None:
    from shipway.build.fetching import FetchError, fetch
    from shipway.build.sources import prepare
    from shipway.cli.sources import Ear, fetching_options

    harvest = fetch(prefix.site.fs, [found], fetching_options(call, wanted), Ear(call))
    if harvest.failures:
        raise FetchError(f"the sources of {found.recipe.name} could not be fetched", details=harvest.failures)
    room.clear()
    source = prepare(found, harvest.files[0][1], room.directory.source)
    room.prepared(source)


def _request(found: Found, shop: Workshop, room: Room) -> Request:
    from shipway.build.one import Request

    if found.recipe.build.system == "host":
        raise UsageError(f"{found.recipe.name} is not built: only the host can provide it")
    return Request(
        found,
        shop.prefix,
        room.directory,
        room.source,
        shop.logs,
        tools=shop.tools,
        isolation=shop.isolation,
        jobs=shop.processors,
        contact=shop.contact,
        writable=shop.writable,
    )
