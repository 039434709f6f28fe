"""Writing back ahead of time: a syncfs(2) in a forked child, while this process still prepares what comes after.

The sync that counts is made later and finds little left to write.  What the early one had to report is reported by
it: the kernel tells an error once to each descriptor that was open when it happened.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

from shipway.fs import native


class SyncAhead:
    """At most one sync under way, of the process that started it."""

    def __init__(self) -> None:
        self._child = 0
        self._parent = 0

    def start(self, descriptor: int) -> None:
        """Start it for the file system of a descriptor, which had better be open since before the writing began.

        Nothing happens where a fork would be dangerous (there are threads) or is not allowed.
        """
        with suppress(OSError):
            self.settle()
        if threading.active_count() > 1:
            return
        parent = os.getpid()
        with suppress(BlockingIOError):
            self._child, self._parent = os.fork(), parent
            if not self._child:
                _sync(descriptor, parent)

    def settle(self) -> None:
        """Wait for its end.  Raises the OSError it met."""
        child, self._child = self._child, 0
        if not child or self._parent != os.getpid():
            return
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code > 0:
            raise OSError(code, os.strerror(code))


def _sync(descriptor: int, parent: int) -> None:
    code = 0
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        native.die_with_parent()
        if os.getppid() == parent:
            native.syncfs(descriptor)
    except OSError as error:
        code = error.errno or 1
    finally:
        os._exit(code)
