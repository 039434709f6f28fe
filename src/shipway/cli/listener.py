"""What a person hears of the core's events.  `model.event` says which there are."""

from __future__ import annotations

from shipway.cli.console import Console
from shipway.cli.text import visible
from shipway.model.event import Event


class Ear:
    """A listener.  It remembers what the end of a command depends on: the commit that was made, what was recovered.

    `tells_steps`: whether a step is a line of its own where there is no line that moves.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tells_recovery: bool = True
        self.tells_steps: bool = False
        self.committed: int = 0
        self.recovered: list[str] = []
        self._warned: set[str] = set()

    def _warn(self, text: str) -> None:
        """Once, however often a command comes across it."""
        if text not in self._warned:
            self._warned.add(text)
            self.console.warn(text)

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        text = visible(event.text)
        match event.kind:
            case "phase":
                self.console.progress.show(f"{text} …")
            case "step":
                if not self.console.progress.show(f"{text} …") and self.tells_steps:
                    self.console.say(text)
            case "waiting":
                self.console.shout(text)
                self.console.progress.show(f"{text} …")
            case "committed":
                self.committed = int(str(event.data.get("number", 0)))
            case "recovered":
                self.recovered.append(event.text)
                if self.tells_recovery:
                    self.console.say(text)
            case "output":
                pass
            case "timing":
                self.console.detail(text)
            case "unfinished" | "stuck":
                self._warn(text)
            case _:
                self.console.say(f"note: {text}")
