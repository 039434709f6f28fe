"""Where attacks are carried out: rooms to work in, how much is tried, and the command under attack."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

PROGRAMS = Path(__file__).parent / "programs"
"""What processes that keep a prefix company run."""

TIMEOUT = 120.0
"""Seconds after which a command of ours counts as hanging."""


@dataclass(frozen=True)
class Scene:
    """`full` tries everything, else a sample.  `shipway` is the command, `python` the interpreter it runs on.

    `programs` is where our own programs lie.
    """

    place: Path
    full: bool
    seed: int
    shipway: str
    python: str
    programs: Path = PROGRAMS

    def room(self, name: str) -> Path:
        """A fresh directory for one case; whoever asked for it removes it by `leave`."""
        room = self.place / name
        leave(room)
        room.mkdir(parents=True)
        return room

    def choose(self, items: Sequence[Item], quick: int) -> list[Item]:
        """All items, or in the quick form so many of them, spread evenly from the first to the last."""
        if self.full or len(items) <= quick:
            return list(items)
        return [items[round(i * (len(items) - 1) / (quick - 1))] for i in range(quick)] if quick > 1 else [items[0]]

    def times(self, full: int, quick: int) -> int:
        """How often to repeat something."""
        return full if self.full else quick

    def chance(self, name: str) -> random.Random:
        """A source of random numbers of one case, the same in every run with the same seed."""
        return random.Random(f"{self.seed} {name}")

    def run(self, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        """Run `shipway` to its end, whatever that is; TimeoutExpired if it hangs."""
        return run([self.shipway, *map(str, arguments)], **options)


def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal, its output as text."""
    settings: dict[str, object] = {"timeout": TIMEOUT, "env": environment(), **options}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, **settings
    )


def environment(**more: str) -> dict[str, str]:
    """The environment without what changes how Python or Shipway work."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SHIPWAY", "VIRTUAL"))}
    return kept | more


def leave(room: Path) -> None:
    """Remove a room, also where something in it was made hard to remove."""
    if not room.exists():
        return
    for parent, directories, _ in os.walk(room):
        for name in directories:
            path = Path(parent, name)
            if not path.is_symlink() and not os.access(path, os.W_OK | os.X_OK | os.R_OK):
                path.chmod(0o700)
    shutil.rmtree(room)
