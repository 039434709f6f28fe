"""Other programs, run to their end and heard out: pip, uv, and the build backends of projects."""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from shipway.fs.process import descendants, describe

SHOWN = 12
"""Lines of what a program said last that an error shows."""

_GRACE = 3.0  # seconds

Listen = Callable[[str], None]
"""Hears each line when it is said."""


class Heard(NamedTuple):
    """How a program ended (0, or less for a signal), and the lines it said: those on stderr last, blank ones left out."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """All that was said."""
        return [line for line in (self.stdout + self.stderr).splitlines() if line.strip()]


def deaf(line: str) -> None:
    """Hear nothing."""


def heard(
    command: Sequence[str], environment: Mapping[str, str], directory: str | None = None, listen: Listen = deaf
) -> Heard:
    """Run a program without a terminal, with a directory for temporary files that goes when it ends.

    Raises OSError if it cannot be started.
    """
    with _room() as room, _started(command, {**environment, "TMPDIR": room}, directory) as program:
        assert program.stdout and program.stderr
        try:
            said = _followed([program.stdout, program.stderr], listen)
        except BaseException:
            _end(program)
            raise
    return Heard(program.returncode, *said)


def _room() -> TemporaryDirectory[str]:
    """Pip is killed by the pip that started it, a quarter of a second after Ctrl-C: its temporary files are ours to remove."""
    return TemporaryDirectory(prefix="shipway-", ignore_cleanup_errors=True)


def _started(command: Sequence[str], environment: Mapping[str, str], directory: str | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _end(program: subprocess.Popen[bytes]) -> None:
    """End a program as Ctrl-C does; by force if that takes long, and then all that it had started."""
    family = {pid: describe(pid).started for pid in descendants(program.pid)}
    try:
        program.send_signal(signal.SIGINT)
        program.wait(_GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        family |= {pid: describe(pid).started for pid in descendants(program.pid)}
        program.kill()
        for pid, started in family.items():
            if describe(pid).started == started:  # else the number is another's by now
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


def _followed(streams: Sequence[IO[bytes]], listen: Listen) -> list[str]:
    """What comes through pipes until all are closed; in one thread, since who has more may not fork (`fs.pool`)."""
    ears = {stream.fileno(): _Ear(listen) for stream in streams}
    with selectors.DefaultSelector() as selector:
        for descriptor in ears:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                ears[key.fd].hear(data)
                if not data:
                    selector.unregister(key.fd)
    return ["".join(ear.text) for ear in ears.values()]


class _Ear:
    """Bytes become text, and whole lines are told."""

    def __init__(self, listen: Listen) -> None:
        self.text: list[str] = []
        self._listen = listen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def hear(self, data: bytes) -> None:
        text = self._decoder.decode(data, not data)
        self.text.append(text)
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._listen(line)
