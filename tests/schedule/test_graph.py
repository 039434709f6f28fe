"""The graph of what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shipway.build.recipe import Recipe
from shipway.build.recipe_file import Found
from shipway.errors import ShipwayError, UsageError
from shipway.schedule.graph import Choice, Graph, graph_of

Needs = Mapping[str, Mapping[str, object]]


def recipes(needs: Needs) -> dict[str, Found]:
    made = {}
    for name, fields in needs.items():
        system = fields.get("system", "make")
        dependencies = {kind: value for kind, value in fields.items() if kind != "system"}
        document = {"name": name, "version": "1", "build": {"system": system}, "dependencies": dependencies}
        made[name] = Found(Recipe.model_validate(document), f"/recipes/{name}")
    return made


def graph(wanted: list[str], needs: Needs, *, host: tuple[str, ...] = (), **more: Any) -> Graph:
    known = recipes(needs)
    choice = Choice(known.__getitem__, lambda recipe: "seen" if recipe.name in host else "")._replace(**more)
    return graph_of(wanted, choice)


MATHS: Needs = {
    "m4": {},
    "gmp": {"build": ["m4"]},
    "mpfr": {"build": ["gmp"], "run": ["gmp"]},
    "mpc": {"build": ["mpfr"], "run": ["gmp", "mpfr"], "check": ["dejagnu"]},
    "dejagnu": {},
    "unrelated": {},
}


def test_needs_come_first_and_nothing_else_comes() -> None:
    assert list(graph(["mpc"], MATHS).nodes) == ["m4", "gmp", "mpfr", "mpc"]


def test_what_the_host_provides_is_not_built_nor_what_only_it_would_need() -> None:
    found = graph(["mpc"], MATHS, host=("gmp", "m4"))
    assert list(found.nodes) == ["mpfr", "mpc"]
    assert found.provided == {"gmp": "seen"}
    assert found.nodes["mpfr"].needs == ()


def test_what_is_asked_for_by_name_is_built_even_if_the_host_has_it() -> None:
    assert list(graph(["gmp"], MATHS, host=("gmp", "m4")).nodes) == ["gmp"]


def test_a_host_s_package_is_never_built_by_us() -> None:
    found = graph(["a"], {"a": {"build": ["python3"]}, "python3": {"system": "host"}}, host=("python3",))
    assert (list(found.nodes), found.provided) == (["a"], {"python3": "seen"})


def test_what_only_the_host_can_provide_is_asked_for_all_at_once() -> None:
    needs: Needs = {"a": {"build": ["tcl", "perl"]}, "tcl": {"system": "host"}, "perl": {"system": "host"}}
    with pytest.raises(ShipwayError, match="has to provide perl and tcl") as caught:
        graph(["a"], needs, install_line=lambda recipes: f"apt install {len(list(recipes))}")
    assert caught.value.hint == "apt install 2"


def test_tests_bring_their_own_needs_only_if_they_are_to_run() -> None:
    assert "dejagnu" not in graph(["mpc"], MATHS).nodes
    assert "dejagnu" in graph(["mpc"], MATHS, checked={"mpc"}).nodes
    assert "dejagnu" in graph(["mpc"], MATHS, checked=None).nodes


def test_an_optional_need_counts_if_it_is_installed() -> None:
    needs: Needs = {"a": {"optional": ["b"]}, "b": {}}
    assert list(graph(["a"], needs).nodes) == ["a"]
    assert graph(["a"], needs, installed={"b"}).nodes["a"].counts == ("b",)


def test_order_only_needs_are_waited_for_and_do_not_count() -> None:
    node = graph(["a"], {"a": {"order_only": ["b"], "build": ["c"]}, "b": {}, "c": {}}).nodes["a"]
    assert (set(node.needs), node.counts) == ({"b", "c"}, ("c",))


def test_a_circle_is_told_with_its_members() -> None:
    with pytest.raises(UsageError) as caught:
        graph(["a"], {"a": {"build": ["b"]}, "b": {"run": ["a"]}})
    assert caught.value.details == ("a needs b needs a",)


def test_who_waits_for_a_name() -> None:
    assert list(graph(["mpc"], MATHS).users_of("gmp")) == ["mpfr", "mpc"]
