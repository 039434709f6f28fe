"""What is installed in a target, whoever installed it: the recorded projects of the packaging specifications.

Sources: "Recording installed projects" (packaging.python.org), PEP 376, PEP 627.
"""

from __future__ import annotations

import csv
import os
from typing import NamedTuple

from shipway.model.identity import project as normal
from shipway.python.legacy import legacy
from shipway.python.metadata import stated, text_of
from shipway.python.target import Target

__all__ = ["Distribution", "installed", "leftovers", "normal", "remnants"]


class Distribution(NamedTuple):
    """One project as its directory of metadata tells it.

    `info` is that directory (of old, also a file), `record` the text of its RECORD, or "".  `listed` are its files where tools of old
    tell them elsewhere.  `refusal` says why it can be neither replaced nor removed, or "".
    """

    name: str
    version: str
    info: str
    installer: str
    record: str
    listed: tuple[str, ...] | None = None
    refusal: str = ""

    @property
    def key(self) -> str:
        """The name as names are compared (PEP 503)."""
        return normal(self.name)

    @property
    def files(self) -> tuple[str, ...] | None:
        """Absolute paths (bytecode included), None where it has no record that can be read: then nobody knows what belongs to it."""
        if not self.record:
            return self.listed
        parent = os.path.dirname(self.info)
        rows = csv.reader(self.record.splitlines())
        return tuple(os.path.normpath(os.path.join(parent, row[0])) for row in rows if row and row[0])


def installed(target: Target) -> list[Distribution]:
    """Every project in a target, by name; two of one name where an installation was broken off, those of old tools first."""
    found = [_read(f"{place}/{name}") for place in target.libraries for name in _infos(place)]
    old = [
        Distribution(each.name, each.version, each.info, "", "", each.files, each.refusal)
        for place in target.libraries for each in legacy(place, target.paths["scripts"])
    ]  # fmt: skip
    return sorted(found + old, key=lambda each: (each.key, each.info.endswith(".dist-info"), each.info))


def leftovers(target: Target) -> list[str]:
    """What pip leaves when it is killed: names that begin with a tilde (`~jango`), absolute."""
    return [
        f"{place}/{name}" for place in target.libraries if os.path.isdir(place)
        for name in sorted(os.listdir(place)) if name.startswith("~")
    ]  # fmt: skip


def remnants(target: Target) -> set[str]:
    """The projects, by compared name, of whose metadata pip left something under a tilde."""
    texts = [text_of(f"{path}/METADATA") for path in leftovers(target) if path.endswith(".dist-info")]
    return {normal(found["name"]) for found in map(stated, texts) if "name" in found}


def _infos(place: str) -> list[str]:
    if not os.path.isdir(place):
        return []
    return [name for name in os.listdir(place) if name.endswith(".dist-info") and not name.startswith("~")]


def _read(info: str) -> Distribution:
    name, _, version = os.path.basename(info).removesuffix(".dist-info").partition("-")
    about = stated(text_of(f"{info}/METADATA"))
    return Distribution(
        about.get("name", name),
        about.get("version", version),
        info,
        text_of(f"{info}/INSTALLER").strip(),
        text_of(f"{info}/RECORD"),
    )
