"""Locks that the kernel holds for living processes: flock(2), and waiting for locks that others take.

A lock belongs to an open file description, not to a process: forked children share it, and it ends
when the last of them is gone or when one of them unlocks it.  So a killed holder never leaves one
behind, and who holds it now is found among open descriptors, not in a record of the first holder.

flock is not fair: an exclusive waiter can be starved by a stream of shared holders.  Whoever needs
fairness puts a second lock in front.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import NamedTuple, Self

from shipway.errors import LockedError, ShipwayError
from shipway.fs.process import Holder, holders, range_holders

__all__ = ["FileLock", "Holder", "Terms", "Waiting", "holders", "is_locked", "poll", "range_holders", "refusal"]

_NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})
_ANNOUNCED = (1.0, 60.0)
"""Seconds until somebody who waits says so, and until it says so again."""
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Waiting(NamedTuple):
    """Somebody waits: for what, held by whom, and since how many seconds."""

    what: str
    holders: tuple[Holder, ...]
    since: float


class Terms(NamedTuple):
    """On what terms somebody waits: for what, how many seconds (None: for ever; 0: not at all), and whom it tells."""

    what: str
    wait: float | None = None
    on_wait: Callable[[Waiting], None] | None = None


class FileLock:
    """A lock on a file that exists for nothing else; made if missing, never removed by us.

    `mode` is that of a new lock file: who may not open it cannot lock.  `what` describes the lock in messages.
    Not reentrant.  A forked child shares a lock that is held; only the process that took it unlocks it.
    """

    def __init__(self, path: str, mode: int = 0o600, what: str = "") -> None:
        self.path = path
        self.mode = mode
        self.what = what or path
        self._descriptor = -1
        self._owner = 0

    @property
    def held(self) -> bool:
        """Whether this object holds its lock."""
        return self._descriptor >= 0

    def fileno(self) -> int:
        """The descriptor of a held lock, to hand it on to a child on purpose."""
        return self._descriptor

    def acquire(
        self,
        shared: bool = False,
        wait: float | None = None,
        on_wait: Callable[[Waiting], None] | None = None,
        announce_after: float = _ANNOUNCED[0],
        repeat: float = _ANNOUNCED[1],
    ) -> None:
        """Take the lock, waiting `wait` seconds for it at most (None: for ever; 0: not at all).

        `on_wait` is called, in this thread, once after `announce_after` seconds and then every
        `repeat` seconds.  Raises LockedError, which names the holder, when the time is over;
        RuntimeError if this object holds the lock already; OSError if the file cannot be opened.
        """
        if self.held:
            raise RuntimeError(f"{self.path} is locked by this object already")
        terms = Terms(self.what, wait, on_wait)
        patience = _Patience(terms, lambda: holders(self.path), (announce_after, repeat))
        operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            descriptor = self._open(shared)
            _obtain(descriptor, operation, patience)
            if _names(self.path, descriptor):
                break
            os.close(descriptor)
        self._descriptor, self._owner = descriptor, os.getpid()

    def release(self) -> None:
        """Unlock; nothing if it isn't held.  In a forked child the parent's lock stays."""
        if not self.held:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if self._owner == os.getpid():
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        if not self.held:
            self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self, shared: bool) -> int:
        while True:
            with contextlib.suppress(FileNotFoundError):
                return _open_existing(self.path, shared)
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(self.path, _FLAGS | os.O_CREAT | os.O_EXCL, self.mode)
                os.fchmod(descriptor, self.mode)
                return descriptor


def is_locked(path: str) -> bool:
    """Whether somebody holds a flock on the file, by trying; False if there is no file."""
    try:
        descriptor = _open_existing(path, True)
    except FileNotFoundError:
        return False
    try:
        return not _try(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _open_existing(path: str, shared: bool) -> int:
    """For writing (NFS wants that for an exclusive lock), else, for a shared one, for reading."""
    try:
        return os.open(path, _FLAGS)
    except PermissionError:
        if not shared:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _names(path: str, descriptor: int) -> bool:
    """Whether the path still names the file that was locked: somebody may have removed or replaced it."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _try(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise ShipwayError("the file system has no locks (flock)", hint="shipway doctor says more") from error
        raise
    return True


