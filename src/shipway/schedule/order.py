"""What was ordered: how packages are to be built, tested and put in.  Values that the driver and its threads share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from shipway.build.environment import Tools
from shipway.build.phases import BEFORE_COMMIT
from shipway.build.recipe import Recipe
from shipway.fs.apart import NONE, Isolation
from shipway.model.planning import Policy


class Check(StrEnum):
    """Whether tests run, and whether it matters how they end."""

    NO = "no"
    WARN = "warn"
    YES = "yes"


class Checks(NamedTuple):
    """What holds for all packages, and for some of them instead."""

    default: Check = Check.NO
    of: Mapping[str, Check] = {}

    def mode(self, name: str) -> Check:
        """What holds for one package."""
        return self.of.get(name, self.default)

    @property
    def wanted(self) -> frozenset[str] | None:
        """The names whose tests may run; None for all (but for those that `of` excepts)."""
        if self.default is not Check.NO:
            return None
        return frozenset(name for name, mode in self.of.items() if mode is not Check.NO)


class Workshop(NamedTuple):
    """Where and with what everything is built.

    `rooms` is the directory of the rooms, `logs` that of the logs; `processors` are shared among the builds that run.
    `writable` and `contact` as in `build.one.Request`; `wait` is how many seconds to wait for a lock (None: for ever).
    """

    prefix: str
    rooms: str
    logs: str
    tools: Tools
    isolation: Isolation = NONE
    processors: int = 1
    contact: str = ""
    writable: tuple[str, ...] = ()
    wait: float | None = None


class Order(NamedTuple):
    """What is to be done with the packages of a graph.

    `asked` are the names that were asked for.  Of these only, if not `deps`; of all others, if `only_deps`.  `jobs` are built at a
    time.  `commit`: what is built goes into the prefix; else it stays in its room.  `undo_on_failure`: a package whose tests fail after the
    commit is taken back.
    """

    asked: frozenset[str]
    jobs: int = 1
    checks: Checks = Checks()
    policy: Policy = Policy.FAIL
    commit: bool = True
    deps: bool = True
    only_deps: bool = False
    keep_going: bool = False
    keep_build: bool = False
    undo_on_failure: bool = False
    only_check: bool = False

    def concerns(self, name: str) -> bool:
        """Whether a package may be built at all."""
        if self.only_deps:
            return name not in self.asked
        return name in self.asked or (self.deps and self.commit)

    def phases(self, recipe: Recipe) -> tuple[str, ...]:
        """The phases before the commit; a wheel that goes in as one needs no stage."""
        tested = self.checks.mode(recipe.name) is not Check.NO and recipe.check.before_commit
        left_out = {phase for phase, out in (("check", not tested), ("install", is_wheel(recipe))) if out}
        if self.only_check:
            left_out = {"install"}
        return tuple(phase for phase in BEFORE_COMMIT if phase not in left_out)

    def phases_after(self, recipe: Recipe) -> tuple[str, ...]:
        """The phases after the commit, as far as there is something to do for them."""
        tested = self.checks.mode(recipe.name) is not Check.NO and not recipe.check.before_commit
        last = ("post_install",) if recipe.phases.post_install is not None else ()
        return (("check",) if tested else ()) + last

    def tolerated(self, recipe: Recipe) -> frozenset[str]:
        """The phases whose failure is no more than a warning."""
        lenient = self.checks.mode(recipe.name) is Check.WARN or (recipe.check.flaky and not self.only_check)
        return frozenset({"check"}) if lenient else frozenset()


def is_wheel(recipe: Recipe) -> bool:
    """Whether it goes in as the wheel that its build system makes: unless it has an install phase of its own."""
    return recipe.build.system in ("python", "wheel") and recipe.phases.install is None
