"""What has to be there for what is wanted: the recipes, what each needs, and an order in which all needs come first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as Names
from typing import NamedTuple

from shipway.build.collection import circles
from shipway.build.recipe import Recipe
from shipway.build.recipe_file import Found
from shipway.errors import ShipwayError, UsageError

ALWAYS = ("build", "run", "order_only")
"""The classes of dependencies that a build waits for."""


class Node(NamedTuple):
    """A package to be there: its recipe, the names it waits for, those of them whose change rebuilds it, and those that it runs with."""

    found: Found
    needs: tuple[str, ...]
    counts: tuple[str, ...]
    runs: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """The recipe alone."""
        return self.found.recipe


class Graph(NamedTuple):
    """The nodes by name, needs before what needs them; and what the host provides, each with how that was seen."""

    nodes: Mapping[str, Node]
    provided: Mapping[str, str]

    def users_of(self, name: str) -> Iterator[str]:
        """Who waits for a name, directly or not."""
        waiting = {name}
        for other, node in self.nodes.items():
            if waiting & set(node.needs):
                waiting.add(other)
                yield other


class Choice(NamedTuple):
    """What shapes a graph.

    `find` gives a recipe by name or identity; `provided` says how the host provides it, "" if it does not; `install_line` is
    what a person types to have the host provide more; `checked` are
    the packages whose tests are to run, None for all; `installed` the names that are installed.
    """

    find: Callable[[str], Found]
    provided: Callable[[Recipe], str]
    install_line: Callable[[Iterable[Recipe]], str] = lambda recipes: ""
    checked: Names[str] | None = frozenset()
    installed: Names[str] = frozenset()


def graph_of(wanted: Iterable[str], choice: Choice) -> Graph:
    """The graph below some names.  Raises UsageError for a name without recipe and for circles."""
    asked = [choice.find(word).recipe.name for word in wanted]
    provided: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    open_names = list(dict.fromkeys(asked))
    while open_names:
        name = open_names.pop()
        if name in nodes or name in provided:
            continue
        found = choice.find(name)
        how = "" if name in asked and found.recipe.build.system != "host" else choice.provided(found.recipe)
        if how:
            provided[name] = how
            continue
        nodes[name] = _node(found, choice)
        open_names += nodes[name].needs
    _refuse_missing([node.recipe for node in nodes.values() if node.recipe.build.system == "host"], choice)
    return Graph(_sorted(_without(nodes, provided)), provided)


def _refuse_missing(missing: Sequence[Recipe], choice: Choice) -> None:
    """What only the host can provide, and does not."""
    if missing:
        line = choice.install_line(missing)
        names = " and ".join(sorted(recipe.name for recipe in missing))
        raise ShipwayError(f"the host has to provide {names}, and does not", hint=line or "install it there")


def _node(found: Found, choice: Choice) -> Node:
    recipe = found.recipe
    counts = [*recipe.dependencies.build, *recipe.dependencies.run]
    counts += [name for name in recipe.dependencies.optional if name in choice.installed]
    others = [*recipe.dependencies.order_only]
    if choice.checked is None or recipe.name in choice.checked:
        others += recipe.dependencies.check
    called = [choice.find(name).recipe.name for name in (*counts, *others)]
    runs = [choice.find(name).recipe.name for name in recipe.dependencies.run]
    return Node(found, tuple(dict.fromkeys(called)), tuple(dict.fromkeys(called[: len(counts)])), tuple(runs))


def _without(nodes: Mapping[str, Node], provided: Names[str]) -> dict[str, Node]:
    """The same without the edges to what the host provides."""

    def kept(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in provided)

    return {
        name: Node(node.found, kept(node.needs), kept(node.counts), kept(node.runs)) for name, node in nodes.items()
    }


def _sorted(nodes: Mapping[str, Node]) -> dict[str, Node]:
    found = circles({name: node.needs for name, node in nodes.items()})
    if found:
        lines = [" needs ".join(circle) for circle in found]
        raise UsageError(
            "the recipes need each other in a circle", details=lines, hint="mend dependencies in the recipes"
        )
    order: dict[str, Node] = {}

    def place(name: str) -> None:
        if name not in order:
            for need in sorted(nodes[name].needs):
                place(need)
            order[name] = nodes[name]

    for name in sorted(nodes):
        place(name)
    return order
