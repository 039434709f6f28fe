"""The driver: carries out what the scheduler says.  Packages are made in threads, everything else happens in one.

    actions ─┬─ Decide: look at the prefix ─ decided
             ├─ Build: a thread makes the stage ─ (queue) ─ refused? exclusive? ─ built
             └─ Commit: seal, commit ─ tests after it, in a thread ─ (queue) ─ committed

Ctrl-C asks all builds to stop, and waits for them: what was committed stays, what was made whole is not made again next time.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from shipway.api import Outcome, Prefix
from shipway.build.failure import Failure
from shipway.build.fetching import Fetched
from shipway.build.one import Built
from shipway.errors import Interrupted, ShipwayError
from shipway.model.event import Event, Listener
from shipway.schedule.entrance import Entrance
from shipway.schedule.graph import Graph
from shipway.schedule.maker import HELD, Made, Maker, Task, leave
from shipway.schedule.order import Order, Workshop
from shipway.schedule.scheduler import Action, Build, Commit, Decide, Scheduler
from shipway.schedule.steps import Deed, Standing, step_of

_LEAVING = 10.0
"""Seconds that builds have to end when they are asked to; what does not end then dies with this process."""


class Result(NamedTuple):
    """What became of one package.

    `deed` is "kept", "built", "committed", "failed" or "left out".  `error` says why it failed, if no phase did (`failure`).
    `exclusive` says why it had to wait until nothing built, `warnings` what was tolerated.
    """

    name: str
    old: str
    version: str
    deed: str
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    log: str = ""
    again: bool = False
    outcome: Outcome | None = None
    exclusive: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None
    error: ShipwayError | OSError | None = None


Deliver = Callable[[Made, bool], None]


class _End(NamedTuple):
    """A thread has done its work for a package, or could not."""

    name: str
    result: Made | Built | Failure | BaseException | None
    made: Made | None = None
    """For what comes after a commit: what was committed."""


class Job(NamedTuple):
    """All that a run is about.  `files` are the sources by name; a name that has none there could not be fetched."""

    graph: Graph
    order: Order
    shop: Workshop
    standing: Standing
    files: Mapping[str, tuple[Fetched, ...]]
    python: str = ""


class Driver:
    """One run.  `results` has an entry for each package that is settled.

    `deliver` is given each stage that is not to be committed, and whether it is exclusive; it may raise ShipwayError or OSError.
    """

    def __init__(self, job: Job, prefix: Prefix, listener: Listener, deliver: Deliver | None = None) -> None:
        self.job = job
        self.deliver = deliver
        self.prefix = prefix
        self.listener = listener
        self.results: dict[str, Result] = {}
        self.scheduler = Scheduler(job.graph, job.order.jobs, keep_going=job.order.keep_going)
        self._events: queue.SimpleQueue[Event | _End] = queue.SimpleQueue()
        self._maker = Maker(job.graph, job.order, job.shop, job.standing, self._events.put)
        self._entrance = Entrance(prefix, job.python, job.order)
        self._made: dict[str, Made] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._again = set(job.standing.again)

    def run(self) -> Sequence[Result]:
        """To the end; what went wrong with packages is in the results.  Raises Interrupted after Ctrl-C, everything ended."""
        try:
            self._loop()
        except (KeyboardInterrupt, Interrupted) as error:
            self._stop()
            raise self._interrupted() from error
        except BaseException:
            self._stop()
            raise
        finally:
            for made in self._made.values():
                made.release()
        for name, why in self.scheduler.why_left_out.items():
            self._settle(name, "left out", reasons=(why,))
        return list(self.results.values())

    def _loop(self) -> None:
        while True:
            while actions := list(self.scheduler.actions()):
                for action in actions:
                    self._begin(action)
            if self.scheduler.over:
                return
            self._hear(self._events.get())

    def _hear(self, event: Event | _End) -> None:
        if isinstance(event, Event):
            if event.kind == HELD:
                self.scheduler.held(str(event.data["package"]), held=bool(event.data["held"]))
            else:
                self.listener(event)
            return
        self._threads.pop(event.name).join()
        if event.made is None:
            self._made_or_not(event)
        else:
            self._after(event.made, event.result)

    # -- actions

    def _begin(self, action: Action) -> None:
        handlers: Mapping[type, Callable[[str], None]] = {
            Decide: self._decide,
            Build: self._build,
            Commit: self._commit,
        }
        handlers[type(action)](action.name)

    def _decide(self, name: str) -> None:
        step = step_of(name, self.job.graph, self._maker.now())
        order = self.job.order
        build = order.concerns(name) and (step.deed is Deed.BUILD or not order.commit)
        reasons = step.reasons if build or step.deed is Deed.KEEP else ("it was not asked for",)
        self.results[name] = Result(name, step.old, step.new, "kept", reasons)
        self.scheduler.decided(name, build=build)

    def _build(self, name: str) -> None:
        recipe = self.job.graph.nodes[name].recipe
        if len(self.job.files.get(name, ())) < len(recipe.source):
            self._failed(name, ShipwayError(f"{name} {recipe.version}: its sources could not be fetched"))
            return
        self._tell("begin", f"building {name} {recipe.version}", package=name)
        task = Task(name, self.job.files.get(name, ()), self.scheduler.share(self.job.shop.processors))
        self._start(name, lambda: self._maker.make(task))

    def _commit(self, name: str) -> None:
        made = self._made[name]
        recipe = self.job.graph.nodes[name].recipe
        exclusive = name in self.scheduler.exclusive
        if not self.job.order.commit:
            self._delivered(made, exclusive)
            return
        try:
            entered = self._entrance.enter(recipe, made, exclusive=exclusive)
        except Interrupted:
            raise
        except (ShipwayError, OSError) as error:
            self._failed(name, error)
            return
        self._note(name, outcome=entered.outcome)
        for adopted in entered.adopted:
            self._tell(
                "note", f"{adopted.name} {adopted.version}, which somebody else had installed, was taken over first"
            )
        made.room.spent()
        if self.job.order.phases_after(recipe):
            self._start(name, lambda: self._maker.after(made, self.scheduler.share(self.job.shop.processors)), made)
        else:
            self._done(made, "committed")

    def _delivered(self, made: Made, exclusive: bool) -> None:
        try:
            if self.deliver:
                self.deliver(made, exclusive)
        except (ShipwayError, OSError) as error:
            self._failed(made.name, error)
        else:
            self._done(made, "built")

    def _start(self, name: str, work: Callable[[], Made | Built | Failure | None], made: Made | None = None) -> None:
        def attempt() -> None:
            try:
                self._events.put(_End(name, work(), made))
            except BaseException as error:  # noqa: BLE001 - it is dealt with where it is heard of
                self._events.put(_End(name, error, made))

        self._threads[name] = thread = threading.Thread(target=attempt, name=f"shipway {name}", daemon=True)
        thread.start()

    # -- ends

    def _made_or_not(self, end: _End) -> None:
        name, recipe = end.name, self.job.graph.nodes[end.name].recipe
        match end.result:
            case Made() as made:
                self._made[name] = made
                self._note(
                    name, seconds=made.seconds, log=made.stage.log, again=made.again, warnings=made.stage.warnings
                )
                try:
                    self._examine(made)
                except (ShipwayError, OSError) as error:
                    self._failed(name, error)
            case None:
                self._note(name, deed="kept", reasons=("somebody else has built it meanwhile",))
                self.scheduler.settled(name)
                self._tell("done", f"{name} {recipe.version} was built by somebody else meanwhile", package=name)
            case Failure() as failure:
                self._failed(name, failure)
            case ShipwayError() | OSError() as error:
                self._failed(name, error)
            case BaseException() as error:
                raise error

    def _examine(self, made: Made) -> None:
        recipe = self.job.graph.nodes[made.name].recipe
        self._entrance.refuse(recipe, made)
        why = [] if self.job.order.only_check else self._entrance.exclusive(recipe, made)
        self._note(made.name, exclusive=tuple(why))
        self.scheduler.built(made.name, exclusive=bool(why))

    def _after(self, made: Made, result: object) -> None:
        """The phases after the commit have ended, one way or the other."""
        name = made.name
        match result:
            case Built() as built:
                written = built.staged.written
                for path in (*written.added, *written.changed, *written.deleted):
                    self._tell("note", f"{name}: {path} was written after the commit, and is not kept")
                self._note(name, warnings=tuple(failure.message for failure in built.warnings))
                self._done(made, "committed")
            case Failure() | ShipwayError() | OSError():
                if self.job.order.undo_on_failure:
                    self._undo(name)
                self._failed(name, result)
            case BaseException() as error:
                raise error

    def _undo(self, name: str) -> None:
        outcome = self.results[name].outcome
        if outcome is None or not outcome.number:
            return
        try:
            self.prefix.undo(outcome.number)
            self._note(name, outcome=None)
            self._tell("note", f"{name}: transaction {outcome.number} was taken back")
        except ShipwayError as error:
            self._tell("note", f"{name}: transaction {outcome.number} could not be taken back: {error.message}")

    def _done(self, made: Made, deed: str) -> None:
        self._note(made.name, deed=deed)
        if deed == "committed" and not self.job.order.keep_build and (trouble := leave(made.room)):
            self._tell("note", trouble)
        self._made.pop(made.name).release()
        self.scheduler.committed(made.name)
        self._tell("done", "", package=made.name, result=self.results[made.name])

    def _failed(self, name: str, why: Failure | ShipwayError | OSError) -> None:
        failure = why if isinstance(why, Failure) else None
        self._note(name, deed="failed", failure=failure, error=None if isinstance(why, Failure) else why)
        if failure is not None:
            self._note(name, log=failure.log)
        if made := self._made.pop(name, None):
            made.release()
        self.scheduler.failed(name)
        said = why.message if isinstance(why, Failure | ShipwayError) else str(why)
        self._tell("failed", said if name in said else f"{name}: {said}", package=name)

    def _stop(self) -> None:
        """Have everything end that runs."""
        self._maker.stop.ask()
        self.scheduler.stop("interrupted")
        deadline = time.monotonic() + _LEAVING
        for name, thread in self._threads.items():
            while thread.is_alive() and name not in self._maker.held and time.monotonic() < deadline:
                thread.join(0.05)

    def _interrupted(self) -> Interrupted:
        done = [name for name, result in self.results.items() if result.outcome]
        stays = (
            f"{', '.join(done)} {'stays' if len(done) == 1 else 'stay'} in the prefix"
            if done
            else "nothing was changed"
        )
        return Interrupted(f"interrupted; {stays}", hint="the same command goes on from there")

    # -- the record of this run

    def _settle(self, name: str, deed: str, reasons: tuple[str, ...]) -> None:
        recipe = self.job.graph.nodes[name].recipe
        before = self.results.get(name, Result(name, "", recipe.version, deed))
        self.results[name] = before._replace(deed=deed, reasons=reasons)

    def _note(self, name: str, **fields: object) -> None:
        self.results[name] = self.results[name]._replace(**fields)  # type: ignore[arg-type]

    def _tell(self, kind: str, text: str, **data: object) -> None:
        self.listener(Event(kind, text, data))


def committed(results: Sequence[Result]) -> list[Result]:
    """Those that are in the prefix now, and were not before."""
    return [result for result in results if result.deed == "committed"]
