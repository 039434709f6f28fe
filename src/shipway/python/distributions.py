"""What is installed in a target, whoever installed it: the recorded projects of the packaging specifications.

Sources: "Recording installed projects" (packaging.python.org), PEP 376, PEP 627.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from shipway.python.target import Target


class Distribution(NamedTuple):
    """One project as its directory of metadata tells it.

    `info` is that directory.  `files` are absolute paths from its RECORD (bytecode included), None where it has none
    that can be read: then nobody knows what belongs to it.
    """

    name: str
    version: str
    info: str
    installer: str
    files: tuple[str, ...] | None

    @property
    def key(self) -> str:
        """The name as names are compared (PEP 503)."""
        return normal(self.name)


def normal(name: str) -> str:
    """A project's name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(target: Target) -> list[Distribution]:
    """Every project in a target, by name; two of one name where an installation was broken off."""
    found = [_read(f"{place}/{name}") for place in target.libraries for name in _infos(place)]
    return sorted(found, key=lambda each: (each.key, each.info))


def leftovers(target: Target) -> list[str]:
    """What pip leaves when it is killed: names that begin with a tilde (`~jango`), absolute."""
    return [
        f"{place}/{name}" for place in target.libraries if os.path.isdir(place)
        for name in sorted(os.listdir(place)) if name.startswith("~")
    ]  # fmt: skip


def _infos(place: str) -> list[str]:
    if not os.path.isdir(place):
        return []
    return [name for name in os.listdir(place) if name.endswith(".dist-info") and not name.startswith("~")]


def _read(info: str) -> Distribution:
    name, _, version = os.path.basename(info).removesuffix(".dist-info").partition("-")
    stated = dict(_headers(info))
    return Distribution(
        stated.get("name", name),
        stated.get("version", version),
        info,
        _text(f"{info}/INSTALLER").strip(),
        _record(info),
    )


def _headers(info: str) -> Iterator[tuple[str, str]]:
    for line in _text(f"{info}/METADATA").splitlines():
        if not line:
            return
        name, colon, value = line.partition(":")
        if colon and name.lower() in ("name", "version"):
            yield name.lower(), value.strip()


def _record(info: str) -> tuple[str, ...] | None:
    text = _text(f"{info}/RECORD")
    if not text:
        return None
    parent = os.path.dirname(info)
    rows = csv.reader(text.splitlines())
    return tuple(os.path.normpath(os.path.join(parent, row[0])) for row in rows if row and row[0])


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
