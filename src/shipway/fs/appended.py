"""A file that grows: a log that others may read while it is written."""

from __future__ import annotations

import contextlib
import fcntl
import os

from shipway.fs import native

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Appended:
    """A text file (UTF-8) that is written to its end, without buffers: a new one, or one that is there.

    It is locked as long as it is open here: `fs.lock.is_locked` tells readers whether more will come.  `trouble` is the first
    error of writing, "" if there was none; after it nothing is written any more, since what a log is about goes on without it.
    """

    def __init__(self, path: str, *, new: bool = True) -> None:
        """FileExistsError if a new one exists, FileNotFoundError if another does not; other OSErrors as the OS gives them."""
        self._descriptor = os.open(path, _FLAGS | (os.O_CREAT | os.O_EXCL if new else 0), 0o644)
        self.trouble = ""
        with contextlib.suppress(OSError):  # no locks there: readers then see only what has come so far
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def write(self, text: str) -> None:
        """Append a text."""
        if self.trouble or self._descriptor < 0:
            return
        try:
            native.write_all(self._descriptor, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            self.trouble = error.strerror or str(error)

    def close(self) -> None:
        """Nothing more will come."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
