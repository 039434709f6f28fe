"""Install under running importers, round after round, and count what went wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from demo.importers import Fingerprints, Importers, Seen, clean_environment, learn
from demo.stage import Stage, files_below, is_bytecode

NEIGHBOUR = "neighbour.py"


class Method(Protocol):
    """A way to install a staged tree into a prefix.

    `through` is a command line through which importers are run, {prefix} standing for the prefix; () for none.
    """

    name: str
    through: Sequence[str]

    def install(self, stage: Stage, prefix: Path) -> str:
        """Install; returns what the command complained about if it failed, else ""."""
        ...


class Copy:
    """What build systems do: `cp -Rp "$STAGE/." "$PREFIX"`."""

    name = "cp -Rp"
    through: Sequence[str] = ()

    def install(self, stage: Stage, prefix: Path) -> str:
        """Copy the tree over the prefix."""
        return run(["cp", "-Rp", f"{stage.tree}/.", str(prefix)])


@dataclass
class Merge:
    """`shipway merge`, as a user would call it."""

    shipway: Sequence[str]
    name: str = "shipway merge"
    through: Sequence[str] = ()

    @classmethod
    def with_leases(cls, shipway: Sequence[str]) -> Merge:
        """The same, with importers that keep the world still: each import is run by `shipway exec`."""
        return cls(shipway, "the same, importers under exec", [*shipway, "-q", "-p", "{prefix}", "exec", "--"])

    def install(self, stage: Stage, prefix: Path) -> str:
        """Merge the tree; it stays, as with cp."""
        about = ["--name", stage.name, "--version", stage.version, "--python", stage.interpreter.executable]
        return run([*self.shipway, "-q", "-p", str(prefix), "merge", str(stage.tree), *about])


def run(command: Sequence[str]) -> str:
    """Run a command; returns its last words if it failed, else ""."""
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean_environment()
    )
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"{command[0]} ended with {done.returncode}"


@dataclass(frozen=True)
class Race:
    """What is installed over what, and what the importers import meanwhile.

    `before` is in the prefix when a round starts; None stands for an empty one.
    """

    title: str
    before: Stage | None
    after: Stage
    modules: Sequence[str]
    importers: int = 3

    @property
    def stages(self) -> list[Stage]:
        """The versions that importers may find."""
        return [stage for stage in (self.before, self.after) if stage]


@dataclass
class Tally:
    """What came of some rounds; paths are counted once a round."""

    rounds: int = 0
    failed: int = 0
    seen: Seen = field(default_factory=Seen)
    missing: int = 0
    left_over: int = 0
    wrong_after: int = 0
    complaints: list[str] = field(default_factory=list)


class Track:
    """One race run by one method, each round in a prefix of its own below `place`.

    The prefixes stay until the track is closed, all but the last: after a deletion ext4 is slow to create files for a
    minute or more, which would slow down the copy.
    """

    def __init__(self, race: Race, method: Method, place: Path) -> None:
        self.race = race
        self.method = method
        self.place = place
        self.task = place / "task.json"
        self.tally = Tally()
        place.mkdir(parents=True, exist_ok=True)
        self._known = self._learn()

    @property
    def prefix(self) -> Path:
        """The prefix of this round."""
        return self.place / f"prefix-{self.tally.rounds + 1}"

    def close(self) -> Path:
        """Delete all prefixes but the last, whose new name, `prefix`, is returned."""
        last = self.place / f"prefix-{self.tally.rounds}"
        kept = last.rename(self.place / "prefix")
        for old in self.place.glob("prefix-*"):
            shutil.rmtree(old)
        return kept

    def _learn(self) -> list[Fingerprints]:
        interpreter, modules = self.race.after.interpreter, self.race.modules
        known = [learn(interpreter, stage.site, modules, self.task) for stage in self.race.stages]
        if broken := [answer for answer in known if isinstance(answer, str)]:
            raise RuntimeError(f"{self.race.title}: {broken[0]}")
        return [answer for answer in known if not isinstance(answer, str)]

    def run_round(self) -> Path:
        """Prepare a prefix, install under importers, look at what came of it; returns the prefix."""
        prefix = self.prefix
        self._prepare(prefix)
        through = [word.format(prefix=prefix) for word in self.method.through]
        with Importers(self.race.after.interpreter, self.task, self.race.importers, through) as importers:
            complaint = self.method.install(self.race.after, prefix)
        self.tally.seen += importers.seen
        if complaint:
            self.tally.failed += 1
            self.tally.complaints.append(complaint)
        self._look(prefix)
        self.tally.rounds += 1
        return prefix

    def _prepare(self, prefix: Path) -> None:
        """A prefix in use: something else lies in it already, and so does the version before."""
        site = prefix / self.race.after.interpreter.site
        site.mkdir(parents=True)
        (site / NEIGHBOUR).write_text("VERSION = 1\n")
        self.task.write_text(json.dumps({"site": str(site), "modules": list(self.race.modules), "known": self._known}))
        if self.race.before and (complaint := self.method.install(self.race.before, prefix)):
            raise RuntimeError(f"{self.method.name}: {complaint}")

    def _look(self, prefix: Path) -> None:
        """Compare the settled prefix with the stage."""
        present = set(files_below(prefix))
        wanted = self.race.after.files()
        old = self.race.before.files() if self.race.before else set()
        self.tally.missing += len(wanted - present)
        self.tally.left_over += sum(not is_bytecode(path) for path in (old - wanted) & present)
        site = prefix / self.race.after.interpreter.site
        found = learn(self.race.after.interpreter, site, self.race.modules, self.place / "probe.json")
        self.tally.wrong_after += found != self._known[-1]
