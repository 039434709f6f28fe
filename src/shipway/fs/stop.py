"""Asking work to stop that waits in another thread, or in this one."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self


class Stop:
    """Something to wait for beside what one waits for: readable once somebody has asked, for everybody who waits."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._asked = False

    def fileno(self) -> int:
        """Readable once it was asked."""
        return self._reader

    @property
    def asked(self) -> bool:
        """Whether somebody has asked."""
        return self._asked

    def ask(self) -> None:
        """Ask, from any thread or signal handler; once is enough."""
        if not self._asked:
            self._asked = True
            os.write(self._writer, b".")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._reader)
        os.close(self._writer)
