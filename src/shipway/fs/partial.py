"""A file that is written piece by piece, and goes on where an earlier process left it."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from shipway.fs import native
from shipway.fs.system import FileSystem

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class PartialFile:
    """Open for appending, for the length of a `with` block.

    What was written stays whatever happens, until `restart`.  One process at a time: the caller holds a lock.
    """

    def __init__(self, fs: FileSystem, path: str) -> None:
        self.fs = fs
        self.path = path
        self.size = 0
        self._descriptor = -1

    def __enter__(self) -> Self:
        self.fs.step("append", self.path)
        self._descriptor = os.open(self.path, _APPEND, 0o600)
        self.size = os.fstat(self._descriptor).st_size
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def write(self, data: bytes) -> None:
        """Add to the end; nothing stays in a buffer."""
        native.write_all(self._descriptor, data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written."""
        os.ftruncate(self._descriptor, 0)
        self.size = 0
