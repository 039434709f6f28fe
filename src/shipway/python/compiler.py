"""Interpreters at work: several processes of one interpreter, each fed sources and answering with code.

What runs in them is `compile_script.py`; the records are described there.  A process gets its next
source while it works on one, and never more than fits in a pipe (4096 bytes, or one record to a process
that is idle and hence reading): so neither side can wait for the other to read.

Processes end when we do: their input ends.  One that dies while it compiles is replaced, and the source it had
in hand is given up; one that dies before it has said anything, or the fourth, ends the whole run with
a warning.  So does none of this ever raise.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shipway.python.interpreter import QUIET, Interpreter, how_it_ended

PATIENCE = 120.0  # seconds for one source
_PARTING = 5.0  # seconds from the end of its output to its own
_DEATHS = 3
_PIPE = 4096
_AHEAD = 2
_BYTES_PER_PROCESS = 100_000  # of source, below which another process is not worth its start


class Task(NamedTuple):
    """A source to compile: its path below the tree, the size it has, in bytes, and the file name its code shall say."""

    path: str
    size: int
    name: str

    def record(self) -> bytes:
        """The task as the script reads it."""
        return os.fsencode(self.path) + b"\0" + os.fsencode(self.name) + b"\0%d\0" % self.size


class Outcome(NamedTuple):
    """What became of a source: its marshalled code for every level, or why there is none."""

    path: str
    codes: tuple[bytes, ...]
    why: str = ""


class Setting(NamedTuple):
    """What all sources of a run have in common: they lie in `tree`.

    `flags` go to the interpreter, `levels` to `compile`; `patience` is in seconds for one source.
    """

    interpreter: Interpreter
    tree: str
    levels: tuple[int, ...] = (0,)
    flags: tuple[str, ...] = ()
    patience: float = PATIENCE


def compiled(setting: Setting, tasks: Iterable[Task], jobs: int, warnings: list[str]) -> Iterator[Outcome]:
    """Compile sources in up to `jobs` processes; outcomes come as they are ready, in no order.

    Where the interpreter fails altogether, a line is added to `warnings` and the rest has no outcome.
    """
    run = _Run(setting, deque(sorted(tasks, key=lambda task: -task.size)), warnings)
    size = sum(task.size for task in run.tasks)
    try:
        run.start(min(jobs, len(run.tasks), 1 + size // _BYTES_PER_PROCESS))
        yield from run.outcomes()
    finally:
        run.stop()


class _Process:
    """One interpreter, and the sources it has been given and not yet answered, oldest first."""

    def __init__(self, setting: Setting) -> None:
        self.levels = len(setting.levels)
        self.given: deque[Task] = deque()
        self.codes: list[bytes] = []
        self.greeted = False
        self.since = time.monotonic()
        self._unread = bytearray()
        self.process = subprocess.Popen(
            _command(setting),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=setting.interpreter.surroundings(),
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self.output = self.process.stdin, self.process.stdout
        self._send(os.fsencode(setting.tree) + b"\0")

    def feed(self, tasks: deque[Task]) -> None:
        """Give it what it may have besides what it has."""
        while tasks and len(self.given) < _AHEAD:
            pending = sum(len(task.record()) for task in self.given)
            record = tasks[0].record()
            if self.given and pending + len(record) > _PIPE:
                return
            if not self.given:
                self.since = time.monotonic()
            self.given.append(tasks.popleft())
            self._send(record)

    def read(self) -> Iterator[Outcome] | None:
        """Outcomes of what it has answered by now; None if it has ended.  To be called when its output is ready."""
        data = os.read(self.output.fileno(), 1 << 18)
        if not data:
            return None
        self._unread += data
        return self._outcomes()

    def _outcomes(self) -> Iterator[Outcome]:
        for kind, content in self._records():
            if kind == b"H":
                self.greeted = True
            elif kind == b"E":
                yield self._done((), content.decode("utf-8", "replace"))
            else:
                self.codes.append(content)
                if len(self.codes) == self.levels:
                    yield self._done(tuple(self.codes))

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        start = 0
        while (newline := self._unread.find(b"\n", start)) >= 0:
            kind, _, length = bytes(self._unread[start:newline]).partition(b" ")
            end = newline + 1 + int(length)
            if end > len(self._unread):
                break
            yield kind, bytes(self._unread[newline + 1 : end])
            start = end
        del self._unread[:start]

    def _done(self, codes: tuple[bytes, ...], why: str = "") -> Outcome:
        self.codes, self.since = [], time.monotonic()
        return Outcome(self.given.popleft().path, codes, why)

    def _send(self, record: bytes) -> None:
        """Write a record; that the process has died is seen at its output."""
        with contextlib.suppress(BrokenPipeError):
            while record:
                record = record[os.write(self._input.fileno(), record) :]

    def stop(self) -> int:
        """End it, whatever it does, and return its return code."""
        self._input.close()
        self.output.close()
        self.process.kill()
        return self.process.wait()

    def ended(self) -> str:
        """Why it ended by itself, in words; its output has, so it is about to."""
        try:
            return how_it_ended(self.process.wait(_PARTING))
        except subprocess.TimeoutExpired:
            return "it closed its output"


@dataclass
class _Run:
    setting: Setting
    tasks: deque[Task]
    warnings: list[str]
    deaths: int = 0
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def start(self, count: int) -> None:
        """Start processes and give them work; an interpreter that cannot be started is a warning."""
        try:
            for _ in range(count):
                process = _Process(self.setting)
                self.selector.register(process.output, selectors.EVENT_READ, process)
                process.feed(self.tasks)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def outcomes(self) -> Iterator[Outcome]:
        while any(process.given for process in self._processes()):
            for process in self._ready():
                outcomes = process.read()
                if outcomes is None:
                    yield from self._bury(process, process.ended())
                    continue
                yield from outcomes
                process.feed(self.tasks)
            yield from self._end_silent()

    def stop(self) -> None:
        for process in self._processes():
            process.stop()
        self.selector.close()

    def _processes(self) -> list[_Process]:
        return [key.data for key in self.selector.get_map().values()]

    def _ready(self) -> list[_Process]:
        since = min(process.since for process in self._processes() if process.given)
        wait = max(0.0, since + self.setting.patience - time.monotonic())
        return [key.data for key, _ in self.selector.select(wait)]

    def _end_silent(self) -> Iterator[Outcome]:
        late = time.monotonic() - self.setting.patience
        for process in self._processes():
            if process.given and process.since <= late:
                yield from self._bury(process, f"no answer within {self.setting.patience:.0f} s")

    def _bury(self, process: _Process, why: str) -> Iterator[Outcome]:
        """Replace a process that has ended: what it had in hand is given up, the rest is done by another."""
        self.selector.unregister(process.output)
        process.stop()
        self.deaths += 1
        if process.greeted and process.given:
            yield Outcome(process.given.popleft().path, (), f"the interpreter failed on it: {why}")
        self.tasks.extendleft(reversed(process.given))
        if not process.greeted or self.deaths > _DEATHS:
            self._give_up(why)
        elif self.tasks:
            self.start(1)

    def _give_up(self, why: str) -> None:
        self.tasks.clear()
        self.warnings.append(f"{self.setting.interpreter.path} could not compile: {why}")
        for process in self._processes():
            process.given.clear()


def _command(setting: Setting) -> Sequence[str]:
    script = importlib.resources.files("shipway.python").joinpath("compile_script.py").read_text("utf-8")
    levels = ",".join(str(level) for level in setting.levels)
    return [setting.interpreter.path, *QUIET, *setting.flags, "-c", script, levels]
