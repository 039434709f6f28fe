"""Running other programs that fetch: apt-get, git, pip.  None outlives whoever asked for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shipway.build.places import PlaceError, StoppedError, Watch

_PAUSE = 0.2
_TELLING = ("E:", "fatal:", "error:", "ERROR:")


class Done(NamedTuple):
    """How a program ended, and what it said on its two streams."""

    code: int
    out: str
    err: str

    @property
    def why(self) -> str:
        """The line of its last words that says most."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return next((line for line in lines if line.startswith(_TELLING)), lines[-1] if lines else f"exit {self.code}")


def run(words: Sequence[str], watch: Watch, directory: str = "/", more: Mapping[str, str] | None = None) -> Done:
    """Run a program to its end, or until `watch` says stop.  Raises PlaceError if there is no such program, StoppedError."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(more or {})}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(words, cwd=directory, env=environment, text=True, errors="replace", **streams)  # type: ignore[call-overload]
    except FileNotFoundError as error:
        raise PlaceError(f"there is no program {words[0]} here") from error
    try:
        return _finish(process, watch)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _finish(process: subprocess.Popen[str], watch: Watch) -> Done:
    while True:
        try:
            out, err = process.communicate(timeout=_PAUSE)
        except subprocess.TimeoutExpired:
            if watch.stop.is_set():
                raise StoppedError("interrupted") from None
        else:
            return Done(process.returncode, out, err)
