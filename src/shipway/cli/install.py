"""`shipway install`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Unpack

import click

from shipway.cli.building import Asked, Building, checks_of, run_of, with_building
from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError
from shipway.model.config import POLICIES

if TYPE_CHECKING:
    from shipway.schedule.order import Order


class Wanted(Building):
    """The options of the command."""

    everything: bool
    check: tuple[str, ...]
    rebuild: bool
    deps: bool
    only_deps: bool
    on_conflict: str | None
    undo_on_failure: bool
    yes: bool


@as_command("install")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All recipes, but for experimental ones.")
@click.option("--check", multiple=True, metavar="[NAME=]no|warn|yes", help="Run tests; may be repeated.")
@click.option("--rebuild", is_flag=True, help="Build what is named, whatever is installed.")
@click.option("--no-deps", "deps", flag_value=False, default=True, help="Build nothing but what is named.")
@click.option("--only-deps", is_flag=True, help="Build what the named packages need, not them.")
@click.option(
    "--on-conflict", type=click.Choice(POLICIES), help="What to do about paths that others have [else: fail]."
)
@click.option("--undo-on-failure", is_flag=True, help="Take a package back whose tests fail after its commit.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before an experimental package is built.")
@with_building
@pass_call
def command(call: Call, names: tuple[str, ...], **wanted: Unpack[Wanted]) -> None:
    """Fetch, build, test and commit packages and what they need, several at a time."""
    from shipway.cli.build_report import Ear, deliver
    from shipway.schedule.run import Driver

    call.if_interrupted = "what was committed stays, and the same command goes on from there"
    asked = Asked(call, wanted, names, everything=wanted["everything"])
    _confirm(call, asked, yes=wanted["yes"])
    order = _order(call, asked, wanted)
    again = tuple(asked.names) if wanted["rebuild"] else ()
    with run_of(call, asked, order, again) as (job, prefix):
        deliver(call, Driver(job, prefix, Ear(call, len(job.files))).run())


def _order(call: Call, asked: Asked, wanted: Wanted) -> Order:
    from shipway.model.planning import Policy
    from shipway.schedule.order import Order

    if wanted["only_deps"] and not wanted["deps"]:
        raise UsageError("--no-deps and --only-deps together leave nothing to do")
    return Order(
        frozenset(asked.names),
        jobs=call.options().jobs,
        checks=checks_of(call, wanted["check"]),
        policy=Policy(wanted["on_conflict"] or call.place.config.on_conflict),
        deps=wanted["deps"],
        only_deps=wanted["only_deps"],
        keep_going=wanted["keep_going"],
        keep_build=wanted["keep_build"],
        undo_on_failure=wanted["undo_on_failure"],
    )


def _confirm(call: Call, asked: Asked, *, yes: bool) -> None:
    """Experimental packages are asked about first."""
    names = [found.recipe.name for found in asked.founds if found.recipe.experimental]
    if not names or yes:
        return
    listed = " and ".join(names)
    if call.json or not sys.stdin.isatty():
        raise UsageError(
            f"{listed} {'is' if len(names) == 1 else 'are'} experimental", hint="say --yes to build it all the same"
        )
    click.confirm(
        f"{listed} {'is' if len(names) == 1 else 'are'} experimental; build all the same?", abort=True, err=True
    )
