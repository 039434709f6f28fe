"""Leases: packages stay as they are while a command runs; commits that would move them wait, fairly.

The files, all in `leases/` of the state directory:

    mutex            held (flock) for the few system calls of an arrival, never while anybody waits
    TOKEN.lease      one lease: a record (`model.lease.Party` as JSON), held by the process that took it
    TOKEN.intent     one commit that wants to move packages: the same, from its announcement to its end

A file means something only while its flock is held: a process that is killed gives up its place by dying, and whoever
meets the file under the mutex removes it.  Nothing is polled; to wait for a party is to block in flock on its file.

The protocol has one rule: *a party arrives under the mutex, gets a number, and waits for the parties with lower
numbers that it cannot live with* (a lease and an intent on the same package, or any lease and an exclusive
intent).  Later ones wait for it, whether it waits itself or not.  Hence

- nobody starves.  A commit that waits for leases is waited for by new leases from its announcement on, so they cannot keep it
  waiting; and a lease that waits for commits is waited for by the commits that come later.  Whom a party waits for is
  settled on its arrival.
- nobody waits in a circle: who waits, waits for a lower number.

One thing can break both.  A command that runs under a lease may take a lease of its own, or commit (merge inside `shipway
exec`), and its outer lease then ends only after it: a wait for a *higher* number, which no file shows.  It is known from the
environment: SHIPWAY_LEASE holds the tokens of the leases a command runs under, outermost first.  So, on each
arrival, under the mutex, the circle is looked for (`model.lease.arrival`), through the waits and the nesting of all who live:

- what a party runs under never stops it: a lease of `gmp` lets its own command upgrade `gmp`;
- a *lease* whose wait would close a circle goes ahead of the commit in question, writes so in its record, and the commit waits for it too
  (it looks again before it goes on).  Only what runs under a lease that the commit waits for anyhow can go ahead, so
  the commit waits no longer than that command runs;
- a *commit* whose wait would close a circle is refused at once with the whole circle: it is the later one, and
  nothing can be overtaken without moving files under somebody's lease.

Edges of the graph of waits arise only on arrivals, and each arrival leaves it without a circle: so there is never one.

Order of locks (I8): job token, leases, prefix, database.  A committer gets its way cleared here before it waits for the
prefix's lock, and keeps the intent until its commit is over.

A lease belongs to the process that took it: the descriptor is closed in programs it starts.  `shipway exec` therefore stays as
the parent of its command; if it is killed, the lease is gone, whatever its command still does.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from shipway.errors import LockedError, ShipwayError
from shipway.fs.found import look
from shipway.fs.lock import FileLock, Waiting, is_locked
from shipway.fs.system import FileSystem
from shipway.model.lease import ALL, INTENT, LEASE, Deadlock, Party, arrival, in_the_way

__all__ = ["ALL", "VARIABLE", "Intent", "Lease", "Options", "clear_way", "live", "lock_mode", "take"]

VARIABLE = "SHIPWAY_LEASE"
"""The environment variable with the tokens a command runs under, outermost first, joined with colons."""

MUTEX = "mutex"
_SUFFIXES = (f".{LEASE}", f".{INTENT}")
_MUTEX_WITHIN = 5.0  # seconds; the mutex is held for a few system calls, and `wait=0` is not about it

OnWait = Callable[[Waiting], None]


def ancestors_of_process(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The tokens of the leases that this process runs under, outermost first."""
    return tuple(filter(None, environment.get(VARIABLE, "").split(":")))


class Options(NamedTuple):
    """How a lease is taken: for which command, under what, and how long others may keep it waiting.

    `wait` is in seconds, None is for ever, 0 not at all; `on_wait` is told who is in the way, as in `FileLock.acquire`.
    `ancestors` are the tokens of the leases it runs under, None for those of this process.
    """

    command: str = ""
    ancestors: tuple[str, ...] | None = None
    wait: float | None = None
    on_wait: OnWait | None = None


