"""Facts: everything Shipway believes about a prefix, as small values under a kind and a key.

All that a transaction changes in the record is a list of `FactChange`s, old value and new.  To apply it
is to write the new values, to take it back is to write the old ones; undo is possible where the present
values are still the new ones.  There is no other mutable record.

| kind | key | value |
|---|---|---|
| installed | identity of the package | `Installed` |
| override  | identity, newline, path | `Override`: what that package expects there instead of its manifest's entry |
| contest   | path | owners from the bottom to the top, where claims differ (I5) |
| foreign   | path | mode of a directory that was there before any package, never removed |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from shipway.errors import CorruptError
from shipway.model.entry import Directory, Entry, Manifest, checked_directory, checked_listing, parent_of

INSTALLED = "installed"
OVERRIDE = "override"
CONTEST = "contest"
FOREIGN = "foreign"

BACKUP = "backup:"
"""Owner of content that nobody owned before a package took its path: the prefix plus an image's name."""


class FactChange(NamedTuple):
    """One fact before and after a transaction; None where there is none.  Values are JSON."""

    kind: str
    key: str
    old: str | None
    new: str | None


class Installed(NamedTuple):
    """A package that is installed: its identity (a PURL), the name it is called by, and its image."""

    identity: str
    name: str
    version: str
    image: str
    files: int
    size: int
    exclusive: bool = False
    python: str = ""

    def encode(self) -> str:
        """The fact's value; the identity is its key."""
        return json.dumps(self[1:], separators=(",", ":"))

    @classmethod
    def decode(cls, identity: str, value: str) -> Installed:
        """The inverse of `encode`."""
        with _decoding(identity):
            found = cls(identity, *json.loads(value))
            if [type(field) for field in found] != _INSTALLED:
                raise TypeError("a field of another type")
            return found


_INSTALLED = [str, str, str, str, int, int, bool, str]
"""The types of its fields."""


class Override(NamedTuple):
    """What a package expects at a path instead of its manifest's entry.

    `why` is "kept" (the user's own version of a file under etc/), "new" (the package's version laid beside
    it, from `source` in the image) or "accepted" (a change of metadata taken as wanted).
    """

    why: str
    entry: Entry
    source: str = ""

    def encode(self) -> str:
        """The fact's value."""
        return json.dumps([self.why, list(self.entry), self.source], separators=(",", ":"))

    @classmethod
    def decode(cls, value: str) -> Override:
        """The inverse of `encode`."""
        with _decoding("an override"):
            why, entry, source = json.loads(value)
            entry[-1] = tuple(tuple(pair) for pair in entry[-1])
            (checked,) = checked_listing([Entry(*entry)]).values()
            return cls(why, checked, checked_directory(source))


KEPT = "kept"
NEW = "new"
ACCEPTED = "accepted"


def override_key(identity: str, path: str) -> str:
    """The key of an override fact (identities hold no newline)."""
    return f"{identity}\n{path}"


def split_override_key(key: str) -> tuple[str, str]:
    """Identity and path of an override fact's key."""
    identity, _, path = key.partition("\n")
    return identity, path


def effective(manifest: Manifest, overrides: Mapping[str, Override]) -> Manifest:
    """The manifest as it is expected to lie on disk: overrides by path laid over it.

    Only the listings of the directories concerned change; digests stay those of the image, because
    a package's own overrides never decide whether two images differ.
    """
    if not overrides:
        return manifest
    directories = dict(manifest.directories)
    for path, override in overrides.items():
        parent = parent_of(path)
        if parent in directories:
            entries = {**directories[parent].entries, override.entry.name: override.entry}
            directories[parent] = Directory(dict(sorted(entries.items())), directories[parent].digest)
    return Manifest(directories)


def reverse(changes: Iterable[FactChange]) -> tuple[FactChange, ...]:
    """The changes that take these back."""
    return tuple(FactChange(c.kind, c.key, c.new, c.old) for c in changes)


def encode_owners(owners: Iterable[str]) -> str:
    """The value of a contest fact."""
    return json.dumps(list(owners))


def decode_owners(value: str) -> tuple[str, ...]:
    """The inverse of `encode_owners`."""
    with _decoding("a contest"):
        owners = json.loads(value)
        if not isinstance(owners, list) or {type(owner) for owner in owners} != {str}:
            raise TypeError("not a list of texts")
        return tuple(owners)


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CorruptError(f"the record of {what} cannot be read: {error}") from error
