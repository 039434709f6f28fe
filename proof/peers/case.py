"""A tool with the first version of the package installed, to be brought back to that state before every try."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proof.peers.judge import Verdict, judge, litter, of_record, strange
from proof.peers.payload import VERSIONS, common_paths, paths
from proof.peers.tool import Record, Tool
from proof.scene import TIMEOUT, environment, leave, run

OLD, NEW, OTHER = VERSIONS
Look = Sequence[tuple[int, int, int]]
WATCHED = 100
"""Files that are looked at to see when a live tree changes."""


class DoesNotWork(Exception):
    """An undisturbed upgrade does not end as it should."""


@dataclass(frozen=True)
class Times:
    """Of an undisturbed upgrade, in seconds: the whole, and from the first change of the live tree to the end."""

    whole: float
    ending: float


class Case:
    """`left` counts the old files that an undisturbed upgrade leaves behind."""

    def __init__(self, tool: Tool, room: Path) -> None:
        self.tool = tool
        self.room = room
        self.here = room / "here"
        self._known: list[str] = []
        self.left = 0
        tool.prepare(self.here)
        self.undisturbed("", OLD)
        run(["cp", "-a", str(self.here), str(room / "kept")])
        self.undisturbed(OLD, NEW)
        self.left = sum((tool.root(self.here) / path).exists() for path in set(paths(OLD)) - set(paths(NEW)))
        self._must_be(NEW)
        self._known = strange(tool, self.here)
        self.restore()
        self.times = self._measured()
        self.restore()

    def restore(self) -> None:
        """Bring back the first version, at the same paths."""
        leave(self.here)
        self.said.write_bytes(b"")
        run(["cp", "-a", str(self.room / "kept"), str(self.here)])

    def undisturbed(self, old: str, new: str) -> None:
        """An upgrade that has to succeed."""
        done = run(self.tool.upgrade(self.here, old, new), env=self._environment())
        if done.returncode:
            raise DoesNotWork(f"ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")

    def _must_be(self, version: str) -> None:
        verdict = self.verdict()
        wrong = verdict.why or of_record(verdict, self.recorded())
        if wrong or verdict.state != version:
            raise DoesNotWork(f"after an undisturbed upgrade to {version}: {wrong or verdict.state}")

    def ended(self, command: Sequence[str]) -> int:
        """The exit code of a command; one that hangs counts as a failure."""
        try:
            return run(command, env=self._environment()).returncode
        except subprocess.TimeoutExpired:
            return -1

    def start(self, old: str, new: str) -> subprocess.Popen[bytes]:
        """Begin an upgrade, in a process group of its own; what it says is in `said`."""
        command = self.tool.upgrade(self.here, old, new)
        quiet = subprocess.DEVNULL
        with self.said.open("ab") as said:
            return subprocess.Popen(
                command, stdin=quiet, stdout=quiet, stderr=said, start_new_session=True, env=self._environment()
            )

    @property
    def said(self) -> Path:
        """Where the complaints of what was started are, since the last restoring."""
        return self.room / "said"

    def _environment(self) -> dict[str, str]:
        return environment(**self.tool.environment(self.here))

    def verdict(self) -> Verdict:
        """What lies in the live tree."""
        return judge(self.tool.root(self.here), bool(self.left))

    def recorded(self) -> Record:
        """What the tool says is installed."""
        return self.tool.recorded(self.here)

    def litter(self) -> list[str]:
        """What is left over of interrupted or overtaken upgrades."""
        return litter(self.tool, self.here, self._known)

    def look(self) -> Look:
        """What changes when the live tree changes, of a sample of files."""
        root = self.tool.root(self.here)
        common = common_paths()
        return [_look(root / common[n * len(common) // WATCHED]) for n in range(WATCHED)]

    def changed(self, before: Look) -> float:
        """The share of the watched files that are not what they were."""
        return sum(now != then for now, then in zip(self.look(), before, strict=True)) / WATCHED

    def _measured(self) -> Times:
        before = self.look()
        started = time.monotonic()
        process = self.start(OLD, NEW)
        first = 0.0
        while process.poll() is None:
            if not first and self.changed(before):
                first = time.monotonic()
            if time.monotonic() - started > TIMEOUT:
                kill(process)
        ended = time.monotonic()
        return Times(ended - started, ended - (first or ended))


def _look(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size


def kill(process: subprocess.Popen[bytes]) -> bool:
    """SIGKILL to a process group; whether it was still running."""
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL
