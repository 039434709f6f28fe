"""Commands called in a forked process: the same code as from a shell, without the start of an interpreter for each."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shipway.cli.main import run

PATIENCE = 60.0
"""Seconds after which a command counts as hanging."""

CODES = (0, 1, 2, 3, 4)
"""Exit codes of the contract that a command which is not interrupted may end with."""

_REFUSAL = re.compile("^error: ", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative for a signal), and what it said."""

    code: int
    out: str
    err: str

    @property
    def trouble(self) -> str:
        """What is wrong with the way it ended, or "": it must succeed, or say what is wrong in one error."""
        if "Traceback" in self.err:
            return f"a traceback: {self.err.strip().splitlines()[-2][:200]}"
        if self.code not in CODES:
            return f"exit code {self.code}"
        errors = len(_REFUSAL.findall(self.err))
        if errors > 1 or (self.code and errors != 1 and not self.out):
            return f"exit code {self.code} with {errors} errors: {self.err.strip()[:200]}"
        return ""


def called(*words: str | Path) -> Ended:
    """Call `shipway` with these words in a process of its own."""
    return in_process(lambda: run([str(word) for word in words]))


def in_process(action: Callable[[], int]) -> Ended:
    """Do something in a forked process; its exit code is what the action returns."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _become(action, out.fileno(), err.fileno())
        status = _outcome(pid)
        return Ended(status, _text(out.fileno()), _text(err.fileno()))


def _become(action: Callable[[], int], out: int, err: int) -> None:
    code = 99
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        for name in [n for n in os.environ if n.startswith(("SHIPWAY", "VIRTUAL"))]:
            del os.environ[name]
        code = action()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # noqa: BLE001  # told by the parent
        os.write(2, f"Traceback that nobody caught\n{error!r}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def _outcome(pid: int) -> int:
    """The exit code of a child; one that hangs is killed."""
    handle = os.pidfd_open(pid)
    try:
        until = time.monotonic() + PATIENCE
        while not select.select([handle], [], [], max(0.0, until - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            until = time.monotonic() + PATIENCE
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _text(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = iter(lambda: os.read(descriptor, 1 << 16), b"")
    return b"".join(pieces).decode(errors="surrogateescape")
