"""The order of leases and commits: no conflict, no circle, nobody kept waiting by those who came later."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.model.lease import ALL, INTENT, LEASE, Deadlock, Party, arrival, has_to_wait, in_the_way


@dataclass
class Room:
    """Parties that live, by token, and those that are through: they have found nobody in their way."""

    living: dict[str, Party] = field(default_factory=dict)
    through: set[str] = field(default_factory=set)

    def arrive(
        self, token: str, kind: str, packages: str, exclusive: bool = False, under: str = ""
    ) -> Party | Deadlock:
        names = ALL if packages == "*" else frozenset(packages)
        party = Party(token, kind, names, exclusive, f"cmd-{token}", tuple(under))
        arrived = arrival(party, list(self.living.values()))
        if isinstance(arrived, Party):
            self.living[token] = arrived
            self.look(token)
        return arrived

    def lease(self, token: str, packages: str, under: str = "") -> Party:
        arrived = self.arrive(token, LEASE, packages, under=under)
        assert isinstance(arrived, Party)
        return arrived

    def intent(self, token: str, packages: str, exclusive: bool = False, under: str = "") -> Party | Deadlock:
        return self.arrive(token, INTENT, packages, exclusive, under)

    def waits(self, token: str) -> str:
        return "".join(p.token for p in in_the_way(self.living[token], self.living.values()))

    def look(self, token: str) -> None:
        if not self.waits(token):
            self.through.add(token)

    def leave(self, token: str) -> None:
        del self.living[token]
        self.through.discard(token)


def test_leases_get_along_and_commits_are_not_told_apart_here() -> None:
    room = Room()
    room.lease("a", "xy")
    room.lease("b", "*")
    room.leave("a")
    room.leave("b")
    room.intent("c", "x")
    room.intent("d", "x", exclusive=True)
    assert room.through == {"c", "d"}


@pytest.mark.parametrize(
    ("leased", "moved", "exclusive", "waits"),
    [
        ("x", "x", False, True),
        ("xy", "yz", False, True),
        ("x", "y", False, False),
        ("*", "y", False, True),
        ("x", "y", True, True),
        ("", "y", True, True),
        ("", "y", False, False),
        ("*", "", False, False),
    ],
)
def test_a_commit_waits_for_leases_it_touches_and_an_exclusive_one_for_all(
    leased: str, moved: str, exclusive: bool, waits: bool
) -> None:
    room = Room()
    room.lease("a", leased)
    room.intent("c", moved, exclusive)
    assert room.waits("c") == ("a" if waits else "")
    room.lease("b", leased)
    assert room.waits("b") == ("c" if waits else "")


def test_who_comes_later_waits_for_who_waits() -> None:
    room = Room()
    room.lease("a", "x")
    room.intent("c", "x")
    room.lease("b", "x")
    room.intent("d", "x")
    assert [room.waits(token) for token in "acbd"] == ["", "a", "c", "ab"]
    room.leave("a")
    assert [room.waits(token) for token in "cbd"] == ["", "c", "b"]


def test_a_commit_is_not_stopped_by_the_leases_it_runs_under() -> None:
    room = Room()
    room.lease("a", "x")
    room.lease("b", "x", under="a")
    room.intent("c", "x", exclusive=True, under="ab")
    assert room.waits("c") == ""
    room.intent("d", "x", under="a")
    assert room.waits("d") == "b"


def test_a_lease_goes_ahead_of_a_commit_that_waits_for_what_it_runs_under() -> None:
    room = Room()
    room.lease("a", "x")
    room.intent("c", "xy")
    room.lease("b", "y", under="a")
    assert room.waits("b") == ""
    assert room.waits("c") == "ab"
    room.leave("a")
    assert room.waits("c") == "b"


def test_a_lease_goes_ahead_also_where_the_commit_waits_round_a_corner() -> None:
    """c waits for b, under which d waits for a, under which the newcomer runs."""
    room = Room()
    room.lease("a", "x")
    room.lease("b", "y")
    room.intent("c", "yz")
    room.intent("d", "x", under="b")
    room.lease("e", "z", under="a")
    assert room.waits("e") == ""
    assert room.waits("c") == "be"


def test_a_lease_under_another_waits_for_commits_that_the_outer_one_does_not_stop() -> None:
    room = Room()
    room.lease("a", "x")
    room.lease("b", "y")
    room.intent("c", "yz")
    room.lease("e", "z", under="a")
    assert room.waits("e") == "c"


def test_the_later_of_two_commits_that_would_wait_for_each_other_is_refused_with_the_circle() -> None:
    room = Room()
    room.lease("a", "x")
    room.lease("b", "y")
    room.intent("c", "y", under="a")
    refused = room.intent("d", "x", under="b")
    assert isinstance(refused, Deadlock)
    assert refused.lines() == [
        "the commit of cmd-d of x waits for the lease of cmd-a on x",
        "the commit of cmd-c of y runs under the lease of cmd-a on x",
        "the commit of cmd-c of y waits for the lease of cmd-b on y",
        "the commit of cmd-d of x runs under the lease of cmd-b on y",
    ]


def test_a_party_whose_outer_lease_is_gone_waits_like_any_other() -> None:
    room = Room()
    room.lease("a", "x")
    room.intent("c", "x")
    room.leave("a")
    room.lease("b", "x", under="a")
    assert room.waits("b") == "c"


def test_a_record_says_all() -> None:
    party = Party("t", LEASE, frozenset({"a b", "\udcff"}), True, "make\n-j8", ("u", "v"), 7, ("w",))
    assert Party.decode(party.encode()) == party


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"token": 1}', Party("t", LEASE, ALL).encode()[:-3]])
def test_anything_else_is_no_record(data: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Party.decode(data)


class Simulation(Room):
    """Any history: arrivals at any nesting, looks, ends and deaths, in any order."""

    def check(self) -> None:
        self.check_nobody_moves_what_is_leased()
        self.check_there_is_no_circle()

    def check_nobody_moves_what_is_leased(self) -> None:
        for lease in self.of(LEASE):
            for intent in self.of(INTENT):
                if {lease.token, intent.token} <= self.through and lease.token not in intent.ancestors:
                    assert not has_to_wait(Party("new", LEASE, lease.packages, number=10**9), intent)

    def check_there_is_no_circle(self) -> None:
        """Whoever needs nobody ends, again and again, until nobody is left."""
        left = dict(self.living)
        while left:
            free = [p for p in left.values() if not self.needs(p, left)]
            assert free, left
            for party in free:
                del left[party.token]

    def of(self, kind: str) -> list[Party]:
        return [party for party in self.living.values() if party.kind == kind]

    def needs(self, party: Party, left: dict[str, Party]) -> list[Party]:
        waits = party.token not in self.through
        return [
            other
            for other in left.values()
            if (waits and has_to_wait(party, other)) or (party.kind == LEASE and party.token in other.ancestors)
        ]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_whatever_happens_nobody_moves_what_is_leased_and_nobody_waits_in_a_circle(data: st.DataObject) -> None:
    room = Simulation()
    for token in "abcdefghijkl":
        action = data.draw(st.sampled_from(["lease", "lease", "intent", "intent", "leave", "look"]))
        known = sorted(room.living)
        if action in ("lease", "intent"):
            outer = data.draw(
                st.sampled_from(["", *sorted(p.token for p in room.of(LEASE) if p.token in room.through)])
            )
            under = "".join(room.living[outer].ancestors) + outer if outer else ""
            packages = data.draw(st.sampled_from(["x", "y", "*"]))
            exclusive = action == "intent" and data.draw(st.booleans())
            room.arrive(token, LEASE if action == "lease" else INTENT, packages, exclusive, under)
        elif known and action == "leave":
            room.leave(data.draw(st.sampled_from(known)))
        elif known:
            room.look(data.draw(st.sampled_from(known)))
        room.check()


@given(st.lists(st.sampled_from(["x", "y", "xy", "*"]), max_size=8), st.booleans())
def test_later_arrivals_that_are_strangers_never_lengthen_a_wait(later: list[str], exclusive: bool) -> None:
    room = Room()
    room.lease("a", "x")
    room.intent("c", "x", exclusive)
    for number, packages in enumerate(later):
        room.lease(chr(ord("d") + number), packages)
    assert room.waits("c") == "a"
