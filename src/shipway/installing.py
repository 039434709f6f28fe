"""Python environments: requirements become wheels, wheels become images, and all of them one transaction.

    reconcile ─ resolve (pip) ─ fetch, build (pip) ─ unpack, seal, compile ─┬─ environment lock ─ unchanged? ─ adopt ─ commit
      └──────────────── somebody changed the environment meanwhile: again ──┘

Only the last part excludes others who do the same; readers, and commits of other packages, are never in the way.  What pip or
uv installed is taken over first where it is to be replaced or removed: a transaction of its own, so that undo gives it back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from shipway.adopting import Adopted, Adopter, Taken, ours, what_became_of
from shipway.api import Image, Outcome, Prefix
from shipway.errors import ShipwayError
from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.model.planning import Policy
from shipway.prefix.logs import keep_log
from shipway.python.checkouts import settle
from shipway.python.chosen import Chosen
from shipway.python.distributions import Distribution, installed, leftovers, normal, remnants
from shipway.python.pinned import Work, known
from shipway.python.pip_arguments import Arguments
from shipway.python.remains import Remains, incurable
from shipway.python.resolver import CLONES, fetch, resolve
from shipway.python.target import Target, outgrown
from shipway.python.tools import ToolError
from shipway.recompiling import Follower, Renewal, of_places
from shipway.stocking import Stock

ATTEMPTS = 5
"""How often the environment may change between resolving and committing before the next attempt holds its lock throughout."""

_PAUSE = 0.02
_NAMED = 6
"""Projects that a sentence names; the others it counts."""


class Change(NamedTuple):
    """One project: its versions before and after, "" for none."""

    name: str
    old: str
    new: str


class Done(NamedTuple):
    """What came of it.  `outcome` is None where there was nothing to do, or nothing was to be done (`--dry-run`)."""

    changes: tuple[Change, ...]
    outcome: Outcome | None = None
    adopted: tuple[Adopted, ...] = ()
    notes: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """What is to be installed and, by compared names, what is to go."""

    chosen: tuple[Chosen, ...]
    going: tuple[str, ...] = ()


Projects = Mapping[str, Distribution]


class Environment:
    """The projects of one target, and the prefix that keeps the record of them."""

    def __init__(self, prefix: Prefix, target: Target) -> None:
        self.prefix = prefix
        self.target = target
        self._adopter = Adopter(prefix, target)
        self._adopted: list[Adopted] = []
        self._images: dict[str, Image] = {}
        self._notes: list[str] = []
        self._policy = Policy.FAIL
        self._over = False
        self._count = 0

    # -- what is asked for -----------------------------------------------------------------------------------

    def install(self, arguments: Arguments) -> Done:
        """Install what pip resolves.  Raises ShipwayError, ConflictError or LockedError, nothing changed."""
        self._policy = Policy(arguments.on_conflict)
        self._over = bool({"-I", "--ignore-installed"} & set(arguments.resolving))
        return self._brought(arguments, lambda before: Wanted(self._resolved(arguments, before)))

    def uninstall(self, names: Sequence[str], *, dry_run: bool = False) -> Done:
        """Remove projects by name; one that is not installed is told, as pip does."""
        with self._locked(True):
            before = self.reconcile()
            keys = list(dict.fromkeys(normal(name) for name in names))
            self._notes += [f"{key} is not installed" for key in keys if key not in before]
            going = tuple(key for key in keys if key in before)
            if dry_run or not going:
                return self._done(_changes(Wanted((), going), before))
            return self._commit({}, Wanted((), going), before)

    def sync(self, arguments: Arguments) -> Done:
        """Make the environment what a file says, no more and no less; its lines are not resolved any further."""
        self._policy = Policy(arguments.on_conflict)
        exact = arguments._replace(resolving=("--no-deps", "--ignore-installed", *arguments.resolving))
        return self._brought(exact, lambda before: self._listed(exact, before))

    def adopt(self, names: Sequence[str] = (), *, dry_run: bool = False) -> Taken:
        """Take over what others installed: these projects, or all of them; and heal what is damaged.

        Raises ShipwayError, nothing changed, if one that is named is not there, or nobody knows what belongs to it.
        """
        with self._locked(True):
            there, mine = self.reconcile(), ours(self.prefix)
            wanted = list(dict.fromkeys(map(normal, names))) or sorted({*there, *remnants(self.target)} - mine.keys())
            self._notes += [f"{key} {mine[key].version} is taken over already" for key in wanted if key in mine]
            found = self._adopter.found(dict.fromkeys(wanted))
            absent = [key for key in wanted if key not in found and key not in mine]
            if absent and names:
                raise ShipwayError(f"{', '.join(absent)} is not installed in {self.target.root}")
            refused = {key: why for key, why in ((key, _why_not(key, each)) for key, each in found.items()) if why}
            if refused and names:
                raise ShipwayError("not all can be taken over; nothing was changed", details=tuple(refused.values()))
            sound = {key: each for key, each in found.items() if key not in refused}
            sick = {key: ailing for key in sound if key in there and (ailing := incurable(there[key]))}
            told = Taken((), incurable=sick, refused=tuple(refused.values()), notes=tuple(self._notes))
            if dry_run:
                return told._replace(
                    adopted=tuple(Adopted(key, each.version, each.damage) for key, each in sound.items())
                )
            taken = tuple(self._adopter.adopt(dict.fromkeys(sound)))
            return told._replace(adopted=taken, number=self._adopter.number, healed=self._adopter.heal())

    # -- what is there ---------------------------------------------------------------------------------------

    def installed(self) -> dict[str, Distribution]:
        """The projects by their compared names; where one is there twice, the one that can be imported last."""
        return {each.key: each for each in installed(self.target)}

    def reconcile(self) -> dict[str, Distribution]:
        """What is installed.  What others did to packages of ours is said, and the packages are forgotten."""
        database = self.prefix.site.database
        while True:
            generation = database.generation()
            there = self.installed()
            told = what_became_of(self.prefix, self.target, there)
            if not told:
                return there
            if not generation.moving and database.generation() == generation:
                break
            time.sleep(_PAUSE)
        self._notes += told.values()
        self.prefix.detach([f"pkg:pypi/{key}" for key in told])
        return there

    # -- steps -----------------------------------------------------------------------------------------------

    def _brought(self, arguments: Arguments, choose: Callable[[Projects], Wanted]) -> Done:
        """Bring the environment to what is chosen; anew if somebody else changes it meanwhile."""
        for attempt in range(ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            with self._locked(last):
                before = self.reconcile()
                with self._logging():
                    wanted = choose(before)
                if arguments.dry_run or wanted == Wanted(()):
                    return self._done(_changes(wanted, before))
                with self._logging():
                    images = self._sealed(arguments, wanted.chosen)
                with self._locked(not last):
                    if self.installed() == before:
                        return self._commit(images, wanted, before)
        raise AssertionError("the last attempt holds the lock")

    def _resolved(self, arguments: Arguments, before: Projects) -> tuple[Chosen, ...]:
        tell, jobs = self.prefix.site.tell, self.prefix.site.options.jobs
        chosen = known(self.target, arguments, before, Work(partial(self._area, "pinned"), jobs, tell))
        if chosen is None:
            tell("step", "resolving")
            chosen = self._by_resolver(arguments, before)
        if not self.target.isolated or arguments.reinstalls:
            return tuple(chosen)
        return tuple(each for each in chosen if not _is_there(each, before))

    def _by_resolver(self, arguments: Arguments, before: Projects) -> list[Chosen]:
        area, tell = self._area("resolve"), self.prefix.site.tell
        if arguments.resolver == "uv":
            from shipway.python.uv import resolve_by_uv

            return resolve_by_uv(self.target, arguments, before, area, tell)
        chosen = resolve(self.target, arguments, area, tell)
        if arguments.dry_run:
            return chosen
        settled = settle(chosen, f"{area}/{CLONES}", f"{self.target.root}/src", self.prefix.site.fs)
        self._notes += settled.notes
        return list(settled.chosen)

    def _listed(self, arguments: Arguments, before: Projects) -> Wanted:
        listed = self._resolved(arguments, {})
        names = {normal(each.name) for each in listed}
        chosen = tuple(each for each in listed if not _is_there(each, before))
        return Wanted(chosen, tuple(key for key, each in before.items() if key not in names and not _is_seed(each)))

    def _sealed(self, arguments: Arguments, chosen: Sequence[Chosen]) -> dict[str, Image]:
        """An image for each project, by its compared name; those of an earlier attempt are not made again."""
        new = [each for each in chosen if str(each) not in self._images]
        if new:
            self.prefix.site.tell("phase", f"fetching {len(new)} projects")
            wheels = fetch(self.target, arguments, new, self._area("fetch"), self.prefix.site.tell)
            self.prefix.site.tell("step", f"preparing {', '.join(each.name for each in new[:_NAMED])}{_more(len(new))}")
            images = Stock(self.prefix, self.target, compiled=arguments.compile).images(wheels)
            self._images |= {str(each): image for each, image in zip(new, images, strict=True)}
        return {normal(each.name): self._images[str(each)] for each in chosen}

    def _commit(self, images: dict[str, Image], wanted: Wanted, before: Projects) -> Done:
        coming = {key: image.manifest for key, image in images.items()}
        self._adopted += self._adopter.adopt({**coming, **dict.fromkeys(wanted.going)}, over=self._over)
        changes = _changes(wanted, before)
        found = self._outdated()
        follow = Follower(self.prefix.site, self.prefix.library, found) if found else None
        with self.prefix.transaction(_reason(changes), self._policy, follow=follow) as transaction:
            for image in images.values():
                transaction.install(image)
            for key in wanted.going:
                transaction.remove(f"pkg:pypi/{key}")
        return self._done(changes, transaction.outcome)

    def _done(self, changes: Sequence[Change], outcome: Outcome | None = None) -> Done:
        left = [f"{path} is left of an installation that was broken off" for path in leftovers(self.target)]
        return Done(tuple(changes), outcome, tuple(self._adopted), (*self._notes, *left, *self._of_bytecode(outcome)))

    def _outdated(self) -> Renewal | None:
        """What was compiled for another interpreter than the one that runs the environment now."""
        target, site = self.target, self.prefix.site
        places = [os.path.realpath(place)[len(target.root) + 1 :] for place in target.libraries]
        return of_places(site, target.interpreter, places) if target.interpreter else None

    def _of_bytecode(self, outcome: Outcome | None) -> Iterator[str]:
        old = outgrown(self.target)
        if old:
            yield f"{self.target.root} was made for Python {old}, and its interpreter is another now: what lies in lib/python{old} is not seen"
        if outcome is not None:
            yield from (note.text for note in outcome.notes if note.kind == "recompiled")
        elif found := self._outdated():
            yield f"{found}: the next change compiles it anew, or `shipway repair`"

    def _area(self, name: str) -> str:
        self._count += 1
        return self.prefix.staging(f"{name}-{self._count}")

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Keep all that a program said that fails inside the block, and say where."""
        try:
            yield
        except ToolError as error:
            path = keep_log(self.prefix.site, "pip", "\n".join((*error.said, "")))
            error.hint += f"; all of them: {path}" if path else ""
            raise

    @contextmanager
    def _locked(self, wanted: bool) -> Iterator[None]:
        """The lock of those who change the projects of this environment: from the last look at it to the commit."""
        if not wanted:
            yield
            return
        site = self.prefix.site
        lock = FileLock(f"{site.layout.state}/environment.lock", site.lock_mode, what="the environment")
        lock.acquire(wait=site.options.wait, on_wait=site.on_wait)
        try:
            yield
        finally:
            lock.release()


