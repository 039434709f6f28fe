"""What is installed, as people name it, and what a package expects beside its manifest.

Apart from what changes a prefix, so that questions are answered without loading all of that.
"""

from __future__ import annotations

from shipway.errors import ShipwayError
from shipway.model.facts import OVERRIDE, Installed, Override
from shipway.model.identity import project
from shipway.prefix.database import Database


def overrides_of(database: Database, identity: str) -> dict[str, Override]:
    """What a package expects beside its manifest, by path."""
    found = database.facts_under(OVERRIDE, f"{identity}\n")
    return {key.partition("\n")[2]: Override.decode(value) for key, value in found.items()}


def resolve(database: Database, name: str) -> Installed:
    """The installed package that a person means by a name or a PURL.  Raises ShipwayError if there is none, or several."""
    installed = database.installed()
    if name in installed:
        return installed[name]
    found = [package for package in installed.values() if package.name == name]
    if not found and f"pkg:pypi/{project(name)}" in installed:
        return installed[f"pkg:pypi/{project(name)}"]
    if len(found) == 1:
        return found[0]
    if found:
        identities = ", ".join(package.identity for package in found)
        raise ShipwayError(f"{name} could be {identities}", hint="give the identity in full")
    close = [p.name for p in installed.values() if name.lower() in p.name.lower()]
    hint = f"did you mean {', '.join(sorted(close)[:3])}?" if close else "`shipway list` shows what is installed"
    raise ShipwayError(f"{name} is not installed", hint=hint)
