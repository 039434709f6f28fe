"""What all kinds of places that sources come from have in common."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from shipway.build.recipe import Place, Recipe, fill, holes_of
from shipway.errors import ShipwayError
from shipway.model.event import Event, Listener

TIMEOUT = 30.0
"""Seconds without anything coming after which a place is given up."""


class PlaceError(ShipwayError):
    """A place does not give what is wanted; others may."""


class StoppedError(ShipwayError):
    """Somebody asked for the end of it all."""


class Watch(NamedTuple):
    """What whoever fetches has to look at: `stop` when to end; `tell` what happened; `timeout` in seconds of silence."""

    stop: threading.Event
    tell: Listener
    timeout: float = TIMEOUT

    def check(self) -> None:
        """Raises StoppedError when it is time."""
        if self.stop.is_set():
            raise StoppedError("interrupted; what was fetched so far is kept")

    def progress(self, name: str, done: int, total: int | None) -> None:
        """Tell how many bytes there are by now, and of how many if that is known."""
        self.check()
        self.tell(Event("progress", name, {"file": name, "bytes": done, "total": total}))


class Wanted(NamedTuple):
    """One place of a recipe's source, with its holes filled: `name` is the archive's, `urls` its addresses."""

    place: Place
    name: str
    urls: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 that an archive must have; "" for places without one."""
        return self.place.sha256 or ""


def wanted(recipe: Recipe, place: Place) -> Wanted:
    """A place of a recipe.  Raises ShipwayError if its address has holes that are filled only in a build."""
    holes = holes_of(recipe.name, place.version or recipe.version)
    try:
        urls = tuple(fill(url, holes) for url in place.url)
        name = fill(place.file or "", holes) or (urls and _end_of(urls[0])) or recipe.name
    except ValueError as error:
        raise ShipwayError(f"recipe {recipe.name}: {error}") from error
    return Wanted(place, safe_name(name), urls)


def safe_name(name: str) -> str:
    """A name for a file in a directory of our own, whatever a recipe says."""
    last = os.path.basename(name.replace("\0", "")).lstrip(".")
    return last.encode()[:200].decode(errors="ignore") or "source"


def described(wanted: Wanted) -> str:
    """A place as messages name it."""
    place = wanted.place
    if wanted.urls:
        return shown(wanted.urls[0])
    given = getattr(place, place.kind)
    return f"{place.kind} {given}: {wanted.name}" if place.kind in ("pypi", "debian") else f"{place.kind} {given}"


def shown(url: str) -> str:
    """An address without what is secret in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _end_of(url: str) -> str:
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
