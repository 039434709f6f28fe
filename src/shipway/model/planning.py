"""What a plan is made from and what it says: values and the two questions a planner may ask.

`Record` answers for what is installed beside the packages that change, `Disk` for what lies in the
prefix.  Both are only read, and a planner asks nothing else: the same answers give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from shipway.model.entry import FILE, Entry, Manifest
from shipway.model.facts import FactChange, Override
from shipway.model.unit import Source, Unit


class Policy(StrEnum):
    """What to do about a path that others claim differently, or that nobody owns."""

    FAIL = "fail"
    BACKUP = "backup"
    OVERWRITE = "overwrite"


class Claim(NamedTuple):
    """One owner's entry at a path, and the image it comes from."""

    owner: str
    entry: Entry
    image: str


class Seen(Protocol):
    """What lies at a path; `kind` "x" is a device, socket or fifo."""

    @property
    def kind(self) -> str: ...
    @property
    def mode(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def mtime(self) -> int: ...
    @property
    def target(self) -> str: ...


class Record(Protocol):
    """What the database says about everybody but the packages that change."""

    def others(self, directory: str) -> Mapping[str, Sequence[Claim]]:
        """Their claims in a directory, by name; those of backups too."""

    def contest(self, path: str) -> tuple[str, ...]:
        """The owners of a contested path from bottom to top, or ()."""

    def contested_below(self, directory: str) -> bool:
        """Whether any path below a directory is contested."""

    def foreign(self, path: str) -> str | None:
        """The value of the fact that a directory was there before any package."""


class Disk(Protocol):
    """What lies in the prefix.  Paths are relative to it."""

    @property
    def exchange(self) -> bool:
        """Whether two names can be exchanged in one step."""

    def look(self, path: str) -> Seen | None:
        """What lies at a path (symlinks not followed), or None."""

    def names(self, directory: str) -> Mapping[str, Seen]:
        """What lies in a directory; nothing if it is not one."""

    def kinds(self, directory: str) -> Mapping[str, str]:
        """The names in a directory with their kinds alone, which costs a fraction of `names`."""

    def digest(self, path: str) -> str:
        """The hex SHA-256 of a file."""

    def refusal(self, path: str) -> str:
        """Why a directory cannot be renamed as a whole, or ""."""


class Wish(NamedTuple):
    """One package that a transaction changes: from `old` to `new`, None where it is not installed.

    `old` and `new` are the images' manifests; `overrides` what the package's facts say beside them, by path.
    """

    identity: str
    old: Manifest | None
    new: Manifest | None
    old_image: str = ""
    new_image: str = ""
    overrides: Mapping[str, Override] = MappingProxyType({})


class Past(NamedTuple):
    """What undoing a transaction knows of it, beside the packages.

    `restore` are paths whose content comes from its undo area (see `Unit.keep`), `stacks` the stacks of claims before it, and
    `given` paths where it gave back what nobody owns, which may be displaced again.  `foreign` are directories that were
    there before any package, before it.  What nobody owns now but was the package's before is taken back as it is.
    """

    restore: Mapping[str, Source] = MappingProxyType({})
    stacks: Mapping[str, Sequence[str]] = MappingProxyType({})
    given: frozenset[str] = frozenset()
    foreign: Mapping[str, str] = MappingProxyType({})


class PlanRequest(NamedTuple):
    """Everything a planner needs; `past` where it plans an undo."""

    wishes: Sequence[Wish]
    record: Record
    disk: Disk
    policy: Policy = Policy.FAIL
    past: Past | None = None


class Conflict(NamedTuple):
    """A path that cannot be had: what is in the way, whose it is, and whether a policy would settle it."""

    path: str
    problem: str
    owners: tuple[str, ...]
    settled_by: tuple[Policy, ...]


class Note(NamedTuple):
    """Something a person should be told.  `kind` is one word, for machines."""

    kind: str
    path: str
    text: str


class Plan(NamedTuple):
    """The units of a commit in order, what changes in the record, and what there is to say.

    `shadowed` are sources whose times would let old bytecode stand for new content (I6), by package, with what is there: such
    an image must be given other times first.  `backups` is the manifest of what nobody owned and is to be given back.
    `overlays` are paths inside directory units whose content comes from elsewhere than the unit's own sources.
    """

    units: tuple[Unit, ...]
    changes: tuple[FactChange, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[Note, ...]
    shadowed: tuple[tuple[str, str, Entry], ...]
    backups: Manifest | None = None
    overlays: tuple[tuple[str, Source], ...] = ()


def matches(disk: Disk, path: str, seen: Seen, entry: Entry) -> bool:
    """Whether what lies at a path is what an entry says: size and time first, then the digest; not the mode."""
    if seen.kind != entry.kind:
        return False
    if entry.kind != FILE:
        return seen.target == entry.target
    return seen.size == entry.size and (seen.mtime == entry.mtime or disk.digest(path) == entry.digest)


def is_configuration(path: str) -> bool:
    """Whether its user's changes are kept in place on upgrade: everything under etc/."""
    return path.startswith("etc/")