def prepare(target: Target) -> None:
    """Make the directory of a target that need not be there yet (`--target`, `--prefix`)."""
    if target.isolated:
        make_directories(target.root, 0o755, FileSystem().mkdir)


def refuse_managed(target: Target) -> None:
    """An environment that the distribution manages is left alone (PEP 668)."""
    if target.managed:
        raise ShipwayError(
            f"{target.root} is managed by the distribution (EXTERNALLY-MANAGED)",
            hint="make an environment of its own: python3 -m venv .venv && . .venv/bin/activate",
        )


def _why_not(key: str, found: Remains) -> str:
    """Why a project is not taken over when nothing comes in its place, or ""."""
    why = found.refusal
    if found.blank:
        why = f"has lost its metadata; install it again: shipway pip install --force-reinstall {key}"
    return f"{key} {found.version} {why}" if why else ""


def _is_there(chosen: Chosen, before: Projects) -> bool:
    found = before.get(normal(chosen.name))
    return found is not None and found.version == chosen.version and not chosen.direct_url


def _changes(wanted: Wanted, before: Projects) -> list[Change]:
    coming = [Change(c.name, _version(before, normal(c.name)), c.version) for c in wanted.chosen]
    return coming + [Change(before[key].name, before[key].version, "") for key in wanted.going]


def _version(before: Projects, key: str) -> str:
    return before[key].version if key in before else ""


def _is_seed(found: Distribution) -> bool:
    return found.key in ("pip", "setuptools", "wheel") and found.installer != "shipway"


def _reason(changes: Iterable[Change]) -> str:
    words = [f"{c.name} {c.new}" if c.new else f"-{c.name}" for c in changes]
    return "pip " + ", ".join(words[:_NAMED]) + _more(len(words))


def _more(count: int) -> str:
    return f" and {count - _NAMED} more" if count > _NAMED else ""
