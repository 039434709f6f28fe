"""Processes that import a package while it is installed, upgraded and removed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.importers import Importers, Interpreter, Seen, learn
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.upgrades import unverified
from proof.world import make_tree

FOLDERS = ("base", "data", "net")
MODULES = 12
FUNCTIONS = 25
PAUSE = 0.05
UPGRADES = 5
NAMES = ["thing", *(f"thing.{folder}.part{number}" for folder in FOLDERS for number in range(0, MODULES, 3))]
NEIGHBOUR = "neighbour.py"


def package(version: int) -> dict[str, str]:
    """Modules that take a while to load, each of which says its version: an import without a lease meets both versions."""
    body = "\n".join(
        f"def function{n}(value):\n    return [{n} * value, 'of version {version}', {{'n': value}}]\n"
        for n in range(FUNCTIONS)
    )
    files = {"thing/__init__.py": f"VERSION = {version}\n__version__ = '{version}'\n{body}"}
    for folder in FOLDERS:
        files[f"thing/{folder}/__init__.py"] = f"VERSION = {version}\n"
        for number in range(MODULES):
            sibling = f"from thing.{folder} import VERSION as NEAR\n"
            files[f"thing/{folder}/part{number}.py"] = (
                f"VERSION = {version}\nfrom time import sleep\nsleep({PAUSE})\n{sibling}{body}"
            )
    return files


@dataclass
class Field:
    """A room with the stages of both versions, and what an undisturbed import of them finds."""

    scene: Scene
    room: Path
    interpreter: Interpreter = field(default_factory=Interpreter.here)
    known: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in (1, 2):
            files = {f"{self.interpreter.site}/{path}": text for path, text in package(number).items()}
            stage = make_tree(self.room / f"stage{number}", files)
            run([sys.executable, "-m", "compileall", "-q", str(stage)])
            self.known.append(learn(self.interpreter, stage / self.interpreter.site, NAMES, self.room / "learn.json"))

    def stage(self, number: int) -> Path:
        """The staged tree of a version."""
        return self.room / f"stage{number}"

    def prefix(self, name: str) -> Path:
        """A new prefix with a neighbour in site-packages."""
        return make_tree(self.room / name, {f"{self.interpreter.site}/{NEIGHBOUR}": "VALUE = 1\n"})

    def merge(self, root: Path, number: int) -> list[str]:
        """The command that installs a version."""
        about = ["--name", "thing", "--version", str(number), "--python", sys.executable]
        return [self.scene.shipway, "-q", "-p", str(root), "merge", str(self.stage(number)), *about]

    def under(self, root: Path) -> list[str]:
        """The command that keeps everything still for another one."""
        return [self.scene.shipway, "-q", "-p", str(root), "exec", "--"]

    def watch(self, root: Path, through: Sequence[str]) -> Importers:
        """Importers at work in a prefix."""
        task = self.room / f"task-{root.name}.json"
        task.write_text(json.dumps({"site": str(root / self.interpreter.site), "modules": NAMES, "known": self.known}))
        return Importers(self.interpreter, task, 3 if self.scene.full else 2, through)


def importers(scene: Scene) -> Iterator[Count]:
    """Install, upgrade and remove under importers: without leases, under leases, and naively."""
    room = scene.room("importers")
    field = Field(scene, room)
    for leased in (False, True):
        tallies = {name: Tally() for name in ("install", "upgrade", "removal")}
        for turn in range(scene.times(6, 1)):
            _life(field, field.prefix(f"prefix-{leased}-{turn}"), tallies, leased=leased)
        for name, tally in tallies.items():
            yield _count(name, tally, leased=leased)
    yield _naive(field, scene.times(12, 6))
    leave(room)


@dataclass
class Tally:
    """What came of one kind of deed."""

    tries: int = 0
    problems: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)


def _life(field: Field, root: Path, tallies: Mapping[str, Tally], *, leased: bool) -> None:
    """One package's life: it comes, is replaced to and fro, and goes, each under importers of its own."""
    through = field.under(root) if leased else ()
    removal = [field.scene.shipway, "-q", "-p", str(root), "remove", "thing"]
    run([field.scene.shipway, "-p", str(root), "list"])
    to_and_fro = [field.merge(root, 2 - n % 2) for n in range(UPGRADES)]
    deeds = {"install": [field.merge(root, 1)], "upgrade": to_and_fro, "removal": [removal]}
    for name, commands in deeds.items():
        with field.watch(root, through) as watching:
            done = [run(command) for command in commands]
        tally = tallies[name]
        tally.tries += len(done)
        tally.seen += watching.seen
        tally.problems += [f"the command failed: {each.stderr.strip()}" for each in done if each.returncode]
        tally.problems += unverified(field.scene, root)
    tallies["removal"].problems += _left(field, root)


def _left(field: Field, root: Path) -> list[str]:
    """What is left of the package once late bytecode was collected too."""
    field.scene.run("-p", root, "gc")
    site = root / field.interpreter.site
    return [f"left after removal: {path.relative_to(site)}" for path in sorted(site.glob("thing/**/*"))][:3]


def _count(name: str, tally: Tally, *, leased: bool) -> Count:
    """Without a lease an import may meet both versions, or the package's end; never half a new package."""
    seen, problems = tally.seen, list(tally.problems)
    figures = {kind: getattr(seen, kind) for kind in ("absent", "whole", "mixed", "broken")}
    if leased or name == "install":
        problems += [f"{seen.broken} broken imports: {seen.reasons[:2]}"] if seen.broken else []
        problems += [f"{seen.mixed} imports met both versions"] if seen.mixed else []
    case = f"importers, {name}" + (", under exec" if leased else "")
    return Count("races", case, tally.tries, problems, "I2, I6, I8" if leased else "I1, I6", figures=figures)


def _naive(field: Field, times: int) -> Count:
    broken = []
    seen = Seen()
    for turn in range(times):
        root = field.prefix(f"prefix-naive-{turn}")
        with field.watch(root, ()) as watching:
            done = run(["cp", "-Rp", f"{field.stage(1)}/.", str(root)])
        seen += watching.seen
        if done.returncode or watching.seen.broken:
            broken.append(f"round {turn}: {watching.seen.broken} broken imports, cp: {done.stderr.strip()[:200]}")
    figures = {"absent": seen.absent, "whole": seen.whole, "broken": seen.broken}
    return Count("races", "importers, cp -Rp", times, broken, "I1, I6", figures=figures, naive=True)
