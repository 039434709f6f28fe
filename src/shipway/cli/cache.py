"""`shipway cache`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

if TYPE_CHECKING:
    from shipway.store.depot import Depot
    from shipway.store.stocktaking import Held


@as_command("cache")
@click.argument("what", metavar="[dir|info|prune]", type=click.Choice(["dir", "info", "prune"]), default="info")
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=1024,
    show_default=True,
    metavar="MIB",
    help="prune: Keep so much that no prefix shares.",
)
@click.option("--days", type=click.IntRange(min=0), metavar="N", help="prune: Keep only what was used in so many days.")
@click.option("--thorough", is_flag=True, help="prune: Look for damage by content, not by size and time.")
@pass_call
def command(call: Call, what: str, keep: int, days: int | None, thorough: bool) -> None:
    """Say what the user's cache holds, where it is, or give up what is damaged, old, or not in use and too much."""
    from shipway.prefix.site import Options
    from shipway.store.depot import Depot, directory_of
    from shipway.store.stocktaking import DAY, Terms, held, prune

    depot = Depot(call.file_system(), directory_of())
    if what == "dir" and not call.json:
        call.console.answer(depot.directory)
        return
    gone: list[Held] = []
    if what == "prune":
        since = 0.0 if days is None else time.time() - days * DAY
        gone = prune(depot, Terms(keep << 20, since, thorough), call.jobs or Options().jobs, call.console.warn)
    _tell(call, depot, held(depot), gone, pruned=what == "prune")


def _tell(call: Call, depot: Depot, left: list[Held], gone: list[Held], *, pruned: bool) -> None:
    from shipway.cli.text import plural, size

    whole, unshared = sum(each.bytes for each in left), sum(each.unshared for each in left)
    if call.json:
        sizes = {"images": len(left), "bytes": whole, "unshared": unshared, "removed": len(gone)}
        call.console.document({"directory": depot.directory, **sizes})
        return
    if pruned:
        freed = size(sum(each.unshared for each in gone))
        call.console.answer(f"{plural(len(gone), 'image')} removed, {freed} freed")
    answer = (
        f"{plural(len(left), 'image')}, {size(whole)}, {size(unshared)} of it shared by no prefix, in {depot.directory}"
    )
    call.console.answer(answer)
