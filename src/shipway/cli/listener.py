"""What a person hears of the core's events.  `model.event` says which there are."""

from __future__ import annotations

from shipway.cli.console import Console
from shipway.cli.text import visible
from shipway.model.event import Event


class Ear:
    """A listener.  It remembers what the end of a command depends on: the commit that was made, what was recovered."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tells_recovery: bool = True
        self.committed: int = 0
        self.recovered: list[str] = []

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        text = visible(event.text)
        match event.kind:
            case "phase":
                self.console.progress.show(f"{text} …")
            case "waiting":
                self.console.shout(text)
                self.console.progress.show(f"{text} …")
            case "committed":
                self.committed = int(str(event.data.get("number", 0)))
            case "recovered":
                self.recovered.append(event.text)
                if self.tells_recovery:
                    self.console.say(text)
            case "timing":
                self.console.detail(text)
            case "unfinished" | "stuck":
                self.console.warn(text)
            case _:
                self.console.say(f"note: {text}")
