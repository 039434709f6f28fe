"""A terminal that nobody sits at: programs write to it line by line, so their two streams come out in true order (pty(7))."""

from __future__ import annotations

import errno
import os
import select
import termios
from types import TracebackType
from typing import Self

COLUMNS, LINES = 120, 40
_PIECE = 1 << 16
_OUTPUT_FLAGS, _LOCAL_FLAGS = 1, 3


class Terminal:
    """The near end of a pseudo-terminal; `far` is a descriptor of the end that programs are given, -1 once it is closed here.

    What they write comes out as it is: no line ends are changed, nothing is echoed, and no key has a meaning.  It is nobody's
    controlling terminal.  Where there are no pseudo-terminals a pipe takes its place; then only what programs do by themselves
    keeps their streams in order.
    """

    def __init__(self) -> None:
        try:
            self._near, self.far = os.openpty()
        except OSError:
            self._near, self.far = os.pipe()
        else:
            _make_plain(self.far)
        os.set_blocking(self._near, False)

    def fileno(self) -> int:
        """Readable when something was written."""
        return self._near

    def close_far(self) -> None:
        """Once the programs have it."""
        far, self.far = self.far, -1
        if far >= 0:
            os.close(far)

    def read(self) -> bytes:
        """What was written, about 64 KiB at once; b"" if there is nothing now, or nothing any more.

        The kernel gives at most 4 KiB a call.
        """
        found = b""
        try:
            while len(found) < _PIECE and (piece := os.read(self._near, _PIECE)):
                found += piece
        except BlockingIOError:
            return found
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the far end
                raise
        return found

    def has_more(self) -> bool:
        """Whether `read` would have something, when nobody writes any more: what is on its way through the kernel is waited for."""
        poll = select.poll()
        poll.register(self._near, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_far()
        os.close(self._near)


def _make_plain(descriptor: int) -> None:
    settings = termios.tcgetattr(descriptor)
    settings[_OUTPUT_FLAGS] &= ~termios.OPOST
    settings[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    termios.tcsetwinsize(descriptor, (LINES, COLUMNS))
