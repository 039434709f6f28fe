"""What the attacks have to know of a tool: how to lay out its packages, how to upgrade, and what it says is installed."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from proof.peers.payload import NAME
from proof.scene import Scene, run

Record = tuple[str, ...] | None
"""The versions that a tool says are installed; None if it keeps no record."""


class Tool(ABC):
    """A tool that installs files.  `here` is always a directory that holds all it uses: packages, live tree, record."""

    name: str
    installed_by: str = ""
    """The command that would install it."""
    needs: Sequence[str] = ()
    """The programs that must be there."""
    own: Sequence[str] = ()
    """Below the live tree, patterns of what the tool keeps there for good, beside the package's files."""
    litter: Sequence[str] = ()
    """Below `here`, patterns of what the tool itself uses for a while."""

    def __init__(self, scene: Scene, tools: Path) -> None:
        self.scene = scene
        self.tools = tools

    def missing(self) -> str:
        """Why it cannot be tried here; empty if it can."""
        lacking = [program for program in self.needs if not shutil.which(program)]
        return f"{', '.join(lacking)} is not here; {self.installed_by}" if lacking else ""

    @abstractmethod
    def version(self) -> str:
        """What it is called and its version."""

    @abstractmethod
    def prepare(self, here: Path) -> None:
        """Lay out all versions in the tool's format, and a live tree with the files of others."""

    @abstractmethod
    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        """The command line that brings one version in another's place; `old` is empty for the first."""

    def root(self, here: Path) -> Path:
        """The live tree, under which the paths of the package lie."""
        return here / "root"

    def recorded(self, here: Path) -> Record:
        """Which versions it says are installed."""
        return None

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        """The command lines that its manual names for a tree that the same command did not mend."""
        return []

    def environment(self, here: Path) -> Mapping[str, str]:
        """Variables it is to be run with."""
        return {}


def first_line(command: Sequence[str], *, line: int = 0) -> str:
    """A line of what a command says of its version."""
    done = run(command)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[line].strip() if len(lines) > line else "unknown"


def words(line: str) -> list[str]:
    """A shell's command line, for what takes more than one command."""
    return ["sh", "-c", f"set -e; {line}"]


def of_package(names: Sequence[str]) -> tuple[str, ...]:
    """The versions in lines `parcel VERSION`."""
    split = [name.split() for name in names]
    return tuple(sorted(part[1] for part in split if len(part) > 1 and part[0] == NAME))
