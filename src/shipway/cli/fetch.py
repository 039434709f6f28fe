"""`shipway fetch`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Unpack

import click

from shipway.cli.call import Call
from shipway.cli.collection import collection, with_recipes
from shipway.cli.options import as_command, pass_call
from shipway.cli.sources import Ear, Sources, fetching_options, with_sources
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.build.collection import Collection
    from shipway.build.fetching import Fetched, Harvest
    from shipway.build.recipe_file import Found


class Wanted(Sources):
    """The options of the command."""

    everything: bool
    deps: bool
    recipes: tuple[str, ...]


FETCHED = ("url", "pypi", "debian", "git")


@as_command("fetch")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All recipes there are.")
@click.option("--deps", is_flag=True, help="What the named ones need, too.")
@with_recipes
@with_sources
@pass_call
def command(call: Call, names: tuple[str, ...], **wanted: Unpack[Wanted]) -> None:
    """Fetch the sources of packages into the user's cache, and check them."""
    from shipway.build.fetching import FetchError, fetch
    from shipway.cli.text import plural

    call.if_interrupted = "what was fetched is kept, and gone on with next time"
    known = collection(call, wanted["recipes"])
    founds = _meant(known, names, everything=wanted["everything"], deps=wanted["deps"])
    options = fetching_options(call, wanted)
    harvest = fetch(call.file_system(), founds, options, Ear(call))
    if harvest.failures:
        missing = sum(len(found.recipe.source) - len(files) for found, files in harvest.files)
        raise FetchError(
            f"{plural(missing, 'source')} could not be fetched",
            details=harvest.failures,
            hint="--distfiles DIR takes what lies in DIR under its name; -v tells more",
        )
    if call.json:
        call.console.document([_document(found, file) for found, file in _flat(harvest)])
    else:
        call.console.answer(*_told(harvest))


def _meant(known: Collection, names: Sequence[str], *, everything: bool, deps: bool) -> list[Found]:
    """The recipes to fetch for.  Raises UsageError if none are named, or some do not exist."""
    from shipway.build.collection import needs

    if bool(names) == everything:
        raise UsageError("name packages, or say --all")
    if everything:
        return known.all()
    found: dict[str, Found] = {}
    waiting = list(dict.fromkeys(names))
    while waiting:
        each = known.find(waiting.pop(0))
        if each.recipe.name not in found:
            found[each.recipe.name] = each
            waiting += needs(each.recipe) if deps else []
    return list(found.values())


def _flat(harvest: Harvest) -> Iterator[tuple[Found, Fetched]]:
    for found, files in harvest.files:
        yield from ((found, file) for file in files)


def _size(file: Fetched) -> int:
    return os.path.getsize(file.path) if os.path.isfile(file.path) else 0


def _document(found: Found, file: Fetched) -> dict[str, object]:
    recipe = found.recipe
    place = {"name": recipe.name, "version": recipe.version, "path": file.path, "bytes": _size(file)}
    return {**place, "sha256": file.place.sha256, "from": file.origin}


def _told(harvest: Harvest) -> Iterator[str]:
    from shipway.cli.text import columns, plural, size

    files = list(_flat(harvest))
    rows = [(f.recipe.name, f.recipe.version, os.path.basename(s.path), size(_size(s)), s.origin) for f, s in files]
    yield from columns(rows, right=[3])
    total = size(sum(_size(file) for _, file in files))
    new = sum(file.origin in FETCHED for _, file in files)
    yield f"{plural(len(files), 'source')}, {total}; {new} fetched now"
