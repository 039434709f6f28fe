"""Commit: from a plan to a changed prefix, all or nothing.

    plan ─ stage ─ syncfs ─ register, `prepared` ─┬─ leases ─ queue ─ lock ─ fresh? ─ THE COMMIT POINT ─ renames ─ `applied` ─ unlock ─ finish
      └───────────────── stale: again ────────────┘

Before the commit point (one durable row of the database, `Database.commit_point`) only the session's area has been written, and
to give up is to remove it.  After it the renames are carried out; a unit that proves impossible takes all back
(`undoing`, durable before the first reverse rename).  A process that dies leaves the same journal to whoever
takes the lock next (`recover`), who runs the same loop.

What holds in each state:

| state        | on disk                                   | facts | who acts                                        |
|---|---|---|---|
| `prepared`   | old; new content complete in work/TOKEN   | old   | its session; if that is dead, `sweep` drops it  |
| `committing` | each unit old or new                      | new   | the holder of the lock rolls forward            |
| `applied`    | new, perhaps not yet on disk              | new   | its session, else `recover`, syncs and finishes |
| `done`       | new, on disk                              | new   | nobody                                          |
| `undoing`    | each unit old or new                      | new   | the holder of the lock rolls back               |
| `undone`     | old                                       | old   | nobody                                          |
| `stuck`      | as listed                                 | new   | a person, then `recover`                        |

Locks are taken in the order leases, queue, prefix, database, and none is waited for while a scarcer one is held.  A planner who
was overtaken twice holds the queue while it plans: whoever else would commit waits, so the third plan is fresh.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from shipway.errors import ConflictError, Interrupted, LockedError, ShipwayError, StuckError
from shipway.fs.found import DIRECTORY, identity, look
from shipway.fs.lock import FileLock
from shipway.model.entry import parent_of
from shipway.model.facts import INSTALLED, FactChange, Installed
from shipway.model.planning import Conflict, Note, Plan
from shipway.model.unit import Verb
from shipway.prefix.database import StaleError
from shipway.prefix.finish import Finisher
from shipway.prefix.journal import FALLBACK, Journal
from shipway.prefix.layout import Layout
from shipway.prefix.leases import clear_way
from shipway.prefix.library import Library
from shipway.prefix.records import Draft, Generation, State, Step
from shipway.prefix.recover import recover_locked, take_back
from shipway.prefix.session import Session
from shipway.prefix.signals import Deferred
from shipway.prefix.site import Site
from shipway.prefix.stage import Stager

TICKET_AFTER = 2
"""Plans that may go stale before the next one is made while others wait."""


class Planned(NamedTuple):
    """A plan with all that goes into the record beside it."""

    plan: Plan
    changes: tuple[FactChange, ...]
    exclusive: bool = False

    @property
    def moves(self) -> frozenset[str]:
        """The packages whose files move: those that were installed before."""
        return frozenset(c.key for c in self.changes if c.kind == INSTALLED and c.old is not None)

    def needs_no_more_than(self, other: Planned) -> bool:
        """Whether whoever cleared the way for another plan has cleared it for this one."""
        return self.moves <= other.moves and self.exclusive <= other.exclusive

    @property
    def is_nothing(self) -> bool:
        """Whether everything is as wanted already."""
        return not self.plan.units and not self.changes


class Request(NamedTuple):
    """What to commit: `plan` makes a plan from the present state, as often as it must; `seal` registers its images."""

    plan: Callable[[], Planned]
    register: Callable[[Planned], None]
    reason: str
    undoes: int = 0


class Committed:
    """What a commit did.  `number` is 0 where there was nothing to do.  Times are in milliseconds."""

    def __init__(
        self, number: int, ref: int, planned: Planned, steps: list[Step], journal: Journal | None = None
    ) -> None:
        self.number = number
        self.ref = ref
        self.planned = planned
        self.steps = steps
        self.journal = journal
        self.lock_ms: float = 0.0
        self.database_ms: float = 0.0
        self.interrupted: bool = False
        self.notes: list[Note] = []


class _Prepared:
    def __init__(self, planned: Planned, generation: Generation, mode: str) -> None:
        self.planned = planned
        self.generation = generation
        self.mode = mode
        self.steps: list[Step] = []
        self.ref: int = 0


class Committer:
    """Brings one request to its commit point and past it."""

    def __init__(self, site: Site, session: Session, library: Library) -> None:
        self.site = site
        self.session = session
        self.library = library

    def commit(self, request: Request) -> Committed:
        """Plan, stage and commit.  Raises ConflictError, LockedError or ShipwayError with the prefix unchanged."""
        rounds = 0
        while True:
            with ExitStack() as held:
                done = self._round(request, held, ticket=rounds >= TICKET_AFTER)
            if done is not None:
                return done
            rounds += 1
            self.session.clear()

    def _round(self, request: Request, held: ExitStack, *, ticket: bool) -> Committed | None:
        """One try; None if somebody else committed meanwhile, so that the plan is stale."""
        queue = self.site.queue_lock()
        cleared = request.plan() if ticket else None
        if cleared is not None:
            self._clear_way(cleared, held)
            self._acquire(queue, held)
        prepared = self._prepare(request)
        if prepared is None or (cleared is not None and not prepared.planned.needs_no_more_than(cleared)):
            return None
        held.callback(self._forget, prepared)
        if prepared.planned.is_nothing:
            return Committed(0, 0, prepared.planned, [])
        if not ticket:
            self._clear_way(prepared.planned, held)
            self._acquire(queue, held)
        lock = self.site.prefix_lock()
        self._acquire(lock, held)
        queue.release()
        return self._locked(prepared, lock)

    def _locked(self, prepared: _Prepared, lock: FileLock) -> Committed | None:
        """The part that others wait for; a signal that asks to stop waits too."""
        started = time.perf_counter()
        with Deferred() as signals, _no_collection():
            done = self._under_lock(prepared)
            lock.release()
            if done is not None:
                self.site.tell("committed", f"transaction {done.number} is committed", number=done.number)
        if done is not None:
            done.lock_ms = (time.perf_counter() - started) * 1000
            done.interrupted = signals.asked is not None
        return done

    def _forget(self, prepared: _Prepared) -> None:
        """Drop the journal of a transaction that has not come to its commit point; where that takes long, `sweep` does."""
        if prepared.ref:
            with suppress(LockedError), self.site.database.hurried():
                self.site.database.discard([prepared.ref])

    def _clear_way(self, planned: Planned, held: ExitStack) -> None:
        held.enter_context(
            clear_way(
                self.site.layout.leases,
                planned.moves,
                exclusive=planned.exclusive,
                wait=self.site.options.wait,
                on_wait=self.site.on_wait,
            )
        )

    def _acquire(self, lock: FileLock, held: ExitStack) -> None:
        lock.acquire(wait=self.site.options.wait, on_wait=self.site.on_wait)
        held.callback(lock.release)

    # -- before the lock -------------------------------------------------------------------------------------

    def _prepare(self, request: Request) -> _Prepared | None:
        site, database = self.site, self.site.database
        if database.generation().moving:
            self._wait_for_movers()
        generation = database.generation()
        descriptor = site.fs.open_for_sync(site.layout.state)
        try:
            planned = request.plan()
            if planned.plan.conflicts:
                self._refuse_conflicts(planned, generation)
                return None
            mode = "exchange" if site.fs.exchange_works(self.session.full) else FALLBACK
            prepared = _Prepared(planned, generation, mode)
            if planned.is_nothing:
                return prepared if database.generation() == generation else None
            site.tell("phase", "staging")
            steps = self._staged(prepared)
            if steps is None:
                return None
            prepared.steps = steps
            request.register(planned)
            images = [site.layout.image(name) for name in self.library.fresh]
            site.sync(descriptor, [self.session.area, *images], [site.layout.images, site.layout.work])
        finally:
            os.close(descriptor)
        draft = Draft(self.session.token, request.reason, mode, request.undoes, planned.changes, prepared.steps)
        prepared.ref = database.prepare(draft)
        return prepared

    def _staged(self, prepared: _Prepared) -> list[Step] | None:
        """What was staged; None where something was in the way while somebody else committed: it may have been his doing."""
        fresh = frozenset(self.library.fresh)
        stager = Stager(self.site, self.session, prepared.mode, self.library, fresh)
        plan = prepared.planned.plan
        try:
            return stager.stage(plan.units, plan.overlays)
        except Interrupted:
            raise
        except (ShipwayError, OSError):
            if self._is_overtaken(prepared.generation):
                return None
            raise

    def _refuse_conflicts(self, planned: Planned, generation: Generation) -> None:
        """Conflicts seen while somebody else committed are looked at again; else they are the user's to settle."""
        if not self._is_overtaken(generation):
            raise conflict_error(planned.plan.conflicts)

    def _is_overtaken(self, generation: Generation) -> bool:
        """Whether somebody has committed since, or is about to."""
        now = self.site.database.generation()
        return now.moving or now != generation

    def _wait_for_movers(self) -> None:
        """A plan made while a commit moves things would be wrong: let it end, or end it if its process is dead."""
        with ExitStack() as held:
            self._acquire(self.site.prefix_lock(), held)
            recover_locked(self.site)

    # -- under the lock: nothing per file --------------------------------------------------------------------

    def _under_lock(self, prepared: _Prepared) -> Committed | None:
        site, database = self.site, self.site.database
        recover_locked(site)
        if not self._is_fresh(prepared):
            return None
        self._sync_overlapping(prepared)
        started = time.perf_counter()
        try:
            number = database.commit_point(prepared.ref)
        except StaleError:
            return None
        spent = time.perf_counter() - started
        ref, prepared.ref = prepared.ref, 0
        self.session.needed = True
        journal = self._journal(prepared)
        self._roll_forward(Finisher(site, ref, number, self.session.token, journal), prepared.steps)
        started = time.perf_counter()
        with _left_to_others(f"transaction {number} is committed, and left to the next command to finish"):
            database.set_state(ref, State.APPLIED)
        spent += time.perf_counter() - started
        committed = Committed(number, ref, prepared.planned, prepared.steps, journal)
        committed.database_ms = spent * 1000
        return committed

    def _journal(self, prepared: _Prepared) -> Journal:
        return Journal(self.site.fs, self.site.layout, self.session.area, prepared.mode, self.library)

    def _roll_forward(self, finisher: Finisher, steps: list[Step]) -> None:
        try:
            finisher.journal.carry_out(steps)
        except (OSError, StuckError) as error:
            with _left_to_others(
                "the commit could not be finished, and is left to the next command to finish or take back"
            ):
                self.site.database.set_state(finisher.ref, State.UNDOING, str(error))
                take_back(finisher, steps)
            self.session.needed = False
            raise ShipwayError(
                f"the commit could not be finished and was taken back: {error}",
                hint="nothing was changed; `shipway doctor` looks for what stands in the way",
            ) from error

    def _is_fresh(self, prepared: _Prepared) -> bool:
        """Whether the plan still holds: nobody else's commit met it, and each unit finds what was planned."""
        before, now = prepared.generation, self.site.database.generation()
        if now.undone != before.undone:
            return False
        if now.last != before.last and self._is_met(prepared, before.last):
            return False
        return all(_as_planned(self.site.layout, step) for step in prepared.steps)

    def _is_met(self, prepared: _Prepared, last: int) -> bool:
        """Whether a commit since the plan changed the same facts, or claims a path that a unit moves."""
        keys = {(c.kind, c.key) for c in prepared.planned.changes}
        for row in self.site.database.transactions_after(last):
            changes = self.site.database.changes(row.ref)
            if any((c.kind, c.key) in keys for c in changes):
                return True
            manifests = [self.library(image) for image in images_of(changes)]
            if any(m.entry(s.unit.path) is not None for m in manifests for s in prepared.steps):
                return True
        return False

    def _sync_overlapping(self, prepared: _Prepared) -> None:
        """Renames of ours must not reach the disk before earlier ones on the same paths that nobody has synced yet."""
        paths = {step.unit.path for step in prepared.steps}
        site = self.site
        for row in site.database.unfinished():
            if row.state is State.APPLIED and any(_overlap(s.unit.path, paths) for s in site.database.steps(row.ref)):
                descriptor = site.fs.open_for_sync(site.layout.state)
                try:
                    site.sync(descriptor, (), {site.layout.live(parent_of(path)) for path in paths})
                finally:
                    os.close(descriptor)
                return


