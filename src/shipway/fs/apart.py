"""Commands run apart: by a keeper that leaves no process behind, in namespaces of their own as far as these are to be had.

What is to be had is tried out, not looked up: kernels, containers and security modules refuse in many ways.  Why the calls are
made here, and not by unshare(1) or bwrap: docs/decisions/0013-namespaces-by-hand.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shipway.fs.mount import mount_points
from shipway.fs.system import FileSystem

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
"""Where everybody may write, builds too."""

PYTHON = sys.executable
"""What keepers are run by."""
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The directory that this package is imported from."""
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop()); from shipway.fs.keeper import main; main()"


class Isolation(NamedTuple):
    """How far commands run apart.

    `overlay`: what they write into the prefix is caught.  `read_only`: they can write nowhere else but into the build's own
    directory and temporary ones; without `overlay` not into the prefix either.  `processes`: they see no others, and the kernel
    ends them all.  `network`: there is none if they do not ask for it.  `user`: all this by a user namespace.  `lacks` says what
    is not to be had, and why, one line each.
    """

    user: bool = False
    overlay: bool = False
    read_only: bool = False
    processes: bool = False
    network: bool = False
    lacks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are namespaces at all."""
        return self.overlay or self.read_only


NONE = Isolation()
"""Nothing is kept apart: wanted so, or not to be had."""


class View(NamedTuple):
    """What commands see of the disk.

    `prefix` (a real path) shows the directories `lower`, the first on top, under `upper`, which takes what is written; `work` is a
    directory beside `upper`, for the kernel.  `writable` are directories that stay writable.
    """

    prefix: str
    lower: tuple[str, ...]
    upper: str
    work: str
    writable: tuple[str, ...]


class Command(NamedTuple):
    """A command's words and the directory that it runs in."""

    directory: str
    words: tuple[str, ...]


class Orders(NamedTuple):
    """What a keeper is to do: run the commands, one after the other, until one fails.

    `network` says that they need it, `terminal` that they have the terminal of this process.  Without `view`, or with an isolation that is none, they see the disk as it is.
    """

    commands: tuple[Command, ...]
    environment: Mapping[str, str]
    isolation: Isolation = NONE
    view: View | None = None
    network: bool = False
    terminal: bool = False


class Ended(NamedTuple):
    """What came of it.

    `status` is the exit status of the last command that ran, or the negative number of the signal that killed it; `number` says
    which it was.  Times are in seconds, of everything that was started; `peak` is the memory of the largest process in KiB.
    `left` are the command lines of processes that had to be killed at the end.
    """

    status: int
    number: int
    wall: float
    user: float
    system: float
    peak: int
    left: tuple[str, ...]


class ApartError(Exception):
    """The commands were not run, or not to their end: `step` was refused."""

    def __init__(self, step: str, code: int, text: str) -> None:
        super().__init__(f"{step}: {text}")
        self.step = step
        self.code = code
        self.text = text


