"""The scheduler: a pure state machine.  Events go in, actions come out; `run` carries them out.

    ready() ─ Decide NAME ─ decided(NAME, build?) ─┬─ Build NAME ─┬─ built(NAME) ─ Commit NAME ─ committed(NAME) ─┐
                                                   │              └─ settled(NAME): somebody else did it ─────────┤
                                                   └─ nothing to do ──────────────────────────────────────────────┴─ the next are ready

Whether a package is built is decided when all that it needs has settled, since only then is known what it would be built with.
An exclusive package (its recipe says so, or what was built shows it) commits when nothing builds (what is `held` does not yet), and while it waits nothing new is begun: so it is not starved by a stream of
builds, and as builds wait for no commit but that of their needs, which is over when they begin, nobody waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from shipway.schedule.graph import Graph


class State(StrEnum):
    """Where a package stands."""

    WAITING = "waiting"
    DECIDING = "deciding"
    QUEUED = "queued"
    BUILDING = "building"
    BUILT = "built"
    COMMITTING = "committing"
    SETTLED = "settled"
    FAILED = "failed"
    LEFT_OUT = "left out"


class Decide(NamedTuple):
    """All needs of a package have settled: see whether it is to be built."""

    name: str


class Build(NamedTuple):
    """Build, stage and seal a package."""

    name: str


class Commit(NamedTuple):
    """Commit what was built."""

    name: str


Action = Decide | Build | Commit

_OVER = frozenset({State.SETTLED, State.FAILED, State.LEFT_OUT})


class Scheduler:
    """`jobs` packages are built at a time.  Unless `keep_going`, nothing is begun after a failure."""

    def __init__(self, graph: Graph, jobs: int, *, keep_going: bool = False) -> None:
        self.graph = graph
        self.jobs = jobs
        self.keep_going = keep_going
        self.states: dict[str, State] = dict.fromkeys(graph.nodes, State.WAITING)
        self.why_left_out: dict[str, str] = {}
        self.exclusive: set[str] = {name for name, node in graph.nodes.items() if node.recipe.exclusive}
        self._held: set[str] = set()
        self._stopped = False
        self._weight = {name: sum(1 for _ in graph.users_of(name)) for name in graph.nodes}

    @property
    def over(self) -> bool:
        """Whether nothing is under way, and nothing will be."""
        return all(state in _OVER for state in self.states.values())

    def actions(self) -> Iterator[Action]:
        """What is to be begun now.  Each is given once."""
        for name in self._in(State.WAITING):
            if not self._stopped and all(self.states[need] is State.SETTLED for need in self.graph.nodes[name].needs):
                self.states[name] = State.DECIDING
                yield Decide(name)
        yield from self._commits()
        for name in sorted(self._in(State.QUEUED), key=lambda each: (-self._weight[each], each)):
            if self._building() < self.jobs and not self._exclusive_waits():
                self.states[name] = State.BUILDING
                yield Build(name)

    def decided(self, name: str, *, build: bool) -> None:
        """Whether a package is to be built."""
        self._expect(name, State.DECIDING)
        self.states[name] = State.QUEUED if build else State.SETTLED
        if build and self._stopped:
            self._leave_out(name, "something else failed")

    def built(self, name: str, *, exclusive: bool = False) -> None:
        """A package was built; `exclusive`: what was built shows that it must not be committed while others build."""
        self._expect(name, State.BUILDING)
        self.states[name] = State.BUILT
        if exclusive:
            self.exclusive.add(name)

    def held(self, name: str, *, held: bool) -> None:
        """A build has not begun, because it waits for somebody who builds the same; or it waits no longer.

        What somebody else wants may be among what has been built here, and he may wait for that: so nobody here waits for such a build.
        """
        self._expect(name, State.BUILDING)
        (self._held.add if held else self._held.discard)(name)

    def settled(self, name: str) -> None:
        """Somebody else has put into the prefix what was to be built."""
        self._expect(name, State.BUILDING)
        self.states[name] = State.SETTLED

    def committed(self, name: str) -> None:
        """A package is in the prefix."""
        self._expect(name, State.COMMITTING)
        self.states[name] = State.SETTLED

    def failed(self, name: str) -> None:
        """What was being done to a package did not work; whatever needs it is left out."""
        self.states[name] = State.FAILED
        for user in self.graph.users_of(name):
            self._leave_out(user, f"it needs {name}")
        if not self.keep_going:
            self.stop("something else failed")

    def stop(self, why: str) -> None:
        """Begin nothing new; what is under way goes on."""
        self._stopped = True
        for name in (*self._in(State.WAITING), *self._in(State.QUEUED)):
            self._leave_out(name, why)

    # -- the state of affairs ----------------------------------------------------------------------------------

    def _commits(self) -> Iterator[Commit]:
        """What is built, those last that others must be out of the way of."""
        for name in sorted(self._in(State.BUILT), key=self._is_exclusive):
            if self._is_exclusive(name) and (set(self._in(State.BUILDING)) - self._held or self._in(State.COMMITTING)):
                continue
            self.states[name] = State.COMMITTING
            yield Commit(name)

    def _is_exclusive(self, name: str) -> bool:
        return name in self.exclusive

    def share(self, processors: int) -> int:
        """How many processors a build that begins now may use: they are shared with those that run and those that could."""
        return max(1, processors // max(1, min(self.jobs, self._building() + len(self._in(State.QUEUED)))))

    def _exclusive_waits(self) -> bool:
        waiting = (*self._in(State.BUILT), *self._in(State.COMMITTING))
        return any(map(self._is_exclusive, waiting))

    def _building(self) -> int:
        return len(self._in(State.BUILDING))

    def _in(self, state: State) -> list[str]:
        return [name for name, found in self.states.items() if found is state]

    def _expect(self, name: str, state: State) -> None:
        assert self.states[name] is state, f"{name} is {self.states[name]}, not {state}"

    def _leave_out(self, name: str, why: str) -> None:
        if self.states[name] not in _OVER:
            self.states[name] = State.LEFT_OUT
            self.why_left_out[name] = why
