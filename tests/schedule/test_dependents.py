"""Who runs with what: by hand."""

from __future__ import annotations

import pytest

from shipway.errors import CorruptError
from shipway.schedule.dependents import dependents
from shipway.schedule.ingredients import Ingredients


def note(*runs: str) -> Ingredients:
    return Ingredients("1", "", "", "", "", "", dict.fromkeys(runs, "image"), runs)


CHAIN = {"gmp": note(), "mpfr": note("gmp"), "mpc": note("gmp", "mpfr"), "zlib": note()}


def test_nobody_runs_with_what_stands_alone() -> None:
    assert dependents(CHAIN, ["zlib"]) == {}


def test_all_above_are_found_each_with_what_it_lacks() -> None:
    assert dependents(CHAIN, ["gmp"]) == {"mpfr": ["gmp"], "mpc": ["gmp"]}
    assert dependents({**CHAIN, "mpc": note("mpfr")}, ["gmp"]) == {"mpfr": ["gmp"], "mpc": ["mpfr"]}


def test_who_goes_too_is_not_in_the_way() -> None:
    assert dependents(CHAIN, ["gmp", "mpfr", "mpc"]) == {}
    assert dependents(CHAIN, ["gmp", "mpfr"]) == {"mpc": ["gmp", "mpfr"]}


def test_circles_end() -> None:
    assert dependents({"a": note("b"), "b": note("a")}, ["a"]) == {"b": ["a"]}


def test_what_a_package_runs_with_makes_no_other_build_and_comes_back_from_its_note() -> None:
    one, other = note("gmp"), note("gmp")._replace(runs=())
    assert one.key == other.key
    assert Ingredients.decode(one.encode()) == one
    assert Ingredients.decode(one.encode().replace('"runs": ["gmp"], ', "")) == other, "older notes do not say"
    with pytest.raises(CorruptError):
        Ingredients.decode(one.encode().replace('"runs": ["gmp"]', '"runs": [1]'))
