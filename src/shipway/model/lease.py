"""Who waits for whom: leases and commits in the order in which they came (the protocol: `prefix.leases`).

Both kinds are parties.  A lease keeps packages as they are; an intent announces a commit that will move some.
Two leases get along, and so do two intents (commits are told apart by the prefix's lock).  A lease and an
intent that touch the same package do not: whoever came later waits.

Nothing here touches a disk; tests drive it without any process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

LEASE = "lease"
INTENT = "intent"

ALL = frozenset({"*"})
"""The packages of a lease on everything."""


class Party(NamedTuple):
    """A lease, or a commit's intent, as others see it.

    `number` is its place in the order of arrival among those that live.  `packages` are identities, or ALL.  An
    `exclusive` intent is in the way of every lease, and every lease in its.  `ancestors` are the tokens of the leases under
    which its command runs, outermost first; `ahead_of` those of intents that it need not wait for although they came
    before it (see `arrival`).  Commands run under leases only.
    """

    token: str
    kind: str
    packages: frozenset[str]
    exclusive: bool = False
    command: str = ""
    ancestors: tuple[str, ...] = ()
    number: int = 0
    ahead_of: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = "all packages" if self.packages >= ALL else ", ".join(sorted(self.packages)) or "no package"
        of = f" of {self.command}" if self.command else ""
        return f"the lease{of} on {names}" if self.kind == LEASE else f"the commit{of} of {names}"

    def encode(self) -> bytes:
        """The party as a file holds it: JSON, `packages` sorted."""
        fields = {
            "token": self.token,
            "kind": self.kind,
            "packages": sorted(self.packages),
            "exclusive": self.exclusive,
            "command": self.command,
            "ancestors": self.ancestors,
            "number": self.number,
            "ahead_of": self.ahead_of,
        }
        return json.dumps(fields).encode()

    @classmethod
    def decode(cls, data: bytes) -> Party:
        """The inverse of `encode`.  Raises ValueError, KeyError or TypeError on anything else."""
        fields = json.loads(data)
        return cls(
            str(fields["token"]),
            str(fields["kind"]),
            frozenset(map(str, fields["packages"])),
            bool(fields["exclusive"]),
            str(fields["command"]),
            tuple(map(str, fields["ancestors"])),
            int(fields["number"]),
            tuple(map(str, fields["ahead_of"])),
        )


class Deadlock(NamedTuple):
    """Why a commit must not wait: `waits` are the parties of the circle, each of which waits for the next."""

    waits: tuple[Party, ...]

    def lines(self) -> list[str]:
        """The circle in words, one line for each step."""
        return [_step(one, next_) for one, next_ in zip(self.waits, (*self.waits[1:], self.waits[0]), strict=True)]


def has_to_wait(party: Party, other: Party) -> bool:
    """Whether a party goes on only when the other is gone, as long as the other lives."""
    if party.kind == other.kind or not _touch(party, other):
        return False
    if other.token in party.ancestors:
        return False
    if party.kind == LEASE:
        return other.number < party.number and other.token not in party.ahead_of
    return other.number < party.number or party.token in other.ahead_of


def arrival(party: Party, living: Sequence[Party]) -> Party | Deadlock:
    """A party that arrives among the living: with its number, and with what it may overtake; or why it must go away.

    A lease that runs under another goes ahead of a commit that could only go on when the outer lease has ended, which
    may wait for this very command: the commit waits for both.  A commit cannot go ahead of a lease; one that would wait
    for ever is refused, and so is the later of two that would wait for each other.
    """
    numbered = party._replace(number=1 + max((other.number for other in living), default=0))
    circles = {other.token: _path_to_ancestor(other, numbered, living) for other in in_the_way(numbered, living)}
    if numbered.kind == LEASE:
        return numbered._replace(ahead_of=tuple(token for token, circle in circles.items() if circle))
    circle = next(filter(None, circles.values()), None)
    return Deadlock((numbered, *circle)) if circle else numbered


def in_the_way(party: Party, living: Iterable[Party]) -> list[Party]:
    """Those that a party has to wait for now, in the order of their arrival."""
    return sorted((other for other in living if has_to_wait(party, other)), key=lambda other: other.number)


def _touch(party: Party, other: Party) -> bool:
    if party.exclusive or other.exclusive:
        return True
    if party.packages >= ALL or other.packages >= ALL:
        return bool(party.packages and other.packages)
    return not party.packages.isdisjoint(other.packages)


def _path_to_ancestor(start: Party, newcomer: Party, living: Sequence[Party]) -> tuple[Party, ...] | None:
    """The shortest chain of parties, each needing the next to end, from `start` to one that the newcomer runs under."""
    came_from: dict[str, Party | None] = {start.token: None}
    tokens = {party.token: party for party in living}
    queue = [start]
    for party in queue:
        if party.token in newcomer.ancestors:
            return _trace(party, came_from)
        for other in _needs(party, tokens):
            if other.token not in came_from:
                came_from[other.token] = party
                queue.append(other)
    return None


def _needs(party: Party, living: Mapping[str, Party]) -> list[Party]:
    """Those that have to end before a party does: what it waits for, and what runs under it (nothing runs under an intent)."""
    nests = party.kind == LEASE
    return [o for o in living.values() if has_to_wait(party, o) or (nests and party.token in o.ancestors)]


def _trace(end: Party, came_from: Mapping[str, Party | None]) -> tuple[Party, ...]:
    chain = [end]
    while (before := came_from[chain[-1].token]) is not None:
        chain.append(before)
    return tuple(reversed(chain))


def _step(one: Party, other: Party) -> str:
    if one.token in other.ancestors:
        return f"{other} runs under {one}"
    return f"{one} waits for {other}"