def _obtain(descriptor: int, operation: int, patience: _Patience) -> None:
    """Lock an open file, waiting as long as may be.  If that fails, the descriptor is closed."""
    try:
        taken = patience.try_now(lambda: _try(descriptor, operation))
    except BaseException:
        os.close(descriptor)
        raise
    if not taken:
        waiter = _Waiter(descriptor, operation)
        try:
            waiter.wait(patience)
        except BaseException:
            waiter.give_up()
            raise


def poll(attempt: Callable[[], bool], terms: Terms, find: Callable[[], list[Holder]], pause: float) -> None:
    """Attempt again and again, where nobody can block in the kernel instead; waiting and telling as `FileLock.acquire` does.

    `find` finds who is in the way; `pause` is the time between two attempts, in seconds.  Raises LockedError, which names
    who is in the way, when the time is over.
    """
    patience = _Patience(terms, find, _ANNOUNCED)
    while not patience.try_now(attempt):
        patience.tell()
        time.sleep(min(pause, patience.pause() or pause))


def forget(path: str) -> None:
    """Remove a lock's file, or a note of our own, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class _Patience:
    """How long somebody waits, whom it tells, and when next: first after some seconds, then every so many."""

    def __init__(self, terms: Terms, find: Callable[[], list[Holder]], seconds: tuple[float, float]) -> None:
        self.what, wait, self.on_wait = terms
        self.find = find
        first, self.repeat = seconds
        self.start = time.monotonic()
        self.deadline = inf if wait is None else self.start + wait
        self.next = inf if self.on_wait is None else self.start + first

    def try_now(self, attempt: Callable[[], bool]) -> bool:
        """The attempt's answer; LockedError if there is no time left to wait.

        Then it is tried once more if no holder is found: it may have been somebody who only looked.
        """
        if attempt():
            return True
        if time.monotonic() < self.deadline:
            return False
        found = self.find()
        if found or not attempt():
            raise refusal(self.what, found)
        return True

    def pause(self) -> float | None:
        """Seconds until something is due; None for never."""
        due = min(self.deadline, self.next)
        return None if due == inf else max(0.0, due - time.monotonic())

    def tick(self) -> None:
        """Do what is due: tell who is in the way, or raise LockedError because the time is over."""
        if time.monotonic() >= self.deadline:
            raise refusal(self.what, self.find())
        self.tell()

    def tell(self) -> None:
        """Tell who is in the way, if that is due."""
        now = time.monotonic()
        if self.on_wait and now >= self.next:
            self.next = now + self.repeat
            self.on_wait(Waiting(self.what, tuple(self.find()), now - self.start))


def refusal(what: str, found: list[Holder]) -> LockedError:
    """The error for somebody who does not wait (any longer), naming who is in the way."""
    names = " and ".join(map(str, found)) or "a process that cannot be seen from here"
    return LockedError(f"{what} is locked by {names}", hint=_hint(found))


def _hint(found: list[Holder]) -> str:
    if not found:
        return "the holder may run on another host, in a container or as another user"
    for holder in found:
        if holder.state == "stopped":
            return f"process {holder.pid} is stopped: kill -CONT {holder.pid} lets it go on"
    return "--wait SECONDS waits for it; without --wait as long as it takes"


class _Waiter:
    """A thread blocked in flock(2), so that whoever waits can do so with a limit and is never deaf to Ctrl-C.

    A blocked thread cannot be called back.  If the caller gives up, the thread stays behind until the lock comes to
    it, and gives it back at once.  The descriptor is the waiter's until `wait` returns.
    """

    def __init__(self, descriptor: int, operation: int) -> None:
        self._descriptor = descriptor
        self._operation = operation
        self._error: OSError | None = None
        self._abandoned = False
        self._mutex = threading.Lock()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._block, name="shipway lock", daemon=True)

    def wait(self, patience: _Patience) -> None:
        """Return with the lock held; LockedError when patience is over."""
        self._thread.start()
        while not self._finished.wait(patience.pause()):
            patience.tick()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """Leave the lock, and the closing, to whichever side comes last."""
        with self._mutex:
            self._abandoned = True
            if self._finished.is_set() or not self._thread.is_alive():
                self._let_go()

    def _block(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            fcntl.flock(self._descriptor, self._operation)
        except OSError as error:
            self._error = error
        with self._mutex:
            if self._abandoned:
                self._let_go()
            self._finished.set()

    def _let_go(self) -> None:
        """Unlock in so many words: a process forked meanwhile may have the same description open."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)
