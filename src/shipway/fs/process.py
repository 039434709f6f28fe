"""Who holds a lock: processes found among open descriptors, as /proc tells them (proc(5))."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
from math import inf
from typing import NamedTuple

_GONE = (FileNotFoundError, PermissionError, ProcessLookupError)
_FLOCK, _POSIX, _OPEN = _KINDS = ("FLOCK", "POSIX", "OFDLCK")
_STATES = {"T": "stopped", "t": "stopped", "D": "waiting for a disk", "Z": "dead", "X": "dead"}


class Holder(NamedTuple):
    """A process that holds a lock.

    `command` is its command line ("" if it may not be seen), `started` in seconds since the epoch (0.0
    likewise), `state` "running", "stopped", "waiting for a disk" or "dead", `user` a name, or a number.
    """

    pid: int
    command: str
    started: float
    state: str
    user: str

    def __str__(self) -> str:
        """As messages name it: process 4711 (shipway merge gmp) of anna, which is stopped."""
        command = f" ({self.command})" if self.command else ""
        owner = f" of {self.user}" if self.user else ""
        return f"process {self.pid}{command}{owner}" + ("" if self.state == "running" else f", which is {self.state}")


class _Lock(NamedTuple):
    """A line of /proc/locks: bytes `first` to `last` of a file; `pid` is -1 for locks of an open description."""

    kind: str
    alone: bool
    pid: int
    first: int
    last: float

    @classmethod
    def decode(cls, fields: list[str]) -> _Lock:
        """From a line's words."""
        last = inf if fields[7] == "EOF" else int(fields[7])
        return cls(fields[1], fields[3] == "WRITE", int(fields[4]), int(fields[6]), last)

    def meets(self, first: int, last: int) -> bool:
        """Whether it is a lock of fcntl(2) on any of these bytes."""
        return self.kind != _FLOCK and self.first <= last and first <= self.last


def holders(path: str) -> list[Holder]:
    """The living processes that hold a flock on the file at `path`, by pid; empty if none can be found.

    Every process is found that has the locked description open, also where the one that took the lock
    is gone and only its child is left.  Processes of other users hide their descriptors; of them the
    one that took the lock is found (/proc/locks).  Holders on other hosts and in other containers never are.
    """
    try:
        status = os.stat(path, follow_symlinks=False)
        recorded = {lock.pid for lock in _recorded(path) if lock.kind == _FLOCK}
        return [describe(pid) for pid in _processes() if _holds(pid, path, status, _FLOCK, recorded)]
    except FileNotFoundError:
        return []


def range_holders(path: str, first: int, last: int, *, alone: bool = False) -> list[Holder]:
    """The other living processes that hold an fcntl(2) lock on one of these bytes of a file, by pid; empty if none can be found.

    `alone`: only those that let nobody share.  What was said of containers and other hosts holds; of locks that belong to an open
    description (F_OFD_SETLK) the kernel names no process: those of other users are not found.
    """
    try:
        status = os.stat(path, follow_symlinks=False)
        found = [lock for lock in _recorded(path) if lock.meets(first, last) and (lock.alone or not alone)]
    except FileNotFoundError:
        return []
    pids = {lock.pid for lock in found if lock.kind == _POSIX} - {os.getpid()}
    if any(lock.kind == _OPEN for lock in found):
        pids.update(pid for pid in _processes() if _holds(pid, path, status, _OPEN, set()))
    return [describe(pid) for pid in sorted(pids)]


def describe(pid: int) -> Holder:
    """What /proc tells of a process; all but the pid is empty if it is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    state = _STATES.get(fields[0], "running") if fields else "dead"
    started = _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0
    return Holder(pid, command_of(pid), started, state, _user(pid))


def command_of(pid: int) -> str:
    """The command line of a process, or its name where it has none; "" if it is gone."""
    command = shlex.join(word for word in _read(f"/proc/{pid}/cmdline").split("\0") if word)
    return command or _read(f"/proc/{pid}/comm").strip()


def children_of() -> dict[int, list[int]]:
    """The children of each process that has any, of all that /proc shows."""
    found: dict[int, list[int]] = {}
    for pid in _processes():
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if fields:
            found.setdefault(int(fields[1]), []).append(pid)
    return found


def descendants(pid: int) -> list[int]:
    """Every process below one, as far as none between them has ended."""
    found, parents = [], [pid]
    by_parent = children_of()
    while parents:
        below = by_parent.get(parents.pop(), [])
        found += below
        parents += below
    return found


def _processes() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def _holds(pid: int, path: str, status: os.stat_result, kind: str, recorded: set[int]) -> bool:
    """Whether a process has the locked description of this file open; of one that hides them, whether it took the lock."""
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
        return any(_is_lock(f"/proc/{pid}", number, path, status, kind) for number in descriptors)
    except PermissionError:
        return pid in recorded
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_lock(process: str, descriptor: str, path: str, status: os.stat_result, kind: str) -> bool:
    """The link's text is looked at first: a stat of every open file could hang on a dead server."""
    link = f"{process}/fd/{descriptor}"
    try:
        if os.readlink(link).removesuffix(" (deleted)").endswith("/" + os.path.basename(path)):
            return os.path.samestat(os.stat(link), status) and f"{kind} " in _read(f"{process}/fdinfo/{descriptor}")
    except PermissionError:
        raise
    except OSError:  # closed by now, or a path that is too long to tell
        return False
    return False


def _recorded(path: str) -> list[_Lock]:
    """The locks that were taken on a file, by the kernel's own list; who took them may be gone."""
    from shipway.fs.mount import kernel_number  # late: hardly ever needed

    number = kernel_number(path)
    with contextlib.suppress(FileNotFoundError, PermissionError), open("/proc/locks", encoding="utf-8") as lines:
        return [_Lock.decode(fields) for fields in map(str.split, lines) if fields[1] in _KINDS and fields[5] == number]
    return []


def _read(name: str) -> str:
    """A page of /proc, "" if the process is gone or hides it."""
    try:
        with open(name, "rb") as page:
            return page.read().decode(errors="surrogateescape")
    except _GONE:
        return ""


def _boot_time() -> int:
    with open("/proc/stat", encoding="utf-8") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith("btime")), 0)


def _user(pid: int) -> str:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
