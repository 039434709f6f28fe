"""Running the command line: in this process for its answers, as a process for its signals and streams."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipway.cli.main import run
from tests.harness import make_tree


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, answer, and what it said beside."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer as the one document it has to be."""
        return json.loads(self.out)


def command(*arguments: str) -> list[str]:
    """The command line of a real process."""
    return [sys.executable, "-m", "shipway", *arguments]


def environment(**more: str) -> dict[str, str]:
    """An environment in which nothing but what is given tells shipway anything."""
    kept = {name: value for name, value in os.environ.items() if not tells(name)}
    source = str(Path(__file__).parents[2] / "src")
    return {**kept, "PYTHONPATH": source, **more}


def tells(name: str) -> bool:
    return name.startswith(("SHIPWAY", "PYTHON", "LC_")) or name in ("VIRTUAL_ENV", "NO_COLOR", "CI", "LANG", "TERM")


@dataclass(frozen=True)
class Shop:
    """A prefix of its own and a place for stages; called, it runs a command on the prefix."""

    root: Path
    stages: Path

    def __call__(self, *arguments: str) -> Ran:
        """`shipway -p ROOT …` in this process."""
        return plain("-p", str(self.root), *arguments)

    def process(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The same as a process of its own."""
        whole = command("-p", str(self.root), *arguments)
        return subprocess.run(whole, capture_output=True, text=True, env=environment(**more), timeout=60)

    def stage(self, files: Mapping[str, str]) -> Path:
        """A staged tree from paths and contents."""
        return make_tree(self.stages / str(len(list(self.stages.iterdir()))), files)

    def merge(self, files: Mapping[str, str], name: str = "gmp", version: str = "6.3.0", *more: str) -> Ran:
        """Stage and merge; it must succeed."""
        ran = self("merge", str(self.stage(files)), "--name", name, "--version", version, *more)
        assert ran.code == 0, ran.err
        return ran


def plain(*arguments: str) -> Ran:
    """`shipway …` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    return Ran(code, out.getvalue(), err.getvalue())


Plain = Callable[..., Ran]
"""`shipway …` without a prefix."""
