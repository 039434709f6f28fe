"""One live line on a terminal: what is being done, or for whom we wait.

No thread draws it: it changes with the events and stands still between them, because a process with a second thread may not fork
its workers (`fs.pool`).  In pipes, logs and CI there is none.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live


def wanted() -> bool:
    """Whether stderr is a terminal on which a line may move."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


class Progress:
    """The line; nothing is drawn, and nothing imported, before `show` is called on a terminal."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self.enabled = wanted()

    def show(self, text: str) -> bool:
        """Replace the line; False if there is none here."""
        if not self.enabled:
            return False
        from rich.text import Text

        line = Text(text, no_wrap=True, overflow="ellipsis", style="dim")
        if self._live is None:
            self._live = _start()
        self._live.update(line, refresh=True)
        return True

    def clear(self) -> None:
        """Take the line away, so that something lasting can be written."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _start() -> Live:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=sys.stderr, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    live.start()
    return live
