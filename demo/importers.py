"""Processes that import a package in a loop while it is being installed, and what they have seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

SCRIPT = Path(__file__).with_name("importer.py")

Fingerprints = Mapping[str, int]


@dataclass(frozen=True)
class Interpreter:
    """A Python: its executable and version ("2.7")."""

    executable: str
    version: str

    @property
    def site(self) -> str:
        """Where packages lie, relative to a prefix."""
        return f"lib/python{self.version}/site-packages"

    def command(self, *arguments: str) -> list[str]:
        """A command line in which neither environment nor site packages of the host play a part."""
        isolated = ["-E", "-s", "-S"] if self.version == "2.7" else ["-I", "-S"]
        return [self.executable, *isolated, *arguments]

    @classmethod
    def here(cls) -> Interpreter:
        """The interpreter that runs this."""
        return cls(sys.executable, "{}.{}".format(*sys.version_info))


@dataclass(frozen=True)
class Seen:
    """How many imports found what; reasons are a few examples of broken ones."""

    absent: int = 0
    whole: int = 0
    mixed: int = 0
    broken: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        """Imports that found the package at all."""
        return self.whole + self.mixed + self.broken

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.absent + other.absent,
            self.whole + other.whole,
            self.mixed + other.mixed,
            self.broken + other.broken,
            (self.reasons + other.reasons)[:20],
        )

    @classmethod
    def parse(cls, line: str) -> Seen:
        """Read the report of one importer."""
        report = json.loads(line)
        return cls(**{**report, "reasons": tuple(report["reasons"])})


def clean_environment() -> dict[str, str]:
    """The environment without what changes how Python or Shipway start."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SHIPWAY"))}


def learn(interpreter: Interpreter, site: Path, modules: Sequence[str], task: Path) -> Fingerprints | str:
    """The fingerprints of a package in a still tree, or why it can't be imported there."""
    task.write_text(json.dumps({"site": str(site), "modules": list(modules), "known": []}))
    command = interpreter.command(str(SCRIPT), str(task), "learn")
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if answer["outcome"]:
        return str(answer["found"] or answer["outcome"])
    found: Fingerprints = answer["found"]
    return found


class Importers(AbstractContextManager["Importers"]):
    """A few importers at work; `seen` holds their reports after the block.

    They are told to stop by the end of their standard input, so they never outlive this process.  Each import is a
    forked process, or one that the command `through` starts.
    """

    def __init__(self, interpreter: Interpreter, task: Path, number: int, through: Sequence[str] = ()) -> None:
        self.command = interpreter.command(str(SCRIPT), str(task), "loop")
        if through:
            self.command += [*through, *interpreter.command(str(SCRIPT), str(task), "judge")]
        self.number = number
        self.seen = Seen()
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Importers:
        for _ in range(self.number):
            self._running.append(
                subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
                )
            )
        for process in self._running:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("an importer did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._running:
            assert process.stdout is not None
            report = process.stdout.read()
            process.stdout.close()
            process.wait()
            if error is None:
                self.seen += Seen.parse(report)