@contextmanager
def _no_collection() -> Iterator[None]:
    """No cyclic garbage collection inside: with the entries of a large package in memory it takes tens of milliseconds."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _left_to_others(what: str) -> Iterator[None]:
    """Past the commit point, where the record is held or the wait for it interrupted: say what is left to the next command."""
    try:
        yield
    except LockedError as error:
        raise LockedError(f"{what}: {error.message}", hint=error.hint) from error
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted; {what}") from error


def images_of(changes: tuple[FactChange, ...]) -> set[str]:
    """The images that a transaction's packages come to, or come from."""
    values = [(c.key, v) for c in changes if c.kind == INSTALLED for v in (c.old, c.new) if v is not None]
    return {Installed.decode(key, value).image for key, value in values}


def conflict_error(conflicts: tuple[Conflict, ...]) -> ConflictError:
    """One error for all conflicts: path, who claims it, which policy would settle it."""
    lines = []
    for conflict in conflicts:
        owners = " and ".join(conflict.owners)
        lines.append(
            f"{conflict.path}: {conflict.problem} ({owners})" + ("" if conflict.settled_by else "; no policy helps")
        )
    settled = any(conflict.settled_by for conflict in conflicts)
    hint = "--on-conflict backup keeps what is there and gives it back on removal; --on-conflict overwrite replaces it"
    if not settled:
        hint = "move these paths away yourself, then try again"
    count = len(conflicts)
    return ConflictError(
        f"{count} path{'s' if count > 1 else ''} in conflict; nothing was changed", details=lines, hint=hint
    )


def _as_planned(layout: Layout, step: Step) -> bool:
    if step.unit.derived:
        return True
    live = layout.live(step.unit.path)
    if step.unit.verb is Verb.PLACE:
        found = look(live)
        return found is None or found.kind == DIRECTORY
    return identity(live) == step.live


def _overlap(path: str, paths: set[str]) -> bool:
    return any(path == p or path.startswith(p + "/") or p.startswith(path + "/") for p in paths)
