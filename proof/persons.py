"""Other users, by number, what a command does when they run it, and what a refusal must look like."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from proof.report import Count
from proof.scene import Scene, environment
from proof.world import SECOND, STATE, snapshot

GROUP = 4000

Words: TypeAlias = list[str | Path]
Case: TypeAlias = Callable[[Scene], Count]

_PAST = "SELECT id, state, reason, undoes, undo, message FROM tx WHERE id IS NOT NULL ORDER BY id"


@dataclass(frozen=True)
class Person:
    """Somebody with a user number of his own, who needs no account."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    umask: int = 0o022

    @property
    def options(self) -> dict[str, Any]:
        """What makes `subprocess` run something as this person."""
        return {"user": self.uid, "group": self.gid, "extra_groups": self.groups, "umask": self.umask, "cwd": "/"}

    def run(self, scene: Scene, root: Path, *words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        """Run `shipway -p ROOT …` as this person."""
        return scene.run("-p", root, *words, **self.options, env=environment(HOME="/"), **more)

    def with_umask(self, umask: int) -> Person:
        """The same person, of other habits."""
        return replace(self, umask=umask)

    def own(self, *trees: Path) -> None:
        """Give everything in some trees to this person."""
        for path in (each for tree in trees for each in (tree, *tree.rglob("*"))):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


ROOT = Person("root", 0, 0)
OWNER = Person("the owner", 4001, 4001)
ANNA = Person("A", 4001, 4001, (GROUP,), 0o077)
BERT = Person("B", 4002, 4002, (GROUP,), 0o077)
STRANGER = Person("a stranger", 4003, 4003)


def install(name: str, number: int, stage: Path, *more: str) -> Words:
    """The words of a merge."""
    return ["merge", stage, "--name", name, "--version", str(number), "--python", "none", *more]


def unclear(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What is wrong with how a command failed: it must say so in one error, and be no accident of ours."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    if len(errors) != 1 or "Traceback" in done.stderr or done.returncode not in (1, 2, 3, 4):
        return [f"ended with {done.returncode} and no clear error: {done.stderr.strip()[-600:]}"]
    return []


def everything(root: Path) -> dict[str, tuple[object, ...]]:
    """All there is below a prefix, the state directory too, to the nanosecond of its last change."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, directories, files in os.walk(root):
        for name in [".", *directories, *files]:
            path = Path(parent, name)
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns)
    return found


@dataclass
class Guard:
    """Looks at a prefix around commands: each is done right, or refused with nothing changed.

    `verifies` is False where somebody has changed modes himself, which `verify` would tell.
    """

    scene: Scene
    root: Path
    verifies: bool = True
    refused: int = 0
    tries: int = 0

    def right_or_refused(self, who: Person, words: Iterable[str | Path]) -> Iterator[str]:
        """What is wrong with a command: neither done, the prefix sound, nor refused clearly, the prefix as before."""
        words = list(words)
        before, said = snapshot(self.root), self.said()
        done = who.run(self.scene, self.root, *words)
        self.tries += 1
        problems = []
        if done.returncode:
            self.refused += 1
            problems += unclear(done)
            if snapshot(self.root) != before or self.said() != said:
                problems.append(f"refused, yet something was changed: {done.stderr.strip()}")
        elif self.verifies:
            checked = who.run(self.scene, self.root, "verify")
            if checked.returncode:
                problems.append(f"verify: {checked.stdout.strip()} {checked.stderr.strip()}")
        yield from (f"{who.name}, {words[0]}: {problem}" for problem in problems)

    def must(self, who: Person, words: Iterable[str | Path]) -> Iterator[str]:
        """The same, of a command that may not be refused."""
        refused = self.refused
        words = list(words)
        yield from self.right_or_refused(who, words)
        if self.refused > refused:
            done = who.run(self.scene, self.root, *words)
            yield f"{who.name}, {words[0]}: refused: {done.stderr.strip()[-400:]}"

    def said(self) -> list[object]:
        """What the record holds, without asking any command: its transactions and its facts."""
        record = self.root / STATE / "state.sqlite"
        if not record.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{record.as_uri()}?mode=ro", uri=True)) as db:
                return [*db.execute(_PAST), *db.execute("SELECT kind, key, value FROM fact")]
        except sqlite3.Error as error:
            return [error]


def tree(path: Path, name: str, number: int) -> Path:
    """A stage with a directory of its own, programs, configuration, and odd modes."""
    files = {f"lib/{name}/a": 0o644, f"lib/{name}/sub/b": 0o600, f"bin/{name}": 0o755, f"etc/{name}.conf": 0o640}
    for file, mode in files.items():
        full = path / file
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(f"{name} {number}\n")
        full.chmod(mode)
        os.utime(full, (SECOND, SECOND))
    return path
