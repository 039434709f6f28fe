"""Which packages a command is about: the recipes that were named, and what the host is to provide of what they need."""

from __future__ import annotations

from collections.abc import Collection as Names
from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.build.collection import Collection
    from shipway.build.host import Host
    from shipway.build.recipe import Recipe
    from shipway.schedule.graph import Choice

AUTO = "auto"


def asked_for(known: Collection, names: tuple[str, ...], *, all_of_them: bool) -> list[str]:
    """The names of the recipes.  Raises UsageError if none are named, or some do not exist."""
    if bool(names) == all_of_them:
        raise UsageError("name packages, or say --all")
    if all_of_them:
        return [f.recipe.name for f in known.all() if not f.recipe.experimental and f.recipe.build.system != "host"]
    return [known.find(name).recipe.name for name in dict.fromkeys(names)]


def choice_of(call: Call, known: Collection, host: Host, system: Names[str], checked: Names[str] | None) -> Choice:
    """What shapes the graph: `system` is what was said on the command line, else the configuration counts; `checked` as in `Choice`."""
    from shipway.schedule.graph import Choice

    system = system or call.place.config.system
    taken = {known.find(name).recipe.name for name in system if name != AUTO}

    def provided(recipe: Recipe) -> str:
        asked = AUTO in system or recipe.name in taken or recipe.build.system == "host"
        return host.provides(recipe) if asked else ""

    with call.look() as site:
        installed = {package.name for package in site.database.installed().values()}
    return Choice(known.find, provided, host.to_install, checked, installed)
