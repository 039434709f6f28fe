"""Making packages: from fetched sources to a stage, each in a thread, in its room, under a lease on what it is built with.

The order of locks (I8): the room, the lease, then whatever a commit takes; the lease ends with the build.  Who holds a lease waits for nobody:
so a commit that waits for builds waits only as long as they run, and as builds wait for no commit but those that were announced before them,
there is no circle.  Who holds a room may wait for a lease, or commit; nobody who holds a lease, or a lock of a commit, waits for a room.
What was built keeps its room until its commit is over, so that commit must wait for no build that itself waits for a room: such a build is `held`,
and an exclusive commit passes it by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from shipway.build.failure import Failure
from shipway.build.fetching import Fetched
from shipway.build.one import Built, Request, run_build
from shipway.build.sources import prepare
from shipway.errors import Interrupted, LockedError, ShipwayError, StuckError
from shipway.fs.stop import Stop
from shipway.fs.system import FileSystem
from shipway.model.event import Event, Listener
from shipway.prefix.leases import Options as LeaseOptions
from shipway.prefix.leases import take
from shipway.prefix.recover import needs_recovery, recover_locked
from shipway.prefix.site import Options, open_site, tell_waiting
from shipway.schedule import notes
from shipway.schedule.graph import Graph, Node
from shipway.schedule.ingredients import Ingredients
from shipway.schedule.order import Order, Workshop
from shipway.schedule.rooms import Room, Stage
from shipway.schedule.standing import files_digest
from shipway.schedule.steps import Deed, Standing, ingredients_of, step_of

HELD = "held"
"""The kind of the events that say that a build waits for a room, or does so no longer; they are for the driver."""


class Task(NamedTuple):
    """A package to be made: its sources as they lie on this disk, and how many processes it may use."""

    name: str
    files: tuple[Fetched, ...]
    jobs: int


class Made(NamedTuple):
    """A stage that is ready to go in.  Whoever has it holds the room, until `release`."""

    name: str
    room: Room
    stage: Stage
    ingredients: Ingredients
    seconds: float
    again: bool = False
    """Whether it was made in a run before this one."""

    def release(self) -> None:
        """Let others into the room."""
        self.room.lock.release()


class Maker:
    """Makes packages for one prefix; several threads may use it at once.  `standing` holds for what does not change meanwhile."""

    def __init__(self, graph: Graph, order: Order, shop: Workshop, standing: Standing, listener: Listener) -> None:
        self.graph = graph
        self.order = order
        self.shop = shop
        self.standing = standing
        self.listener = listener
        self.fs = FileSystem()
        self.stop = Stop()
        self.options = Options(wait=shop.wait)
        self.held: set[str] = set()
        """Those that wait for others, and have nothing yet that would have to be ended."""

    def make(self, task: Task) -> Made | Failure | None:
        """Build a package; None if meanwhile somebody else did, and it is in the prefix.

        Raises ShipwayError, Interrupted or OSError; then nothing runs any more, and the room is free.
        """
        begun = time.monotonic()
        node = self.graph.nodes[task.name]
        room = Room(self.fs, self.shop.rooms, task.name)
        self._enter(room, task.name)
        with ExitStack() as stack, _named(room, task.name):
            stack.callback(room.lock.release)
            self._reclaim()
            with self._lease(node):
                standing = self.now()
                if self.order.commit and step_of(task.name, self.graph, standing).deed is Deed.KEEP:
                    return None
                ingredients = ingredients_of(node, self.graph, standing)
                key = f"{ingredients.key} {' '.join(self.order.phases(node.recipe))}"
                stage = None if task.name in standing.again else room.stage(key)
                found = stage or self._build(task, room, key)
            if isinstance(found, Failure):
                return found
            stack.pop_all()
            return Made(task.name, room, found, ingredients, time.monotonic() - begun, stage is not None)

    def after(self, made: Made, jobs: int) -> Built | Failure:
        """Run the phases that come after the commit, under the same lease, and one on the package itself."""
        node = self.graph.nodes[made.name]
        request = self._request(Task(made.name, (), jobs), made.room)
        phases = self.order.phases_after(node.recipe)
        with self._lease(node, (made.name,)):
            return run_build(request._replace(phases=phases, continued=True), self.listener, self.stop, self.fs)

    def now(self) -> Standing:
        """The standing, with what is in the prefix at this moment."""
        site = open_site(self.shop.prefix, self.options, write=False)
        try:
            wanted = {node.recipe.purl for node in self.graph.nodes.values()}
            there = {i: package for i, package in site.database.installed().items() if i in wanted}
            return self.standing._replace(installed=there, notes=notes.read(site, there.values()))
        finally:
            site.database.close()

    # -- steps

    def _build(self, task: Task, room: Room, key: str) -> Stage | Failure:
        room.clear()
        files = self.standing.files.get(task.name, "")
        source = prepare(self.graph.nodes[task.name].found, task.files, room.directory.source)
        if self.stop.asked:
            raise Interrupted(f"{task.name}: interrupted")
        room.prepared(source)
        built = run_build(self._request(task, room), self.listener, self.stop, self.fs)
        if isinstance(built, Failure):
            return built
        if files_digest(self.graph.nodes[task.name].found) != files:
            raise ShipwayError(
                f"the patches or scripts of {task.name} were changed while it was built; nothing was changed",
                hint="the same command builds it anew",
            )
        return room.made(source, key, built)

    def _request(self, task: Task, room: Room) -> Request:
        found, shop = self.graph.nodes[task.name].found, self.shop
        return Request(
            found,
            shop.prefix,
            room.directory,
            room.source,
            shop.logs,
            tools=shop.tools,
            isolation=shop.isolation,
            phases=self.order.phases(found.recipe),
            tolerated=self.order.tolerated(found.recipe),
            jobs=task.jobs,
            contact=shop.contact,
            writable=shop.writable,
        )

    def _enter(self, room: Room, name: str) -> None:
        try:
            room.lock.acquire(wait=0)
        except LockedError:
            with self._holding(name):
                self.listener(Event(HELD, "", {"package": name, "held": True}))
                room.lock.acquire(wait=self.options.wait, on_wait=lambda waiting: tell_waiting(self.listener, waiting))
                self.listener(Event(HELD, "", {"package": name, "held": False}))
        if self.stop.asked:
            room.lock.release()
            raise Interrupted(f"{room.lock.what} was not begun")

    @contextmanager
    def _holding(self, name: str) -> Iterator[None]:
        self.held.add(name)
        try:
            yield
        finally:
            self.held.discard(name)

    def _reclaim(self) -> None:
        """What a killed commit had taken from a room comes back before anybody looks into that, and not while something is built there."""
        if not os.access(self.shop.prefix, os.W_OK):
            return
        site = open_site(self.shop.prefix, self.options, self.listener)
        try:
            if site.database.writable and needs_recovery(site):
                lock = site.prefix_lock()
                lock.acquire(wait=self.options.wait, on_wait=site.on_wait)
                with lock, suppress(StuckError):  # whoever commits is told
                    recover_locked(site)
        finally:
            site.database.close()

    @contextmanager
    def _lease(self, node: Node, more: Collection[str] = ()) -> Iterator[None]:
        """A lease on all that a build may use.  Who may not take leases builds without one, and is told."""
        leases = f"{self.shop.prefix}/var/lib/shipway/leases"
        packages = {self.graph.nodes[name].recipe.purl for name in (*self._below(node), *more)}
        if not os.access(leases, os.W_OK | os.X_OK):
            text = f"{node.recipe.name} is built without a lease: {leases} is not yours to use"
            self.listener(Event("note", text, {"package": node.recipe.name}))
            yield
            return
        options = LeaseOptions(
            f"the build of {node.recipe.name}",
            wait=self.options.wait,
            on_wait=lambda waiting: tell_waiting(self.listener, waiting),
        )
        with self._holding(node.recipe.name):
            lease = take(leases, packages, options)
        with lease:
            yield

    def _below(self, node: Node) -> set[str]:
        found: set[str] = set()
        waiting = list(node.needs)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.graph.nodes[name].needs
        return found


@contextmanager
def _named(room: Room, name: str) -> Iterator[None]:
    """What the system says about a room becomes an error that names it."""
    try:
        yield
    except (OSError, ExceptionGroup) as error:
        raise ShipwayError(
            f"{name} cannot be built in {room.directory.root}: {error}",
            details=[str(each) for each in getattr(error, "exceptions", ())],
            hint="--build-dir DIR builds elsewhere",
        ) from error


def leave(room: Room) -> str:
    """Remove a room; returns what stands against it, "" if nothing does."""
    with suppress(FileNotFoundError):
        try:
            room.remove()
        except (OSError, ExceptionGroup) as error:
            return f"{room.directory.root} cannot be removed: {error}"
    return ""
