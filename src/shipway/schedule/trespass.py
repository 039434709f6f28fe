"""What a build did to files of others, by writing past its stage: a pure function of what an overlay caught, and of who owns what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from shipway.fs.overlay import Captured

Owners = Mapping[str, Sequence[str]]
"""For a path the names of the packages that own it, but for the one that was built."""


class Verdict(NamedTuple):
    """What may stay of what was written past the stage.

    `refused` says, a line each, what must not be; `others` are paths that stay theirs, since they were written as they were; `told`
    says what was done to files that nobody owns, and is not carried out.
    """

    refused: tuple[str, ...]
    others: tuple[str, ...]
    told: tuple[str, ...]


def judge(name: str, written: Captured, owners: Owners) -> Verdict:
    """What a build of `name` may have written.  What nobody owns and was changed is left to the rules for conflicts."""
    others = tuple(path for path in written.same if owners.get(path))
    told = tuple(
        f"{name} deletes {path}, which nobody owns; it stays" for path in written.deleted if path not in owners
    )
    return Verdict(tuple(_refused(name, written, owners)), others, told)


def _refused(name: str, written: Captured, owners: Owners) -> Iterator[str]:
    for word, paths in (("changes", written.changed), ("deletes", written.deleted)):
        for path in paths:
            if whose := owners.get(path):
                yield f"{name} {word} {path}, which belongs to {' and '.join(whose)}"
