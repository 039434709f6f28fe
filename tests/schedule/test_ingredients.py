"""What a package was built from, and why it is built again."""

from __future__ import annotations

from typing import Any

import pytest

from shipway.build.recipe import Recipe
from shipway.errors import CorruptError
from shipway.schedule.ingredients import Ingredients, reasons, recipe_digest, sources_digest

SHA = "a" * 64
BASE = Ingredients("1.0", "r", "s", "f", "-O2", "gcc 12", {"pkg:generic/gmp": "i1", "pkg:generic/m4": "i2"})
RECIPE = {
    "name": "a",
    "version": "1",
    "build": {"system": "make"},
    "source": [{"url": "https://example.org/a", "sha256": SHA}],
}


def why(new: Ingredients, old: Ingredients | None = BASE) -> list[str]:
    return list(reasons(old, new, {"pkg:generic/gmp": "gmp"}))


def test_the_same_ingredients_are_no_reason() -> None:
    assert why(BASE) == []
    assert Ingredients.decode(BASE.encode()) == BASE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "1.1"}, "1.0 is installed, the recipe is of 1.1"),
        ({"recipe": "x"}, "its recipe has changed"),
        ({"sources": "x"}, "its sources have changed"),
        ({"files": "x"}, "its patches or scripts have changed"),
        ({"flags": "-O3"}, "the flags have changed"),
        ({"compiler": "gcc 13"}, "the compiler, or the interpreter, has changed"),
        ({"needs": {**BASE.needs, "pkg:generic/gmp": "i9"}}, "gmp has changed"),
        ({"needs": {"pkg:generic/m4": "i2"}}, "it was built with gmp"),
        ({"needs": {**BASE.needs, "pkg:generic/new": "i"}}, "it was built without pkg:generic/new"),
    ],
)
def test_every_change_is_a_reason_and_another_key(change: dict[str, Any], words: str) -> None:
    new = BASE._replace(**change)
    assert why(new) == [words]
    assert new.key != BASE.key


def test_what_nobody_wrote_down_is_a_reason() -> None:
    assert why(BASE, None) == ["nobody knows what it was built from"]


def test_what_people_read_builds_nothing_again() -> None:
    plain = Recipe.model_validate(RECIPE)
    told = Recipe.model_validate({**RECIPE, "description": "An a", "license": "MIT", "experimental": True})
    other = Recipe.model_validate({**RECIPE, "build": {"system": "make", "options": ["x"]}})
    assert recipe_digest(plain) == recipe_digest(told)
    assert recipe_digest(plain) != recipe_digest(other)


def test_a_mirror_more_builds_nothing_again() -> None:
    more = {**RECIPE, "source": [{"url": ["https://example.org/a", "https://example.com/a"], "sha256": SHA}]}
    other = {**RECIPE, "source": [{"url": "https://example.org/a", "sha256": "b" * 64}]}
    digests = [sources_digest(Recipe.model_validate(document)) for document in (RECIPE, more, other)]
    assert digests[0] == digests[1] != digests[2]


def test_another_format_is_unknown_and_nonsense_is_refused() -> None:
    assert Ingredients.decode('{"format": 99}') is None
    for text in ("", "[]", '{"format": 1}', BASE.encode().replace('"i1"', "1")):
        with pytest.raises(CorruptError):
            Ingredients.decode(text)
