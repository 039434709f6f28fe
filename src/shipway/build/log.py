"""The log of one build: plain text that a person can read, and from which time and phase of each line can be told again.

    == gmp 6.2.1 for /opt/site
    == phase configure
    == in /tmp/gmp/source/gmp-6.2.1: ./configure --prefix=/opt/site
        0.512 | checking build system type...
    == ended configure: 27.3 s (user 20.1 s, system 5.5 s, at most 12.3 MiB)

What Shipway says begins with `== `.  What tools say begins with the seconds since the log began, and ` | `; so none of them can
be mistaken for Shipway, whatever it prints.

A log is `NAME-VERSION.log`; while it is written its writer holds a lock on it.  The one of the run before is renamed to
`NAME-VERSION.TIME.log`, and of these the last few are kept.  A tool that makes noise does not fill the disk: past the limit, only
the last lines of each phase are kept, and how many were left out is told.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shipway.fs.appended import Appended
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories

KEPT = 5
"""So many logs of a version, the current one among them."""
LIMIT = 32 << 20
"""So many bytes of a log are what tools say; beyond that only the end of each phase."""
TAIL = 500
"""So many lines of a phase, beyond the limit."""
OURS = "== "

_SAID = re.compile(r" *(\d+\.\d{3}) \| (.*)", re.DOTALL)
_PHASE = re.compile(r"== phase (\w+)")


class Line(NamedTuple):
    """A line of a log: when (seconds since it began; -1 for Shipway's own), in which phase ("" before the first), and what."""

    seconds: float
    phase: str
    text: str

    @property
    def ours(self) -> bool:
        """Whether Shipway said it."""
        return self.seconds < 0

    @property
    def written(self) -> str:
        """As it stands in the log."""
        return f"{OURS}{self.text}" if self.ours else f"{self.seconds:9.3f} | {self.text}"


def name_of(name: str, version: str) -> str:
    """The name of a log."""
    return f"{name}-{version}.log".replace("/", "_")


class Log:
    """A log that is being written, by one process."""

    def __init__(self, path: str, file: Appended, begun: float, limit: int = LIMIT) -> None:
        self.path = path
        self._file = file
        self._begun = begun
        self._room = limit
        self._left_out = 0
        self._tail: deque[str] = deque(maxlen=TAIL)

    @classmethod
    def begin(cls, path: str, fs: FileSystem) -> Log:
        """A new log; the one before is put away.  Raises OSError."""
        make_directories(os.path.dirname(path), 0o755, fs.mkdir)
        return cls(path, _begun(path, fs), time.monotonic())

    @classmethod
    def go_on(cls, path: str, fs: FileSystem) -> Log:
        """The log that is there, or a new one where there is none.  Raises OSError."""
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as lines:
                passed = max((line.seconds for line in read(lines)), default=0.0)
            return cls(path, Appended(path, new=False), time.monotonic() - max(passed, 0.0))
        except FileNotFoundError:
            return cls.begin(path, fs)

    def say(self, *lines: str) -> None:
        """Lines of Shipway's own."""
        self._write_tail()
        self._file.write("".join(f"{OURS}{part}\n" for line in lines for part in line.split("\n")))

    def tools_said(self, lines: Sequence[str]) -> None:
        """Lines of a tool, at this moment."""
        stamp = Line(time.monotonic() - self._begun, "", "").written
        if self._room <= 0:
            self._left_out += len(lines)
            self._tail.extend(stamp + line for line in lines[-TAIL:])
            return
        text = stamp + f"\n{stamp}".join(lines) + "\n"
        self._room -= len(text)
        self._file.write(text)

    def _write_tail(self) -> None:
        if self._left_out:
            missing = self._left_out - len(self._tail)
            if missing:
                self._file.write(f"{OURS}left out {missing} lines: the log is full\n")
            self._file.write("".join(f"{line}\n" for line in self._tail))
        self._left_out = 0
        self._tail.clear()

    @property
    def trouble(self) -> str:
        """Why the log ends before its time; "" if it does not."""
        return self._file.trouble

    def close(self) -> None:
        """Nothing more will be said."""
        self._write_tail()
        self._file.close()


def _begun(path: str, fs: FileSystem) -> Appended:
    """Whoever else begins one at the same moment puts ours away, or we theirs; each goes on writing into its own."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            _put_away(path, fs)
        with contextlib.suppress(FileExistsError):
            return Appended(path)


def _put_away(path: str, fs: FileSystem) -> None:
    stem = path.removesuffix(".log")
    ended = time.strftime("%Y%m%dT%H%M%S", time.gmtime(os.stat(path).st_mtime))
    for number in range(1000):
        with contextlib.suppress(FileExistsError):
            fs.place(path, f"{stem}.{ended}{f'-{number}' if number else ''}.log")
            break
    for old in earlier(path)[KEPT - 1 :]:
        with contextlib.suppress(FileNotFoundError):
            fs.unlink(old)


def earlier(path: str) -> list[str]:
    """The logs of runs before the one at `path`, the newest first."""
    directory, name = os.path.split(path)
    stem = re.escape(name.removesuffix(".log"))
    old = re.compile(rf"{stem}\.(\d{{8}}T\d{{6}})(?:-(\d+))?\.log")
    found = [(match[1], int(match[2] or 0), match[0]) for match in map(old.fullmatch, os.listdir(directory)) if match]
    return [f"{directory}/{name}" for _, _, name in sorted(found, reverse=True)]


def read(lines: Iterable[str], phase: str = "") -> Iterator[Line]:
    """The lines of a log, those of one phase only if one is given."""
    current = ""
    for line in lines:
        line = line.rstrip("\n")
        if found := _PHASE.match(line):
            current = found[1]
        if phase in ("", current):
            said = _SAID.fullmatch(line)
            yield Line(float(said[1]), current, said[2]) if said else Line(-1, current, line.removeprefix(OURS))
