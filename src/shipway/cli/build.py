"""`shipway build`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

import click

from shipway.cli.building import Asked, Building, checks_of, run_of, with_building
from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.schedule.maker import Made
    from shipway.schedule.run import Job


class Wanted(Building):
    """The options of the command."""

    output: str | None
    check: tuple[str, ...]
    rebuild: bool


@as_command("build")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write the image of one package to FILE."
)
@click.option("--check", multiple=True, metavar="[NAME=]no|warn|yes", help="Run tests; may be repeated.")
@click.option("--rebuild", is_flag=True, help="Build anew what was built before.")
@with_building
@pass_call
def command(call: Call, names: tuple[str, ...], **wanted: Unpack[Wanted]) -> None:
    """Build packages and change nothing: what they need must be installed.

    What was built is kept for `install`; with -o it is written to a file, which `merge` takes.
    """
    from shipway.cli.build_report import Ear, deliver
    from shipway.schedule.order import Order
    from shipway.schedule.run import Driver

    call.if_interrupted = "nothing was changed; what was built is kept"
    asked = Asked(call, wanted, names)
    if wanted["output"] and len(asked.names) > 1:
        raise UsageError("-o FILE goes with one package", hint="build them one by one")
    order = Order(
        frozenset(asked.names),
        jobs=call.options().jobs,
        checks=checks_of(call, wanted["check"]),
        commit=False,
        keep_going=wanted["keep_going"],
    )
    again = tuple(asked.names) if wanted["rebuild"] else ()
    with run_of(call, asked, order, again) as (job, prefix):
        files = Files(job, wanted["output"]) if wanted["output"] else None
        results = Driver(job, prefix, Ear(call, len(job.files)), files.write if files else None).run()
        deliver(call, results)
        if files and not call.json and not call.quiet:
            call.console.answer(files.path)


class Files:
    """Writes what was built to a file, while its room is ours."""

    def __init__(self, job: Job, path: str) -> None:
        self.job = job
        self.path = os.path.abspath(path)

    def write(self, made: Made, exclusive: bool) -> None:
        """Write the image.  Raises ShipwayError, UsageError or OSError; then a file that was there stays."""
        from shipway.schedule.order import is_wheel
        from shipway.store.image_file import About, write_tree, write_wheel

        recipe = self.job.graph.nodes[made.name].recipe
        about = About(
            recipe.purl, recipe.name, recipe.version, self.job.shop.prefix, exclusive, made.ingredients.encode()
        )
        if is_wheel(recipe):
            write_wheel(made.room.fs, about, made.stage.wheels[0], self.path)
        else:
            made.room.ensure_tree(made.stage.staged.tree)
            write_tree(made.room.fs, about, made.stage.staged.tree, self.path)