def _above(options: Options) -> tuple[str, ...]:
    return ancestors_of_process() if options.ancestors is None else options.ancestors


class _Held:
    """A party whose file this process holds, until `release`."""

    def __init__(self, fs: FileSystem, party: Party, lock: FileLock) -> None:
        self._fs = fs
        self._lock = lock
        self._process = os.getpid()
        self.party = party

    @property
    def token(self) -> str:
        """Its name among the parties of this prefix."""
        return self.party.token

    def release(self) -> None:
        """Let those who wait for it go on.  In a forked child nothing happens: it is the parent's."""
        if not self._lock.held or self._process != os.getpid():
            return
        try:
            _remove(self._fs, self._lock.path)
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Lease(_Held):
    """Packages that stay as they are until it is released."""

    def environment(self) -> dict[str, str]:
        """What to add to the environment of a command that runs under it."""
        return {VARIABLE: ":".join((*self.party.ancestors, self.token))}


class Intent(_Held):
    """Packages that may be moved, and that nobody takes a lease on, until it is released."""


_Kind = TypeVar("_Kind", Lease, Intent)


def take(leases_dir: str, packages: Collection[str], options: Options | None = None) -> Lease:
    """Take a lease on packages (identities; "*" is everything), once no commit that came before is in the way.

    Raises LockedError, naming who is in the way, when the time to wait is over; ShipwayError where this user may not take leases.
    """
    options = options or Options()
    asked = _packages(packages)
    party = Party(_new_token(), LEASE, asked, command=options.command, ancestors=_above(options))
    return _enter(leases_dir, party, options, Lease)


def clear_way(
    leases_dir: str,
    packages: Collection[str],
    exclusive: bool = False,
    wait: float | None = None,
    on_wait: OnWait | None = None,
) -> Intent:
    """Announce a commit that moves packages, and wait until no lease that came before is in its way.

    An `exclusive` one waits for all leases.  Leases that this process itself runs under (by its environment) are never in the way.
    Raises LockedError, naming who is in the way, when `wait` seconds are over, or at once if the wait would never end.
    """
    options = Options("", wait=wait, on_wait=on_wait)
    party = Party(_new_token(), INTENT, _packages(packages), exclusive, ancestors=_above(options))
    return _enter(leases_dir, party, options, Intent)


def live(leases_dir: str) -> list[Party]:
    """The leases and intents that are held now, in the order of their arrival."""
    room = _Room(leases_dir, _Patience(0, None))
    with room.mutex():
        return sorted(room.living(), key=lambda party: party.number)


def lock_mode(directory: str) -> int:
    """The mode of a lock file in a directory: open to its group if the directory is the group's to write in."""
    mode = os.stat(directory).st_mode
    return 0o660 if mode & 0o020 else 0o600


def _packages(packages: Collection[str]) -> frozenset[str]:
    return ALL if "*" in packages else frozenset(packages)


def _new_token() -> str:
    return os.urandom(8).hex()


def _enter(leases_dir: str, party: Party, options: Options, kind: type[_Kind]) -> _Kind:
    room = _Room(leases_dir, _Patience(options.wait, options.on_wait))
    try:
        held, others = room.arrive(party, kind)
    except PermissionError as error:
        raise ShipwayError(
            f"{leases_dir} is not yours to use: {error.strerror}",
            hint="the administrator of the prefix can give it to a group of yours (mode 2770)",
        ) from error
    try:
        while others:
            for other in others:
                room.wait_for(other)
            with room.mutex():
                others = in_the_way(held.party, room.living())
    except BaseException:
        held.release()
        raise
    return held


class _Patience:
    """How long somebody waits in all, and whom it tells."""

    def __init__(self, wait: float | None, on_wait: OnWait | None) -> None:
        self.wait = wait
        self.on_wait = on_wait
        self.start = time.monotonic()

    def left(self) -> float | None:
        if self.wait is None:
            return None
        return max(0.0, self.start + self.wait - time.monotonic())

    def tell(self, waiting: Waiting) -> None:
        assert self.on_wait is not None
        self.on_wait(waiting._replace(since=time.monotonic() - self.start))


