"""`shipway recipe new`, `update` and `fix-checksum`: writing recipes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from shipway.cli.call import Call
from shipway.cli.collection import collection, with_recipes
from shipway.cli.options import as_command, pass_call
from shipway.cli.sources import Ear, fetching_options

if TYPE_CHECKING:
    from shipway.build.authoring import Edited
    from shipway.build.fetching import Fetcher


@as_command("new")
@click.argument("what", metavar="WHAT")
@click.option("--name", metavar="NAME", default="", help="What it is to be called [else: what the archive says].")
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="The directory of recipes [else: the first that shipway.toml names, or recipes].",
)
@pass_call
def new(call: Call, what: str, name: str, into: str | None) -> None:
    """Write a first recipe.  WHAT is an archive (an address or a file), or a project of the Python package index (six, six==1.17.0)."""
    from shipway.build.authoring import draft, write_new

    call.if_interrupted = "nothing was written"
    found, text = draft(_fetcher(call), what, name)
    file = write_new(call.file_system(), into or _first(), found, text)
    if call.json:
        call.console.document({"name": found, "file": file})
    else:
        call.console.answer(f"wrote {file}; read it, then: shipway recipe lint {found}")


@as_command("update")
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="[VERSION]", default="")
@with_recipes
@pass_call
def update(call: Call, name: str, version: str, recipes: tuple[str, ...]) -> None:
    """Make a recipe one of another version: fetch its sources, and write their digests down."""
    from shipway.build.authoring import update as updated
    from shipway.build.authoring import write

    call.if_interrupted = "nothing was written"
    found = collection(call, recipes).find(name)
    chosen, edited = updated(_fetcher(call), found, version)
    write(call.file_system(), found, edited.text)
    old = found.recipe.version
    if call.json:
        call.console.document({"name": found.recipe.name, "old": old, "new": chosen, **_document(edited)})
        return
    is_same = chosen == old
    call.console.answer(f"{found.recipe.name} is {old} already" if is_same else f"{found.recipe.name} {old} → {chosen}")
    _tell(call, edited)


@as_command("fix-checksum")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@with_recipes
@pass_call
def fix_checksum(call: Call, names: tuple[str, ...], recipes: tuple[str, ...]) -> None:
    """Write down the digests of what the places of recipes give now.  Look at what has changed: you trust it from then on."""
    from shipway.build.authoring import fix_checksums, write
    from shipway.cli.text import plural

    call.if_interrupted = "what was not told was not written"
    known, fetcher, documents = collection(call, recipes), _fetcher(call), []
    for found in [known.find(name) for name in names]:
        edited = fix_checksums(fetcher, found)
        if edited.changes:
            write(call.file_system(), found, edited.text)
        documents.append({"name": found.recipe.name, **_document(edited)})
        if not call.json:
            call.console.answer(f"{found.recipe.name}: {plural(len(edited.changes), 'digest')} changed")
            _tell(call, edited)
    if call.json:
        call.console.document(documents)


COMMANDS = (new, update, fix_checksum)


def _fetcher(call: Call) -> Fetcher:
    import threading

    from shipway.build.fetching import Fetcher
    from shipway.build.places import TIMEOUT, Watch

    options = fetching_options(call, {"distfiles": (), "offline": False, "timeout": TIMEOUT})
    return Fetcher(call.file_system(), options, Watch(threading.Event(), Ear(call), TIMEOUT))


def _first() -> str:
    from shipway.cli.place import nearest

    place = nearest(os.getcwd())
    named = place.config.recipes if place else ()
    return os.path.join(os.path.dirname(place.file), named[0]) if place and named else "recipes"


def _document(edited: Edited) -> dict[str, object]:
    return {"changes": [change._asdict() for change in edited.changes], "notes": list(edited.notes)}


def _tell(call: Call, edited: Edited) -> None:
    call.console.answer(*(f"  {change.place}: {change.new}, was {change.old}" for change in edited.changes))
    call.console.say(*(f"note: {note}" for note in edited.notes))
