"""Where the measuring is done: rooms to work in, commands to measure, rounds of ours and theirs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.command import Ran, run
from bench.report import Measure, ratio
from bench.trees import Shape, settle

Act = Callable[[], Ran]


@dataclass(frozen=True)
class Shop:
    """Where and how often things are done, on trees of what shape, and with which command."""

    place: Path
    rounds: int
    shipway: str
    shape: Shape

    def room(self, part: str) -> Path:
        """A directory for one part.

        Nothing is deleted before all parts are over: for a minute or more ext4 hands out no inode that was just
        freed, but searches past them, so that whoever creates files after a deletion pays for it.
        """
        room = self.place / part
        room.mkdir()
        return room

    def call(self, prefix: Path, *arguments: str) -> Ran:
        """`shipway --json -p PREFIX …`, after everything was written back."""
        settle()
        return run([self.shipway, "--json", "-p", str(prefix), *arguments])

    def merge(self, tree: Path, prefix: Path, *options: str, version: str = "1") -> Ran:
        """Merge a tree as the package `bench`."""
        return self.call(prefix, "merge", str(tree), "--name", "bench", "--version", version, *options)

    def compare(self, prepare: Callable[[int], tuple[Act, Act]]) -> Runs:
        """Prepare all rounds, then run them: ours and theirs, each as often first as second."""
        runs = Runs([], [])
        for number, acts in enumerate([prepare(number) for number in range(self.rounds)]):
            order = (0, 1) if number % 2 else (1, 0)
            done = {which: acts[which]() for which in order}
            runs.ours.append(done[0])
            runs.theirs.append(done[1])
        return runs


def copy(tree: Path, prefix: Path) -> Ran:
    """`cp -Rp`, as builds do it, after everything was written back."""
    settle()
    return run(["cp", "-Rp", f"{tree}/.", str(prefix)])


@dataclass
class Runs:
    """Ours and theirs, round by round."""

    ours: list[Ran]
    theirs: list[Ran]

    def ratio(self, work: str, target: float | None) -> Measure:
        """The measure of their times."""
        return ratio(work, [r.seconds for r in self.ours], [r.seconds for r in self.theirs], target)

    def lock(self, work: str, target: float) -> list[Measure]:
        """How long the exclusive lock was held, and what of it the database took, from the reports."""
        timings = [json.loads(r.output)["timings"] for r in self.ours]
        held = [float(t["lock_ms"]) for t in timings]
        database = [float(t["database_ms"]) for t in timings]
        rest = [h - d for h, d in zip(held, database, strict=True)]
        return [
            Measure(f"lock held, {work}", "ms", held, target, {"database_ms": database}),
            Measure(f"lock held, {work}, without the database", "ms", rest),
        ]