class _Room:
    """The directory of leases, as one arriving process sees it."""

    def __init__(self, directory: str, patience: _Patience) -> None:
        self._directory = directory
        self._patience = patience
        self._fs = FileSystem()
        self._mode = lock_mode(directory)

    @contextlib.contextmanager
    def mutex(self) -> Iterator[None]:
        """Nobody else arrives, or looks around, inside."""
        left = self._patience.left()
        self._open_up(f"{self._directory}/{MUTEX}")
        lock = FileLock(f"{self._directory}/{MUTEX}", self._mode, "the list of leases")
        self._acquire(lock, wait=None if left is None else max(left, _MUTEX_WITHIN), shared=False)
        with lock:
            yield

    def _open_up(self, path: str) -> None:
        """Make an older mutex as open as its directory is by now: an administrator may have given that to a group."""
        found = look(path)
        if found is not None and found.mode != self._mode and found.uid == os.geteuid():
            self._fs.chown(path, -1, os.stat(self._directory).st_gid)
            self._fs.chmod(path, self._mode)

    def living(self) -> list[Party]:
        """Everybody who is here.  Files of the dead are removed.  Under the mutex."""
        found = []
        for name in os.listdir(self._directory):
            if name.endswith(_SUFFIXES):
                party = self._look(f"{self._directory}/{name}")
                if party:
                    found.append(party)
        return found

    def _look(self, path: str) -> Party | None:
        """A held file that says nothing was made by somebody who came too late to wait for it (`wait_for`)."""
        if not is_locked(path):
            _remove(self._fs, path)
            return None
        try:
            with open(path, "rb") as file:
                return Party.decode(file.read())
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def arrive(self, party: Party, kind: type[_Kind]) -> tuple[_Kind, Sequence[Party]]:
        """Take a place in the order; returns it with those to wait for.  Raises LockedError if that would be for ever."""
        with self.mutex():
            living = self.living()
            arrived = arrival(party, living)
            if isinstance(arrived, Deadlock):
                raise _refusal(arrived)
            return kind(self._fs, arrived, self._announce(arrived)), in_the_way(arrived, living)

    def _announce(self, party: Party) -> FileLock:
        """The party's file, written and held before anybody else looks."""
        path = self._path(party)
        self._fs.write_file(path, party.encode(), self._mode)
        lock = FileLock(path, self._mode, str(party))
        try:
            lock.acquire(wait=0)
        except BaseException:
            _remove(self._fs, path)
            raise
        return lock

    def wait_for(self, party: Party) -> None:
        """Block until a party's file is free, and remove it: tokens are never used again.

        If it is gone, the lock makes an empty one, which this removes as well.
        """
        lock = FileLock(self._path(party), self._mode, str(party))
        self._acquire(lock, wait=self._patience.left(), shared=True)
        with lock:
            _remove(self._fs, lock.path)

    def _acquire(self, lock: FileLock, wait: float | None, shared: bool) -> None:
        on_wait = self._patience.tell if self._patience.on_wait else None
        lock.acquire(shared=shared, wait=wait, on_wait=on_wait)

    def _path(self, party: Party) -> str:
        return f"{self._directory}/{party.token}.{party.kind}"


def _remove(fs: FileSystem, path: str) -> None:
    """Remove a file of no more meaning; one that this user may not remove is left to others."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        fs.unlink(path)


def _refusal(deadlock: Deadlock) -> LockedError:
    commit = deadlock.waits[0]
    return LockedError(
        f"{commit} would wait for {deadlock.waits[1]}, which waits for a lease that this command runs under",
        hint="run it outside of that lease, or when the other command has ended",
        details=deadlock.lines(),
    )
