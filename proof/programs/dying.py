"""Merge a tree and die on the way: inside the database transaction of the commit point, or at the first rename after it.

python dying.py ROOT STAGE NAME VERSION in|after
"""

from __future__ import annotations

import os
import signal
import sys

from shipway.api import Prefix, staged
from shipway.fs.system import FileSystem


class Dying(FileSystem):
    """Kills its process at the commit point, or with the step after it."""

    def step(self, operation: str, path: str) -> None:
        """Called before every change."""
        if self.passed:
            os.kill(os.getpid(), signal.SIGKILL)
        if (operation, path) == ("database", "commit point"):
            self.passed = True
            if sys.argv[5] == "in":
                os.kill(os.getpid(), signal.SIGKILL)

    passed = False


def main() -> None:
    """Merge; this does not return."""
    root, stage, name, version = sys.argv[1:5]
    with Prefix(root, fs=Dying()) as prefix:
        prefix.merge(staged(stage, name, version, python=""))


if __name__ == "__main__":
    main()