class Keeper:
    """A keeper at work.  Whoever made it calls `end`, also after `stop`; it ends when the process that made it does.

    `output` is a descriptor for the commands' stdout and stderr; their stdin is empty.  Commands that have the terminal have all three
    of this process.
    """

    def __init__(self, orders: Orders, output: int = -1) -> None:
        self._control, other = socket.socketpair()
        with other:
            number = str(other.fileno())
            self._process = subprocess.Popen(
                [PYTHON, "-I", "-S", "-c", _BOOT, number, PACKAGE],
                stdin=None if orders.terminal else subprocess.DEVNULL,
                stdout=None if orders.terminal else output,
                stderr=None if orders.terminal else output,
                pass_fds=[other.fileno()],
                start_new_session=not orders.terminal,
            )
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(json.dumps(_told(orders)).encode() + b"\n")

    def fileno(self) -> int:
        """Readable when everything has ended."""
        return self._control.fileno()

    def stop(self) -> None:
        """Have everything killed that was started."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def end(self) -> Ended:
        """Wait for the end of everything.  Raises ApartError if a step was refused, or something ended the keeper."""
        text = b""
        with contextlib.suppress(OSError), self._control.makefile("rb") as answer:
            text = answer.read()
        self._process.wait()
        self._control.close()
        if not text:
            raise ApartError("keep", 0, f"the keeper ended by {self._process.returncode}")
        report = json.loads(text)
        if "step" in report:
            raise ApartError(report["step"], report["errno"], report["error"])
        return Ended(**{**report, "left": tuple(report["left"])})

    def kill(self) -> None:
        """Stop it and wait; what came of it does not matter."""
        self.stop()
        with contextlib.suppress(ApartError):
            self.end()


def _told(orders: Orders) -> Mapping[str, Any]:
    commands = [[command.directory, list(command.words)] for command in orders.commands]
    return {
        "commands": commands,
        "environment": dict(orders.environment),
        "apart": _apart(orders),
        "terminal": orders.terminal,
    }


def _apart(orders: Orders) -> Mapping[str, Any]:
    isolation, view = orders.isolation, orders.view
    if not isolation or view is None:
        return {}
    overlay = {"lower": view.lower, "upper": view.upper, "work": view.work} if isolation.overlay else None
    return {
        "user": isolation.user,
        "processes": isolation.processes,
        "network": isolation.network and not orders.network,
        "read_only": isolation.read_only,
        "writable": [path for path in (*TEMPORARY, *view.writable) if os.path.isdir(path)],
        "prefix": view.prefix,
        "overlay": overlay,
        "inside": _inside(view) if overlay else [],
    }


def _inside(view: View) -> list[str]:
    """What an overlay over the prefix would hide, the outer before the inner: other mounts, and a build directory."""
    own = [path for path in view.writable if path.startswith(f"{view.prefix}/") and os.path.isdir(path)]
    return sorted({*mount_points(view.prefix), *own})


# -- what is to be had ------------------------------------------------------------------------------------------------

_WORDS = {
    "unshare": "there are no namespaces",
    "mount": "nothing can be mounted",
    "read-only": "what lies outside of the build can be written to",
    "overlay": "what is written into the prefix cannot be caught",
    "inside": "a mount inside the prefix cannot be shown in a build",
    "processes": "builds see all processes",
    "network": "builds have the network",
}
_WITHOUT = {
    "read-only": {"read_only": False},
    "overlay": {"overlay": False},
    "inside": {"overlay": False},
    "processes": {"processes": False},
    "network": {"network": False},
}


def probe(prefix: str, directory: str, fs: FileSystem) -> Isolation:
    """How far commands can be run apart that build in `directory` for `prefix`, tried out there.

    Takes some 50 milliseconds if everything is to be had, a few times that otherwise.  Raises OSError if `directory` cannot be
    written to.
    """
    lacks: tuple[str, ...] = ()
    for user in (False, True) if os.geteuid() == 0 else (True,):
        found = _probe_as(Isolation(user, True, True, True, True), prefix, directory, fs)
        if found:
            return found
        lacks = found.lacks
    return Isolation(lacks=lacks)


def _probe_as(wanted: Isolation, prefix: str, directory: str, fs: FileSystem) -> Isolation:
    """Leave out what is refused, one after the other.  Nothing can be mounted over the root where it is seen."""
    if os.path.realpath(prefix) == "/":
        wanted = wanted._replace(overlay=False, lacks=(f"{_WORDS['overlay']}: it is the root",))
    while wanted:
        refused = _try(wanted, prefix, directory, fs)
        if refused is None:
            return wanted
        line = f"{_WORDS.get(refused.step, refused.step)}: {refused.text}"
        without = _WITHOUT.get(refused.step)
        if without is None:
            return Isolation(lacks=(*wanted.lacks, line))
        wanted = wanted._replace(lacks=(*wanted.lacks, line), **without)
    return wanted


def _try(wanted: Isolation, prefix: str, directory: str, fs: FileSystem) -> ApartError | None:
    with fs.scratch(directory) as area, _nowhere() as output:
        for name in ("upper", "work"):
            fs.mkdir(f"{area}/{name}", 0o700)
        real = os.path.realpath(prefix)
        view = View(real, (real,), f"{area}/upper", f"{area}/work", (os.path.realpath(directory),))
        try:
            Keeper(Orders((), {}, wanted, view), output).end()
        except ApartError as error:
            return error
    return None


@contextlib.contextmanager
def _nowhere() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
