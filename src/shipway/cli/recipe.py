"""`shipway recipe`: recipes as files, whatever is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.authoring import COMMANDS
from shipway.cli.call import Call
from shipway.cli.collection import collection, with_recipes
from shipway.cli.options import Command, pass_call
from shipway.errors import FAILED

if TYPE_CHECKING:
    from shipway.build.recipe_file import Found


@click.group("recipe", short_help="Look at recipes, check, write and mend them.")
def command() -> None:
    """Look at recipes, write and mend them, as files; nothing is built."""


for each in COMMANDS:
    command.add_command(each)


def _sub(name: str) -> Callable[[Callable[..., int | None]], click.Command]:
    def wrap(function: Callable[..., int | None]) -> click.Command:
        return command.command(name, cls=Command)(with_recipes(pass_call(function)))

    return wrap


@_sub("list")
def list_recipes(call: Call, recipes: tuple[str, ...]) -> None:
    """List the recipes: name, version, build system, description."""
    from shipway.cli.text import columns

    found = [each.recipe for each in collection(call, recipes).all()]
    if call.json:
        call.console.document([_summary(recipe) for recipe in found])
        return
    call.console.answer(*columns([(r.name, r.version, r.build.system, r.description) for r in found]))


@_sub("show")
@click.argument("name", metavar="NAME")
def show(call: Call, name: str, recipes: tuple[str, ...]) -> None:
    """Show one recipe as it was understood."""
    found = collection(call, recipes).find(name)
    if call.json:
        document = found.recipe.model_dump(mode="json", exclude_defaults=True)
        call.console.document({**document, **_summary(found.recipe), "directory": found.directory})
        return
    call.console.answer(*_told(found))


@_sub("lint")
@click.argument("names", metavar="[NAME…]", nargs=-1)
def lint(call: Call, names: tuple[str, ...], recipes: tuple[str, ...]) -> int:
    """Check recipes, all unless named: every mistake at once, with its line."""
    from shipway.cli.text import plural

    known = collection(call, recipes)
    linted = known.lint(names or known.names())
    if call.json:
        call.console.document({"ok": not linted.problems, "problems": list(linted.problems)})
    else:
        count = plural(len(linted.found), "recipe")
        call.console.answer(*(linted.problems or [f"{count}: nothing is wrong"]))
    return FAILED if linted.problems else 0


@_sub("schema")
def print_schema(call: Call, recipes: tuple[str, ...]) -> None:
    """Print the JSON schema of recipe.toml, for editors."""
    from shipway.build.recipe import schema

    call.console.document(schema())


def _summary(recipe: Any) -> dict[str, str]:
    return {"name": recipe.name, "version": recipe.version, "identity": recipe.purl, "system": recipe.build.system}


def _told(found: Found) -> list[str]:
    recipe = found.recipe
    facts = [
        ("name", recipe.name),
        ("version", recipe.version),
        ("identity", recipe.purl),
        ("description", recipe.description),
        ("licence", recipe.license),
        ("build system", " ".join([recipe.build.system, *recipe.build.options])),
        *((f"needs to {kind.replace('_', ' ')}", " ".join(names)) for kind, names in recipe.dependencies if names),
        *(("source", _source(place)) for source in recipe.source for place in source.places),
        *(("patch", patch.file) for patch in recipe.patches),
        ("marks", " ".join(m for m in ("exclusive", "experimental", "network") if getattr(recipe, m))),
        ("directory", found.directory),
    ]
    return [f"{title + ':':<17}{value}" for title, value in facts if value]


def _source(place: Any) -> str:
    where = " or ".join(place.url) or str(getattr(place, place.kind))
    more = " ".join(part for part in (place.version, place.file, place.ref) if part)
    return f"{'' if place.kind == 'url' else place.kind + ' '}{where} {more}".rstrip()
