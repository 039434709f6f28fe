"""What projects need of each other, and whether a set of them is complete.

Sources: "Core metadata specifications" and "Dependency specifiers" (packaging.python.org).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from shipway.python.distributions import normal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Environment = Mapping[str, str]
"""The variables of markers."""

_HEADER = re.compile(
    r"^(name|version|requires-dist|provides-extra|requires-python):(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE
)
"""A line that begins with a blank continues the one before."""
_OF_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_OR = re.compile(r"""\sor\s""")


class Needs(NamedTuple):
    """What a project's metadata says: its version, requirements as text, the extras that it has, and `python` as a specifier."""

    name: str
    version: str
    requires: tuple[str, ...]
    extras: frozenset[str]
    python: str = ""


Lookup = Callable[[str], Needs | None]
"""The project of a compared name that is, or will be, there; None if there is none, or nobody is sure."""


def needs(metadata: str) -> Needs:
    """What METADATA says."""
    found: dict[str, list[str]] = {}
    for name, value in _HEADER.findall(metadata.partition("\n\n")[0]):
        found.setdefault(name.lower(), []).append(" ".join(value.split()))
    name, version, python = (found.get(each, [""])[0] for each in ("name", "version", "requires-python"))
    extras = frozenset(map(normal, found.get("provides-extra", ())))
    return Needs(name, version, tuple(found.get("requires-dist", ())), extras, python)


def complete(
    wanted: Iterable[Requirement], limits: Sequence[Requirement], lookup: Lookup, environment: Environment
) -> bool:
    """Whether every requirement, and those of what meets it, is met by a project that `lookup` knows, within limits.

    Then a resolver that prefers these projects chooses them all: each is the first candidate, and none contradicts another.
    """
    within: dict[str, list[Requirement]] = {}
    for limit in limits:
        if limit.extras:
            return False
        if holds(limit, (), environment):
            within.setdefault(normal(limit.name), []).append(limit)
    lookup = cache(lookup)
    rest = deque((requirement, frozenset[str]()) for requirement in wanted)
    seen: set[tuple[str, frozenset[str]]] = set()
    while rest:
        requirement, extras = rest.popleft()
        if not holds(requirement, extras, environment):
            continue
        key, asked = normal(requirement.name), frozenset(map(normal, requirement.extras))
        found = lookup(key)
        if found is None or not all(_meets(found, each) for each in (requirement, *within.get(key, ()))):
            return False
        if not asked <= found.extras:
            return False
        if (key, asked) not in seen:
            seen.add((key, asked))
            rest.extend((each, asked) for each in _requirements(found, asked))
    return True


def _meets(found: Needs, requirement: Requirement) -> bool:
    """As pip judges what is installed: a preview will do."""
    return not requirement.url and requirement.specifier.contains(found.version, prereleases=True)


def _requirements(found: Needs, extras: frozenset[str]) -> Iterator[Requirement]:
    from packaging.requirements import Requirement

    for text in found.requires:
        if not _is_of_other_extra(text, extras):
            yield Requirement(text)


def _is_of_other_extra(text: str, extras: frozenset[str]) -> bool:
    """Whether it is plain to see that a requirement is one of an extra that nobody asked for: most are, and parsing takes long."""
    _, semicolon, marker = text.partition(";")
    if not semicolon or _OR.search(marker):
        return False
    found = _OF_EXTRA.search(marker)
    return found is not None and normal(found[1]) not in extras


def holds(requirement: Requirement, extras: Iterable[str], environment: Environment) -> bool:
    """Whether a requirement counts: its marker is true for one of these extras, or for none."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))
