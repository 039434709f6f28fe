"""What is told of a build that failed."""

from __future__ import annotations

import signal
from typing import NamedTuple

_SHELLS_SAY = 128
"""A shell whose command was killed by a signal ends with this and the signal's number."""


class Failure(NamedTuple):
    """A phase that failed.

    `status` is the exit status of `command`, or the negative number of the signal that killed it.  `last` are the last lines that
    tools said, `log` is the path of all of them, `contact` whom to tell ("" if nobody says), `shell` the command that opens a
    shell in this build's environment.
    """

    package: str
    version: str
    phase: str
    command: str
    status: int
    last: tuple[str, ...]
    log: str
    contact: str
    shell: str

    @property
    def how(self) -> str:
        """How the command ended, in words."""
        if self.status < 0:
            return f"was killed by {_signal(-self.status)}"
        if self.status > _SHELLS_SAY and (name := _signal(self.status - _SHELLS_SAY)):
            return f"ended with status {self.status}, as of {name}"
        return f"ended with status {self.status}"

    @property
    def message(self) -> str:
        """One line."""
        return f"{self.package} {self.version}: {self.phase} failed: {self.command} {self.how}"

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What a person can do, one line each."""
        told = f"{self.log} is the whole log"
        report = f"tell {self.contact}, with what shipway log --bundle {self.package} writes" if self.contact else ""
        return tuple(filter(None, (told, f"{self.shell} opens a shell where it was built", report)))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}" if number < signal.NSIG else ""
