"""Which recipes there are, for the commands that look for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from shipway.cli.call import Call

if TYPE_CHECKING:
    from shipway.build.collection import Collection

with_recipes = click.option(
    "--recipes",
    multiple=True,
    metavar="DIR",
    envvar="SHIPWAY_RECIPES",
    type=click.Path(exists=True, file_okay=False),
    help="A directory of recipes, searched first; may be given several times.",
)


def collection(call: Call, given: tuple[str, ...]) -> Collection:
    """Where recipes are looked for: what was given, what shipway.toml names, those that come with Shipway."""
    from shipway.build.collection import Collection
    from shipway.cli.place import nearest

    place = nearest(os.getcwd())
    configured = [os.path.join(os.path.dirname(place.file), each) for each in place.config.recipes] if place else []
    return Collection([*given, *configured, *starter()])


def starter() -> list[str]:
    """The collection that comes with Shipway: beside the package when it is installed, at the top of a checkout."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    places = (os.path.join(here, "recipes"), os.path.join(os.path.dirname(os.path.dirname(here)), "recipes"))
    return [next(place for place in places if os.path.isdir(place))] if any(map(os.path.isdir, places)) else []
