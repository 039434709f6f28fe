"""Other programs, run to their end and heard out: pip, and the build backends of projects."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SHOWN = 12
"""Lines of what a program said last that an error shows."""


class Heard(NamedTuple):
    """How a program ended (0, or less for a signal), and the lines it said: those on stderr last, blank ones left out."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """All that was said."""
        return [line for line in (self.stdout + self.stderr).splitlines() if line.strip()]


def heard(command: Sequence[str], environment: Mapping[str, str], directory: str | None = None) -> Heard:
    """Run a program without a terminal.  Raises OSError if it cannot be started."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return Heard(done.returncode, done.stdout, done.stderr)
