"""Collections: directories with a recipe in each of their own directories, searched in order; the first that has a name wins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from shipway.build.recipe import Recipe
from shipway.build.recipe_file import FILE, Found, load
from shipway.errors import ShipwayError, UsageError
from shipway.model.identity import identity_of

ORDERING = ("build", "run", "order_only")
"""The classes of dependencies that must be there before a package is built."""


class Linted(NamedTuple):
    """What can be used, and what is wrong, one line each, in the order of the files."""

    found: tuple[Found, ...]
    problems: tuple[str, ...]


class Collection:
    """The recipes of several directories by name."""

    def __init__(self, directories: Sequence[str]) -> None:
        """Raises UsageError where one of the directories is none."""
        self.directories = tuple(directories)
        self._paths: dict[str, str] = {}
        for directory in self.directories:
            for name in _recipes_in(directory):
                self._paths.setdefault(name, os.path.join(directory, name))
        self._loaded: dict[str, Found] = {}
        self._by_purl: Mapping[str, str] | None = None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._paths)

    def find(self, word: str) -> Found:
        """The recipe of a name or an identity.  Raises UsageError if there is none, or if it is wrong."""
        name = word if word in self._paths else self._named(word)
        if name is None:
            raise UsageError(f"there is no recipe {word}", hint=self._hint(word))
        if name not in self._loaded:
            self._loaded[name] = load(self._paths[name])
        return self._loaded[name]

    def knows(self, word: str) -> bool:
        """Whether `find` would look at a file for it."""
        return word in self._paths or self._named(word) is not None

    def all(self) -> list[Found]:
        """Every recipe.  Raises UsageError with all that is wrong in any of them."""
        linted = self.lint(self.names())
        if linted.problems:
            raise UsageError("some recipes are wrong", details=linted.problems)
        return list(linted.found)

    def lint(self, words: Iterable[str]) -> Linted:
        """Read recipes and look at what they say of each other."""
        found: list[Found] = []
        problems: list[str] = []
        for word in words:
            try:
                found.append(self.find(word))
            except UsageError as error:
                problems += error.details or [error.message]
        problems += [line for each in found for line in self._unknown(each)]
        problems += [
            f"{' needs '.join(circle)}: a circle" for circle in circles({f.recipe.name: needs(f.recipe) for f in found})
        ]
        return Linted(tuple(found), tuple(problems))

    def _unknown(self, found: Found) -> Iterator[str]:
        recipe = found.recipe
        file = os.path.join(found.directory, FILE)
        for kind, names in recipe.dependencies:
            for name in names:
                if not self.knows(name):
                    yield f"{file}: dependencies.{kind}: there is no recipe {name}"

    def _named(self, word: str) -> str | None:
        """The name of the recipe with an identity; all must be read for it, and those that are wrong are passed over."""
        if not word.startswith("pkg:"):
            return None
        if self._by_purl is None:
            self._by_purl = {found.recipe.purl: found.recipe.name for found in self._readable()}
        return self._by_purl.get(identity_of(word))

    def _readable(self) -> Iterator[Found]:
        for name in self.names():
            try:
                yield self.find(name)
            except ShipwayError:
                continue

    def _hint(self, word: str) -> str:
        from difflib import get_close_matches

        close = get_close_matches(word, self._paths, n=3)
        where = ", ".join(self.directories) or "no directory of recipes"
        return f"{', '.join(close)} is meant?" if close else f"looked into {where}; say where with --recipes DIR"


def circles(needs_of: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The dependencies that lead back to where they began, each told once, from its first name in the alphabet."""
    found: dict[frozenset[str], list[str]] = {}
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            circle = way[way.index(name) :]
            turn = circle.index(min(circle))
            found.setdefault(frozenset(circle), [*circle[turn:], *circle[:turn], circle[turn]])
        elif name in needs_of and name not in done:
            for needed in needs_of[name]:
                visit(needed, [*way, name])
            done.add(name)

    for name in sorted(needs_of):
        visit(name, [])
    return list(found.values())


def needs(recipe: Recipe) -> list[str]:
    """What must be there before a package is built."""
    return [name for kind in ORDERING for name in getattr(recipe.dependencies, kind)]


def _recipes_in(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError as error:
        raise UsageError(f"{directory} cannot be searched for recipes: {error.strerror}") from error
    return [name for name in names if os.path.isfile(os.path.join(directory, name, FILE))]
