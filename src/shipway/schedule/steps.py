"""The plan of an installation: for every package that is needed, what is to be done and why.  A pure function."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from shipway.model.facts import Installed
from shipway.schedule.graph import Graph, Node
from shipway.schedule.ingredients import Ingredients, reasons


class Deed(StrEnum):
    """What is done about a package."""

    BUILD = "build"
    KEEP = "keep"
    HOST = "host"


class Step(NamedTuple):
    """One package: its version before ("" for none) and after, what is done, and why, in words."""

    name: str
    old: str
    new: str
    deed: Deed
    reasons: tuple[str, ...]


class Standing(NamedTuple):
    """What there is: packages and what they were built from, by identity, and what holds for every build.

    `files` is a digest of each recipe's patches and scripts, by name.  `again` are names that are to be built whatever there is.
    `python` is what Python packages are for.
    """

    installed: Mapping[str, Installed]
    notes: Mapping[str, Ingredients]
    files: Mapping[str, str]
    flags: str
    compiler: str
    again: Names[str] = ()
    python: str = ""


def steps_of(graph: Graph, standing: Standing) -> list[Step]:
    """The steps in the order of the graph, what the host provides first."""
    steps = [Step(name, "", "", Deed.HOST, (how,)) for name, how in sorted(graph.provided.items())]
    built: list[str] = []
    for name in graph.nodes:
        step = step_of(name, graph, standing, built)
        steps.append(step)
        if step.deed is Deed.BUILD:
            built.append(name)
    return steps


def step_of(name: str, graph: Graph, standing: Standing, built: Names[str] = ()) -> Step:
    """The step of one package; `built` are those of its needs that will be built, so that nobody knows their images yet."""
    node = graph.nodes[name]
    recipe = node.recipe
    there = standing.installed.get(recipe.purl)
    version = there.version if there else ""
    why = list(_reasons(node, there, graph, standing))
    if there is not None:
        why += [f"{need} is built before it" for need in node.counts if need in built]
    return Step(name, version, recipe.version, Deed.BUILD if why else Deed.KEEP, tuple(why))


def ingredients_of(node: Node, graph: Graph, standing: Standing) -> Ingredients:
    """What a package would be built from now; needs that are not installed are left out."""
    from shipway.schedule.ingredients import recipe_digest, sources_digest

    recipe = node.recipe
    identities = [graph.nodes[name].recipe.purl for name in node.counts]
    needs = {each: standing.installed[each].image for each in identities if each in standing.installed}
    compiler = standing.compiler
    if recipe.build.system in ("python", "wheel"):
        compiler = f"{compiler}\n{standing.python}"
    runs = tuple(sorted(graph.nodes[name].recipe.purl for name in node.runs))
    digests = (recipe_digest(recipe), sources_digest(recipe), standing.files.get(recipe.name, ""))
    return Ingredients(recipe.version, *digests, standing.flags, compiler, needs, runs)


def _reasons(node: Node, there: Installed | None, graph: Graph, standing: Standing) -> tuple[str, ...]:
    if there is None:
        return ("it is not installed",)
    asked = ("it was asked for",) if node.recipe.name in standing.again else ()
    names = {each.recipe.purl: name for name, each in graph.nodes.items()}
    return (*asked, *reasons(standing.notes.get(there.identity), ingredients_of(node, graph, standing), names))
