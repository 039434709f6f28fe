"""The scheduler, simulated: random graphs, random durations, random failures."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.build.recipe import Recipe
from shipway.build.recipe_file import Found
from shipway.schedule.graph import Graph, Node
from shipway.schedule.scheduler import Build, Commit, Decide, Scheduler, State


def graph(needs: Mapping[str, tuple[str, ...]], exclusive: frozenset[str] = frozenset()) -> Graph:
    nodes = {}
    for name, each in needs.items():
        document = {"name": name, "version": "1", "build": {"system": "make"}, "exclusive": name in exclusive}
        nodes[name] = Node(Found(Recipe.model_validate(document), ""), each, each)
    return Graph(nodes, {})


class World:
    """Carries out what the scheduler says, in any order, and watches that nothing happens which must not."""

    def __init__(
        self,
        scheduler: Scheduler,
        dice: random.Random,
        failing: frozenset[str] = frozenset(),
        found: frozenset[str] = frozenset(),
    ) -> None:
        self.scheduler = scheduler
        self.dice = dice
        self.failing = failing
        self.found = found
        self.held: set[str] = set()
        self.under_way: list[Decide | Build | Commit] = []
        self.done: list[str] = []
        self.most_builds = 0

    def run(self) -> None:
        self.begin()
        while self.under_way:
            if self.dice.random() < 0.3:
                self.hold()
            self.end(self.under_way.pop(self.dice.randrange(len(self.under_way))))
            self.begin()
        assert self.scheduler.over, self.scheduler.states

    def hold(self) -> None:
        """A build waits for somebody else, or does so no longer."""
        if building := self.builds():
            name = self.dice.choice(building)
            self.held ^= {name}
            self.scheduler.held(name, held=name in self.held)

    def begin(self) -> None:
        for action in self.scheduler.actions():
            needs = self.scheduler.graph.nodes[action.name].needs
            assert all(need in self.done for need in needs), f"{action} before {needs}"
            if isinstance(action, Commit) and self.exclusive(action.name):
                assert not set(self.builds()) - self.held, "an exclusive package is committed while something builds"
            if isinstance(action, Build):
                commits = [a.name for a in self.under_way if isinstance(a, Commit)]
                assert not any(map(self.exclusive, commits)), "a build begins while an exclusive package is committed"
            self.under_way.append(action)
        self.most_builds = max(self.most_builds, len(self.builds()))

    def end(self, action: Decide | Build | Commit) -> None:
        if isinstance(action, Decide):
            self.scheduler.decided(action.name, build=self.dice.random() < 0.8)
            if self.scheduler.states[action.name] is State.SETTLED:
                self.done.append(action.name)
        elif isinstance(action, Build) and action.name in self.failing:
            self.scheduler.failed(action.name)
        elif isinstance(action, Build) and self.dice.random() < 0.1:
            self.scheduler.settled(action.name)
            self.done.append(action.name)
        elif isinstance(action, Build):
            self.scheduler.built(action.name, exclusive=action.name in self.found)
        else:
            self.scheduler.committed(action.name)
            self.done.append(action.name)

    def builds(self) -> list[str]:
        return [action.name for action in self.under_way if isinstance(action, Build)]

    def exclusive(self, name: str) -> bool:
        return self.scheduler.graph.nodes[name].recipe.exclusive or name in self.found


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"p{number}" for number in range(draw(st.integers(1, 12)))]
    needs: dict[str, tuple[str, ...]] = {}
    for position, name in enumerate(names):
        needs[name] = tuple(draw(st.sets(st.sampled_from(names[:position]), max_size=3))) if position else ()
    return graph(needs, frozenset(draw(st.sets(st.sampled_from(names), max_size=3))))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_everything_comes_to_an_end_in_the_right_order(wanted: Graph, jobs: int, dice: random.Random) -> None:
    found = frozenset(name for name in wanted.nodes if dice.random() < 0.2)
    world = World(Scheduler(wanted, jobs), dice, found=found)
    world.run()
    assert sorted(world.done) == sorted(wanted.nodes)
    assert world.most_builds <= jobs


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.integers(1, 4), st.randoms(use_true_random=False), st.booleans())
def test_after_a_failure_all_is_accounted_for(wanted: Graph, jobs: int, dice: random.Random, keep_going: bool) -> None:
    failing = frozenset(name for name in wanted.nodes if dice.random() < 0.3)
    scheduler = Scheduler(wanted, jobs, keep_going=keep_going)
    world = World(scheduler, dice, failing)
    world.run()
    for name, state in scheduler.states.items():
        if state is State.LEFT_OUT:
            assert scheduler.why_left_out[name]
        if keep_going and state is State.LEFT_OUT:
            assert any(scheduler.states[need] in (State.FAILED, State.LEFT_OUT) for need in wanted.nodes[name].needs)


def test_two_are_built_at_a_time_where_two_may_be() -> None:
    world = World(Scheduler(graph({"a": (), "b": (), "c": ()}), 2), random.Random(1))
    world.dice.random = lambda: 0.0  # type: ignore[method-assign]
    world.run()
    assert world.most_builds == 2


def test_that_which_holds_up_most_is_built_first() -> None:
    scheduler = Scheduler(graph({"a": (), "b": (), "c": ("b",), "d": ("c",)}), 1)
    for action in list(scheduler.actions()):
        scheduler.decided(action.name, build=True)
    assert list(scheduler.actions()) == [Build("b")]


def test_a_waiting_exclusive_package_is_not_starved() -> None:
    scheduler = Scheduler(graph({"a": (), "b": (), "c": ()}, frozenset({"a"})), 2)
    for action in list(scheduler.actions()):
        scheduler.decided(action.name, build=True)
    assert list(scheduler.actions()) == [Build("a"), Build("b")]
    scheduler.built("a")
    assert list(scheduler.actions()) == []
    scheduler.built("b")
    assert list(scheduler.actions()) == [Commit("b")]
    scheduler.committed("b")
    assert list(scheduler.actions()) == [Commit("a")]
    scheduler.committed("a")
    assert list(scheduler.actions()) == [Build("c")]


def building(*names: str, exclusive: str = "", jobs: int = 3) -> Scheduler:
    """All of these are being built."""
    scheduler = Scheduler(graph(dict.fromkeys(names, ()), frozenset({exclusive})), jobs)
    for action in list(scheduler.actions()):
        scheduler.decided(action.name, build=True)
    list(scheduler.actions())
    return scheduler


def test_what_is_found_to_be_exclusive_waits_like_what_is_called_so() -> None:
    scheduler = building("a", "b")
    scheduler.built("a", exclusive=True)
    assert list(scheduler.actions()) == []
    scheduler.settled("b")
    assert list(scheduler.actions()) == [Commit("a")]


def test_what_somebody_else_has_put_in_is_there_for_what_needs_it() -> None:
    scheduler = Scheduler(graph({"a": (), "b": ("a",)}), 1)
    scheduler.decided(next(scheduler.actions()).name, build=True)
    list(scheduler.actions())
    scheduler.settled("a")
    assert list(scheduler.actions()) == [Decide("b")]


def test_a_build_that_waits_for_another_invocation_is_not_waited_for() -> None:
    scheduler = building("a", "b", exclusive="a")
    scheduler.held("b", held=True)
    scheduler.built("a")
    assert list(scheduler.actions()) == [Commit("a")]


def test_a_build_that_waits_no_longer_is_waited_for() -> None:
    scheduler = building("a", "b", exclusive="a")
    scheduler.held("b", held=True)
    scheduler.held("b", held=False)
    scheduler.built("a")
    assert list(scheduler.actions()) == []


def test_processors_are_shared_with_what_runs_and_what_could() -> None:
    scheduler = building("a", "b", jobs=4)
    assert scheduler.share(8) == 4
    assert scheduler.share(1) == 1
    scheduler.settled("a")
    assert scheduler.share(8) == 8
    many = building(*"abcdef", jobs=2)
    assert many.share(8) == 4, "no more than two are built at a time"


def test_a_failure_leaves_out_what_needs_it_and_says_why() -> None:
    scheduler = Scheduler(graph({"a": (), "b": ("a",), "c": ()}), 2, keep_going=True)
    for action in list(scheduler.actions()):
        scheduler.decided(action.name, build=True)
    list(scheduler.actions())
    scheduler.failed("a")
    assert scheduler.why_left_out == {"b": "it needs a"}
    assert scheduler.states["c"] is State.BUILDING


def test_an_event_out_of_turn_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="a is waiting, not building"):
        Scheduler(graph({"a": ()}), 1).built("a")
