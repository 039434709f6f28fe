"""The head of an image file: what the package is, and its manifest, so that all that follows can be held against it.

An image file may come from anybody: whoever reads a head gets a manifest that no tree of ours could not have, or an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from shipway.errors import ShipwayError, UsageError
from shipway.model.entry import (
    DEEPEST,
    DIRECTORY,
    FILE,
    LINK,
    Entry,
    Manifest,
    checked_directory,
    encode_listing,
    join,
    listing_of,
    manifest_of,
)
from shipway.model.identity import checked_version, identity_of
from shipway.store import attributes

FORMAT = 1
TREE, WHEEL = "tree", "wheel"

_WHEEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*\.whl\Z")
_LARGEST = 1 << 63
_DIGEST = 64


class About(NamedTuple):
    """What an image file tells of its package.

    `identity` is a PURL, `name` what people say.  `prefix` is the absolute path that it was built for.  `exclusive`: it commits when no
    build runs.  `note` is the text of what it was built from, of no meaning here, or "".
    """

    identity: str
    name: str
    version: str
    prefix: str
    exclusive: bool = False
    note: str = ""


class WheelFile(NamedTuple):
    """The wheel in an image file: its name, its size in bytes, the hex SHA-256 of it."""

    name: str
    size: int
    digest: str


class Head(NamedTuple):
    """What an image file begins with: either a manifest, or a wheel."""

    about: About
    content: Manifest | WheelFile


class DamagedError(ValueError):
    """A head, or what follows it, is not what Shipway writes; the message says how."""


def encode(head: Head) -> bytes:
    """A head as JSON; the listings of a manifest a line each."""
    about, content = head
    said: dict[str, object] = {"format": FORMAT, **about._asdict()}
    if isinstance(content, WheelFile):
        return f"{json.dumps({**said, 'kind': WHEEL, WHEEL: list(content)})}\n".encode()
    listings = ",\n".join(
        f"[{json.dumps(path)},{encode_listing(directory)}]" for path, directory in content.directories.items()
    )
    fields = json.dumps({**said, "kind": TREE, "image": content.image_name()})
    return f'{fields[:-1]}, "listings": [\n{listings}\n]}}\n'.encode()


def decode(data: bytes) -> Head:
    """The inverse.  Raises DamagedError for what was never one, ShipwayError for a format of another Shipway."""
    try:
        said = json.loads(data)
        if said.pop("format") != FORMAT:
            raise ShipwayError("it is of a format that this Shipway does not know", hint="use a newer Shipway")
        return Head(_about(said), _wheel(said[WHEEL]) if said["kind"] == WHEEL else _manifest(said))
    except DamagedError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, UsageError, RecursionError) as error:
        raise DamagedError(f"its head cannot be read: {type(error).__name__}: {error}") from error


def _about(said: Mapping[str, Any]) -> About:
    about = About(**{field: said[field] for field in About._fields})
    kinds = [type(value) for value in about]
    if kinds != [str, str, str, str, bool, str] or identity_of(about.identity) != about.identity:
        raise DamagedError("it does not say what it is of")
    identity_of(about.name)
    checked_version(about.version)
    if not about.prefix.startswith("/") or "\0" in about.prefix:
        raise DamagedError("it does not say which prefix it is for")
    return about


def _wheel(said: Sequence[Any]) -> WheelFile:
    wheel = WheelFile(*said)
    if [type(value) for value in wheel] != [str, int, str]:
        raise DamagedError("it does not say which wheel is in it")
    if not (_WHEEL_NAME.match(wheel.name) and 0 <= wheel.size < _LARGEST and _is_digest(wheel.digest)):
        raise DamagedError("its wheel cannot be one")
    return wheel


def _manifest(said: Mapping[str, Any]) -> Manifest:
    if said["kind"] != TREE:
        raise DamagedError("nobody knows what is in it")
    listings: dict[str, dict[str, Entry]] = {}
    for path, rows in said["listings"]:
        if checked_directory(path) in listings or path.count("/") >= DEEPEST:
            raise DamagedError("a directory in it cannot be")
        listings[path] = listing_of(rows)
    _refuse_entries([entry for listing in listings.values() for entry in listing.values()])
    below = [join(path, e.name) for path, entries in listings.items() for e in entries.values() if e.kind == DIRECTORY]
    if {"", *below} != listings.keys():
        raise DamagedError("its directories do not belong together")
    manifest = manifest_of({path: listing.values() for path, listing in listings.items()})
    if manifest.image_name() != said["image"]:
        raise DamagedError("its manifest is not the one that was sealed")
    return manifest


def _refuse_entries(entries: Sequence[Entry]) -> None:
    """Raise DamagedError for what sealing never makes."""
    for entry in entries:
        if not _is_sound(entry):
            raise DamagedError(f"an entry in it cannot be: {entry.name}")
    groups: dict[int, tuple[object, ...]] = {}
    for entry in entries:
        if entry.group and groups.setdefault(entry.group, entry[1:]) != entry[1:]:
            raise DamagedError(f"hard links in it differ: {entry.name}")


def _is_sound(entry: Entry) -> bool:
    if entry.derived or not _are_sound(name for name, _ in entry.xattrs):
        return False
    for _, value in entry.xattrs:
        attributes.decoded(value)
    if entry.kind == FILE:
        return len(entry.digest) == _DIGEST and not entry.target
    plain = not (entry.size or entry.group)
    if entry.kind == LINK:
        return plain and bool(entry.target) and not (entry.digest or entry.xattrs)
    return plain and not entry.target


def _are_sound(names: Iterable[str]) -> bool:
    found = list(names)
    return len(set(found)) == len(found) and all(map(attributes.may_be_kept, found))


def _is_digest(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{64}", text))
