"""Run a command as a user would, and measure it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SAMPLE = 0.02


@dataclass(frozen=True)
class Ran:
    """What a command took: wall time in seconds, peak memory in bytes, what it printed, and its processors' time in seconds."""

    seconds: float
    peak: int
    output: str
    cpu: float


class FailedError(Exception):
    """A command that has to succeed did not; holds its command line and last words."""


def clean_environment() -> dict[str, str]:
    """The environment without what changes how Python or Shipway start."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SHIPWAY"))}


def run(command: Sequence[str], *, watch: bool = False, **more: str) -> Ran:
    """Run a command to its end, with more variables in its environment; raises FailedError if that is a failure.

    The peak is that of the largest single process (getrusage(2), ru_maxrss); with `watch`, which takes a little of the
    processor's time, that of all its processes together where it is more.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env={**clean_environment(), **more}
        )
        together = _watch(process.pid) if watch else 0
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise FailedError(f"{' '.join(command)}\nended with {process.returncode}: {_text(errors)}")
        cpu = usage.ru_utime + usage.ru_stime
        return Ran(seconds, max(usage.ru_maxrss * 1024, together), _text(output), cpu)


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _watch(pid: int) -> int:
    """The most memory that a process and its descendants had together, in bytes; returns when it has ended."""
    peak = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        peak = max(peak, sum(map(_memory, _family(pid))))
        time.sleep(SAMPLE)
    return peak


def _family(pid: int) -> list[int]:
    family = [pid]
    for parent in family:
        with suppress(OSError):
            family += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return family


def _memory(pid: int) -> int:
    """Proportional set size: what is shared with n others counts for an n-th (proc(5), smaps_rollup)."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0
