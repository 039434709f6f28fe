"""What is done about each package, and why."""

from __future__ import annotations

from typing import Any

import pytest

from shipway.build.recipe import Recipe
from shipway.build.recipe_file import Found
from shipway.model.facts import Installed
from shipway.schedule.graph import Graph, Node
from shipway.schedule.steps import Deed, Standing, ingredients_of, steps_of


def recipe(name: str, version: str = "1", **more: Any) -> Recipe:
    return Recipe.model_validate({"name": name, "version": version, "build": {"system": "make"}, **more})


def graph(*recipes: Recipe, needs: dict[str, tuple[str, ...]], order_only: tuple[str, ...] = ()) -> Graph:
    nodes = {}
    for each in recipes:
        all_needs = needs.get(each.name, ())
        nodes[each.name] = Node(Found(each, ""), all_needs, tuple(n for n in all_needs if n not in order_only))
    return Graph(nodes, {"python3": "program python3 3.11"})


GMP, MPFR = recipe("gmp"), recipe("mpfr")
BOTH = graph(GMP, MPFR, needs={"mpfr": ("gmp",)})


def standing(wanted: Graph, **more: Any) -> Standing:
    """Everything is installed, built from just this."""
    installed = {
        n.recipe.purl: Installed(n.recipe.purl, name, "1", f"image-{name}", 1, 1) for name, n in wanted.nodes.items()
    }
    now = Standing(installed, {}, {}, "-O2", "gcc 12")
    notes = {node.recipe.purl: ingredients_of(node, wanted, now) for node in wanted.nodes.values()}
    return now._replace(notes=notes)._replace(**more)


def told(wanted: Graph, there: Standing) -> dict[str, tuple[str, ...]]:
    return {step.name: step.reasons for step in steps_of(wanted, there) if step.deed is Deed.BUILD}


def test_what_is_there_as_it_would_be_built_is_kept() -> None:
    steps = steps_of(BOTH, standing(BOTH))
    assert [(step.name, step.deed) for step in steps] == [
        ("python3", Deed.HOST),
        ("gmp", Deed.KEEP),
        ("mpfr", Deed.KEEP),
    ]


def test_what_is_not_there_is_built_in_order() -> None:
    assert told(BOTH, standing(BOTH, installed={})) == {
        "gmp": ("it is not installed",),
        "mpfr": ("it is not installed",),
    }


def test_a_new_version_of_a_need_builds_what_was_built_with_it() -> None:
    newer = graph(recipe("gmp", "2"), MPFR, needs={"mpfr": ("gmp",)})
    assert told(newer, standing(BOTH)) == {
        "gmp": ("1 is installed, the recipe is of 2",),
        "mpfr": ("gmp is built before it",),
    }


def test_an_order_only_need_builds_nothing_again() -> None:
    only = graph(recipe("gmp", "2"), MPFR, needs={"mpfr": ("gmp",)}, order_only=("gmp",))
    before = graph(GMP, MPFR, needs={"mpfr": ("gmp",)}, order_only=("gmp",))
    assert list(told(only, standing(before))) == ["gmp"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"flags": "-O3"}, "the flags have changed"),
        ({"compiler": "gcc 13"}, "the compiler, or the interpreter, has changed"),
        ({"files": {"gmp": "x"}}, "its patches or scripts have changed"),
        ({"again": {"gmp"}}, "it was asked for"),
        ({"notes": {}}, "nobody knows what it was built from"),
    ],
)
def test_what_has_changed_is_the_reason(change: dict[str, Any], why: str) -> None:
    assert told(BOTH, standing(BOTH, **change))["gmp"] == (why,)


def test_a_need_that_somebody_else_replaced_is_a_reason() -> None:
    there = standing(BOTH)
    other = there.installed[GMP.purl]._replace(image="image-other")
    changed = there._replace(installed={**there.installed, GMP.purl: other})
    assert told(BOTH, changed) == {"mpfr": ("gmp has changed",)}


def test_another_interpreter_builds_python_packages_again_and_no_others() -> None:
    both = graph(GMP, recipe("gmpy2", build={"system": "python"}), needs={"gmpy2": ("gmp",)})
    why = ("the compiler, or the interpreter, has changed",)
    assert told(both, standing(both, python="cpython-314")) == {"gmpy2": why}
