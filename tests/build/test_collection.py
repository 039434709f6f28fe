"""Collections of recipes, the one that comes with Shipway among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shipway.build.collection import Collection
from shipway.errors import UsageError

STARTER = str(Path(__file__).parents[2] / "recipes")


def put(place: Path, name: str, *needs: str, version: str = "1", more: str = "") -> None:
    (place / name).mkdir(parents=True)
    listed = ", ".join(f'"{need}"' for need in needs)
    text = f'name = "{name}"\nversion = "{version}"\n{more}\nphases.install = "true"\ndependencies.build = [{listed}]\n'
    (place / name / "recipe.toml").write_text(text)


def test_the_first_directory_that_has_a_name_wins(tmp_path: Path) -> None:
    put(tmp_path / "mine", "gmp", version="7")
    put(tmp_path / "theirs", "gmp", version="6")
    put(tmp_path / "theirs", "mpfr", "gmp")
    known = Collection([str(tmp_path / "mine"), str(tmp_path / "theirs")])
    assert known.names() == ["gmp", "mpfr"]
    assert known.find("gmp").recipe.version == "7"


def test_a_recipe_is_found_by_its_identity_too(tmp_path: Path) -> None:
    put(tmp_path, "py_six", more='identity = "pkg:pypi/six"')
    known = Collection([str(tmp_path)])
    assert known.find("pkg:pypi/Six").recipe.name == "py_six"
    with pytest.raises(UsageError, match="there is no recipe pkg:pypi/seven"):
        known.find("pkg:pypi/seven")


def test_a_misspelt_name_is_answered_with_those_that_are_like_it(tmp_path: Path) -> None:
    put(tmp_path, "readline")
    with pytest.raises(UsageError) as caught:
        Collection([str(tmp_path)]).find("redline")
    assert caught.value.hint == "readline is meant?"


def test_lint_tells_unknown_needs_and_circles(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    put(tmp_path, "b", "c")
    put(tmp_path, "c", "a")
    put(tmp_path, "d", "nothing", "a")
    known = Collection([str(tmp_path)])
    assert known.lint(known.names()).problems == (
        f"{tmp_path}/d/recipe.toml: dependencies.build: there is no recipe nothing",
        "a needs b needs c needs a: a circle",
    )


def test_a_directory_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="cannot be searched"):
        Collection(["/nowhere"])


def test_nothing_is_wrong_with_our_own() -> None:
    known = Collection([STARTER])
    assert known.lint(known.names()).problems == ()
    wanted = {
        "zlib",
        "bzip2",
        "xz",
        "ncurses",
        "readline",
        "sqlite",
        "gmp",
        "mpfr",
        "mpc",
        "patch",
        "pkgconf",
        "libpng",
    }
    wanted |= {"setuptools", "wheel", "pip", "cython", "future", "six", "numpy", "gmpy2", "cysignals"}
    assert wanted <= set(known.names())


def shipway(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "shipway", *words], capture_output=True, text=True)


def test_the_command_lists_shows_and_lints(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    assert shipway("recipe", "list").stdout.startswith("bzip2 ")
    assert "pkg:generic/gmp" in shipway("recipe", "show", "gmp").stdout
    assert shipway("recipe", "lint", "gmp").returncode == 0
    linted = shipway("recipe", "lint", "--recipes", str(tmp_path), "a")
    assert (linted.returncode, linted.stdout) == (
        1,
        f"{tmp_path}/a/recipe.toml: dependencies.build: there is no recipe b\n",
    )
    assert shipway("recipe", "show", "nonsense").returncode == 2
