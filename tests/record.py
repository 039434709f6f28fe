"""Somebody else who holds an fcntl lock on a prefix's record: a process of its own, stopped if that is wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from shipway.prefix.layout import Layout

PENDING, RESERVED, SHARED = 0x40000000, 0x40000001, 0x40000002
"""The bytes of SQLite's locks; SHARED is the first of 510."""

SPANS: Mapping[str, tuple[int, int]] = {"all": (0, 0), "reserved": (RESERVED, 1), "shared": (SHARED, 510)}
"""First byte and length of what is held; (0, 0) is the whole file."""

HOLD = """
import fcntl, os, sys
path, kind, first, length = sys.argv[1], *map(int, sys.argv[2:])
descriptor = os.open(path, os.O_RDWR if kind == fcntl.LOCK_EX else os.O_RDONLY)
fcntl.lockf(descriptor, kind, length, first)
print("held", flush=True)
sys.stdin.readline()
"""

SHARE, ALONE = 1, 2  # fcntl.LOCK_SH, fcntl.LOCK_EX


class Holder:
    """Holds the record from `take` to `leave`, or the end of a `with` block."""

    def __init__(self, root: Path, span: str = "all", kind: int = SHARE, *, stopped: bool = False) -> None:
        first, length = SPANS[span]
        self.path = Layout(str(root)).database
        self._words = [self.path, str(kind), str(first), str(length)]
        self._stopped = stopped
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Whom others should name."""
        assert self._process is not None
        return self._process.pid

    @property
    def taken(self) -> bool:
        """Whether it was taken, be it left again by now."""
        return self._process is not None

    def take(self) -> Self:
        """Take it; it is held when this returns."""
        self.start()
        self.await_held()
        if self._stopped:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)
        return self

    def start(self) -> None:
        """Begin to take it, be it that others have to let go of it first."""
        pipe = subprocess.PIPE
        words = [sys.executable, "-c", HOLD, *self._words]
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)

    def await_held(self) -> None:
        """Return when it is held."""
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def leave(self) -> None:
        """End; nothing if that has been done, or it was never taken."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
