"""Who holds a lock: processes found among open descriptors, as /proc tells them (proc(5))."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
from collections.abc import Iterator
from typing import NamedTuple

_GONE = (FileNotFoundError, PermissionError, ProcessLookupError)
_LOCKED = "FLOCK "
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


def holders(path: str) -> list[Holder]:
    """The living processes that hold a flock on the file at `path`, by pid; empty if none can be found.

    Every process is found that has the locked description open, also where the one that took the lock
    is gone and only its child is left.  Processes of other users hide their descriptors; of them the
    one that took the lock is found (/proc/locks).  Holders on other hosts and in other containers never are.
    """
    try:
        status = os.stat(path, follow_symlinks=False)
        recorded = set(_recorded(status))
        return [describe(pid) for pid in _processes() if _holds(pid, os.path.basename(path), status, recorded)]
    except FileNotFoundError:
        return []


def describe(pid: int) -> Holder:
    """What /proc tells of a process; all but the pid is empty if it is gone."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    command = shlex.join(word for word in _read(pid, "cmdline").split("\0") if word)
    state = _STATES.get(fields[0], "running") if fields else "dead"
    started = _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0
    return Holder(pid, command or _read(pid, "comm").strip(), started, state, _user(pid))


def _processes() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def _holds(pid: int, name: str, status: os.stat_result, recorded: set[int]) -> bool:
    """Whether a process has the locked description of this file open; of one that hides them, whether it took the lock."""
    try:
        return any(_is_lock(pid, descriptor, name, status) for descriptor in os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return pid in recorded
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_lock(pid: int, descriptor: str, name: str, status: os.stat_result) -> bool:
    """The link's text is looked at first: a stat of every open file could hang on a dead server."""
    link = f"/proc/{pid}/fd/{descriptor}"
    with contextlib.suppress(FileNotFoundError):
        if os.readlink(link).removesuffix(" (deleted)").endswith("/" + name):
            return os.path.samestat(os.stat(link), status) and _LOCKED in _read(pid, f"fdinfo/{descriptor}")
    return False


def _recorded(status: os.stat_result) -> Iterator[int]:
    """The pids that took a lock on the file, by the kernel's own list; they may be gone."""
    number = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(FileNotFoundError, PermissionError), open("/proc/locks", encoding="utf-8") as lines:
        for fields in map(str.split, lines):
            if fields[1] == "FLOCK" and fields[5] == number:
                yield int(fields[4])


def _read(pid: int, name: str) -> str:
    """A page of /proc, "" if the process is gone or hides it."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as page:
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
