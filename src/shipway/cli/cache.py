"""`shipway cache`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

if TYPE_CHECKING:
    from shipway.build.stocktaking import Held as Archive
    from shipway.store.stocktaking import Held


@as_command("cache")
@click.argument("what", metavar="[dir|info|prune]", type=click.Choice(["dir", "info", "prune"]), default="info")
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=1024,
    show_default=True,
    metavar="MIB",
    help="prune: Keep so much that no prefix shares, and so much of sources.",
)
@click.option("--days", type=click.IntRange(min=0), metavar="N", help="prune: Keep only what was used in so many days.")
@click.option("--thorough", is_flag=True, help="prune: Look for damage by content, not by size and time.")
@pass_call
def command(call: Call, what: str, keep: int, days: int | None, thorough: bool) -> None:
    """Say what the user's cache holds, where it is, or give up what is damaged, old, or not in use and too much."""
    from shipway.build import stocktaking
    from shipway.prefix.site import Options
    from shipway.store.depot import Depot, directory_of
    from shipway.store.stocktaking import DAY, Terms, held, prune

    depot = Depot(call.file_system(), directory_of())
    if what == "dir" and not call.json:
        call.console.answer(depot.directory)
        return
    images, archives = Images(), Sources()
    if what == "prune":
        since = 0.0 if days is None else time.time() - days * DAY
        gone = prune(depot, Terms(keep << 20, since, thorough), call.jobs or Options().jobs, call.console.warn)
        reader = call.console.warn if thorough else None
        images = Images(gone)
        archives = Sources(stocktaking.prune(depot.fs, depot.directory, keep << 20, since, reader))
    images, archives = images._replace(left=held(depot)), archives._replace(left=stocktaking.held(depot.directory))
    if call.json:
        call.console.document({"directory": depot.directory, **images.document(), **archives.document()})
    else:
        call.console.answer(*images.told(depot.directory, pruned=what == "prune"), *archives.told())


class Images(NamedTuple):
    """Images that have just gone, and those that are left."""

    gone: Sequence[Held] = ()
    left: Sequence[Held] = ()

    def document(self) -> dict[str, int]:
        """As JSON."""
        whole, unshared = sum(each.bytes for each in self.left), sum(each.unshared for each in self.left)
        return {"images": len(self.left), "bytes": whole, "unshared": unshared, "removed": len(self.gone)}

    def told(self, directory: str, *, pruned: bool) -> Iterator[str]:
        """As lines."""
        from shipway.cli.text import plural, size

        if pruned:
            freed = size(sum(each.unshared for each in self.gone))
            yield f"{plural(len(self.gone), 'image')} removed, {freed} freed"
        sizes = self.document()
        whole, unshared = size(sizes["bytes"]), size(sizes["unshared"])
        yield f"{plural(len(self.left), 'image')}, {whole}, {unshared} of it shared by no prefix, in {directory}"


class Sources(NamedTuple):
    """Archives and the like that have just gone, and those that are left."""

    gone: Sequence[Archive] = ()
    left: Sequence[Archive] = ()

    def document(self) -> dict[str, dict[str, int]]:
        """As JSON."""
        sizes = {"count": len(self.left), "bytes": sum(each.bytes for each in self.left), "removed": len(self.gone)}
        return {"sources": sizes}

    def told(self) -> Iterator[str]:
        """As lines; none where there is nothing."""
        from shipway.cli.text import plural, size

        if self.gone:
            yield f"{plural(len(self.gone), 'source')} of builds removed, {size(sum(e.bytes for e in self.gone))} freed"
        if self.left:
            yield f"{plural(len(self.left), 'source')} of builds, {size(sum(each.bytes for each in self.left))}"
