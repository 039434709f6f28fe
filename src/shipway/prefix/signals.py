"""Ctrl-C and SIGTERM wait while a commit is past its commit point: it finishes first, in milliseconds."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_active: list[Deferred] = []

_DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Deferred:
    """Signals that ask to stop are remembered inside the block; `asked` says which came, None if none did.

    Outside the main thread Python delivers no signals, so nothing needs to be done there.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if _in_main_thread():
            _active.append(self)
            self._before = {number: signal.signal(number, self._remember) for number in _DEFERRED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self in _active:
            _active.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() itself returned

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.asked = number


def heed() -> None:
    """Raise KeyboardInterrupt if a signal is being remembered: for somebody who waits for others, which may take for ever."""
    if _in_main_thread() and any(deferred.asked is not None for deferred in _active):
        raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
