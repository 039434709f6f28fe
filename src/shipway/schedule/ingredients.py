"""What a package was built from, and whether that is still what it would be built from now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shipway.build.recipe import Recipe
from shipway.errors import CorruptError

_FORMAT = 1


class Ingredients(NamedTuple):
    """All that makes a build what it is: digests, but for `version`.

    `recipe` is of what the recipe says about building, without version and sources; `files` of the patches and scripts beside
    it; `flags` of what the configuration adds; `compiler` of what the compilers say of themselves,
    and for a Python package its interpreter.  `needs` are the images of
    the packages that it was built with, by identity.  `runs` are the identities of those that it cannot run without; they are in
    `needs` too, and make no other build.
    """

    version: str
    recipe: str
    sources: str
    files: str
    flags: str
    compiler: str
    needs: Mapping[str, str]
    runs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """One digest of everything: the same key, the same build."""
        return digest([_FORMAT, self.version, *self[1:6], sorted(self.needs.items())])

    def encode(self) -> str:
        """As JSON, with the number of the format."""
        return json.dumps({"format": _FORMAT, **self._asdict(), "needs": dict(self.needs)}, sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Ingredients | None:
        """The inverse; None for a format that is not ours.  Raises CorruptError for what was never one."""
        try:
            document = json.loads(text)
            if document.pop("format") != _FORMAT:
                return None
            found = cls(**{**document, "runs": tuple(document.get("runs", ()))})
            if not all(
                isinstance(text, str) for text in (*found[:6], *found.needs, *found.needs.values(), *found.runs)
            ):
                raise TypeError("a field of another type")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptError(f"the note of what a package was built from cannot be read: {error}") from error
        return found


def recipe_digest(recipe: Recipe) -> str:
    """Of what the recipe says about building.  What people read, and when tests run, makes no other build."""
    about = {
        "version",
        "source",
        "description",
        "homepage",
        "license",
        "contact",
        "experimental",
        "system",
        "check",
        "dependencies",
    }
    return digest(recipe.model_dump(mode="json", exclude=about))


def sources_digest(recipe: Recipe) -> str:
    """Of the archives that may be used; where they come from does not matter."""
    places = [[[p.sha256 or p.ref or p.path for p in source.places], source.directory] for source in recipe.source]
    return digest(places)


def reasons(old: Ingredients | None, new: Ingredients, names: Mapping[str, str]) -> Iterator[str]:
    """Why a package is to be built again, in words; nothing if it is not.  `names` are of the packages by identity."""
    if old is None:
        yield "nobody knows what it was built from"
        return
    if old.version != new.version:
        yield f"{old.version} is installed, the recipe is of {new.version}"
    for field, words in _WORDS.items():
        if getattr(old, field) != getattr(new, field):
            yield words
    for identity in sorted({*old.needs, *new.needs}):
        name = names.get(identity, identity)
        if identity not in old.needs:
            yield f"it was built without {name}"
        elif identity not in new.needs:
            yield f"it was built with {name}"
        elif old.needs[identity] != new.needs[identity]:
            yield f"{name} has changed"


_WORDS = {
    "recipe": "its recipe has changed",
    "sources": "its sources have changed",
    "files": "its patches or scripts have changed",
    "flags": "the flags have changed",
    "compiler": "the compiler, or the interpreter, has changed",
}


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
