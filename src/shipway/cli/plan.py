"""`shipway plan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from shipway.cli.call import Call
from shipway.cli.collection import collection, with_recipes
from shipway.cli.options import as_command, pass_call
from shipway.cli.wanted import asked_for, choice_of
from shipway.model.entry import DIRECTORY

if TYPE_CHECKING:
    from shipway.build.recipe import Recipe
    from shipway.prefix.site import Site
    from shipway.schedule.graph import Graph
    from shipway.schedule.steps import Step


class Wanted(TypedDict):
    """What was said on the command line."""

    all_of_them: bool
    rebuild: bool
    check: bool
    system: tuple[str, ...]


@as_command("plan")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--all", "all_of_them", is_flag=True, help="All recipes, but for experimental ones.")
@click.option("--rebuild", is_flag=True, help="Build what is named, whatever is installed.")
@click.option("--check", is_flag=True, help="With the tests of what is built, and what these need.")
@click.option(
    "--system",
    multiple=True,
    metavar="NAME|auto",
    help="Take NAME from the host if it has it; auto: whatever it has.  May be repeated.",
)
@with_recipes
@pass_call
def command(call: Call, names: tuple[str, ...], recipes: tuple[str, ...], **wanted: Unpack[Wanted]) -> None:
    """Say what `install` would build, why, and what the host provides.  Nothing is changed."""
    from shipway.build.host import here
    from shipway.cli.building import flags_of, python_of
    from shipway.schedule.graph import graph_of
    from shipway.schedule.standing import Tooling, standing_of
    from shipway.schedule.steps import steps_of

    known, host = collection(call, recipes), here()
    asked = asked_for(known, names, all_of_them=wanted["all_of_them"])
    checked = None if wanted["check"] else frozenset[str]()
    graph = graph_of(asked, choice_of(call, known, host, wanted["system"], checked))
    with call.look() as site:
        toolchain = {name: said for name in graph.nodes if (said := _toolchain(site, graph.nodes[name].recipe))}
        steps = steps_of(
            graph,
            standing_of(site, graph, Tooling(flags_of(call), python_of(call)), asked if wanted["rebuild"] else ()),
        )
    _tell(call, steps, toolchain, host.to_install(_from_host_instead(graph, steps)))


def _toolchain(site: Site, recipe: Recipe) -> list[str]:
    """Why a package commits only when no build runs, as far as its recipe and what is installed of it tell."""
    from shipway.model.toolchain import toolchain_reasons
    from shipway.prefix.queries import files

    said = ["its recipe says so"] if recipe.exclusive else []
    there = site.database.installed().get(recipe.purl)
    if there is not None:
        said += toolchain_reasons(path for path, entry in files(site.database, there) if entry.kind != DIRECTORY)
    return said


def _from_host_instead(graph: Graph, steps: list[Step]) -> list[Recipe]:
    """What is to be built although the host might have it."""
    from shipway.schedule.steps import Deed

    return [graph.nodes[step.name].recipe for step in steps if step.deed is Deed.BUILD]


def _tell(call: Call, steps: list[Step], toolchain: Mapping[str, list[str]], line: str) -> None:
    from shipway.cli.text import columns, plural
    from shipway.schedule.steps import Deed

    if call.json:
        rows = [
            {
                **step._asdict(),
                "deed": step.deed.value,
                "reasons": list(step.reasons),
                "exclusive": toolchain.get(step.name, []),
            }
            for step in steps
        ]
        call.console.document({"steps": rows, "install_line": line})
        return
    shown = [step for step in steps if step.deed is not Deed.KEEP or call.verbose]
    call.console.answer(*columns([(s.deed.value, s.name, s.new, "; ".join(s.reasons)) for s in shown]))
    for step in shown:
        if why := toolchain.get(step.name):
            call.console.answer(f"{step.name} is toolchain, and is committed when no build runs: {'; '.join(why)}")
    count = sum(step.deed is Deed.BUILD for step in steps)
    call.console.say(f"{plural(count, 'package')} to build, {plural(len(steps) - count, 'package')} there")
    if line:
        call.console.say(f"to take more from the host: {line}, then --system auto")
