"""Somebody who takes every lock that he can open in the state directory, and stops himself."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from proof.company import program
from proof.persons import OWNER, ROOT, STRANGER, Case, Person, Words, install, tree
from proof.report import Count
from proof.scene import Scene, environment, leave, run
from proof.world import STATE, snapshot

RECORD = "state.sqlite"
BOUND = 30.0
"""Seconds in which a command that waits for at most two must have ended."""


@dataclass
class Hog:
    """A stopped process that holds locks; `held` says which, by file."""

    scene: Scene
    who: Person
    root: Path
    leave: Sequence[str] = ()
    held: dict[str, list[str]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        command = program(self.scene, "hog", self.root / STATE, *self.leave)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), **self.who.options
        )
        assert self._process.stdout is not None
        self.held = json.loads(self._process.stdout.readline())
        return self

    @property
    def pid(self) -> int:
        """Whom others should name."""
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


QUESTIONS = ("list", "verify", "history", "exec")
ALL = (*QUESTIONS, "merge", "gc", "undo", "recover")


def hogs(scene: Scene) -> Iterator[Case]:
    """The owner himself, root, a stranger; and whoever sits on the record, which everybody may read."""
    yield partial(_hogged, case="the owner holds every lock but the record's", hog=OWNER, leave_out=[RECORD])
    strangers = "a stranger holds every lock that he can open but the record's"
    yield partial(_hogged, case=strangers, hog=STRANGER, leave_out=[RECORD], free=ALL)
    yield partial(_hogged, case="a stranger holds the record's too", hog=STRANGER, free=QUESTIONS)
    if scene.full:
        yield partial(_hogged, case="root holds every lock but the record's", hog=ROOT, leave_out=[RECORD])
        yield partial(_hogged, case="the owner holds the record's too", hog=OWNER)


def _hogged(
    scene: Scene, case: str, hog: Person, leave_out: Sequence[str] = (), *, free: Collection[str] = ()
) -> Count:
    """`free` are commands that nobody may keep waiting.  While the record is held nothing changes; after that who waits goes on."""
    room = scene.room("hogs")
    room.chmod(0o755)
    root = _prepared(scene, room)
    commands = _commands(scene, room)
    broken, codes, longest, waiter = [], list[int](), 0.0, None
    before = _state(root)
    with Hog(scene, hog, root, leave_out) as holder:
        for words in commands:
            seconds, problem, code = _tried(scene, root, words, holder.pid)
            longest, codes = max(longest, seconds), [*codes, code]
            broken += [problem] if problem else []
            broken += [f"{words[0]} is kept waiting"] if words[0] in free and code == 4 else []
        if not leave_out:
            broken += ["something was changed"] if _state(root) != before else []
            waiter = _waiter(scene, room, root)
            broken += _told(waiter, holder.pid)
    if waiter:
        broken += _ended(waiter)
    broken += _afterwards(scene, room, root)
    figures = {"locks": len(holder.held), "kept waiting": codes.count(4), "longest s": round(longest, 1)}
    leave(room)
    return Count("people", case, len(commands) + bool(waiter), broken, "I3, I8", figures=figures)


def _state(root: Path) -> tuple[object, ...]:
    """What lies in the prefix, and its record byte by byte."""
    return snapshot(root), (root / STATE / RECORD).read_bytes()


def _waiter(scene: Scene, room: Path, root: Path) -> subprocess.Popen[str]:
    """An upgrade by the owner that waits as long as it takes."""
    stage = tree(room / "pkg3", "pkg", 3)
    OWNER.own(stage)
    command = [scene.shipway, "-p", str(root), *map(str, install("pkg", 3, stage))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True, env=environment(HOME="/"), **OWNER.options)


def _told(waiter: subprocess.Popen[str], holder: int) -> list[str]:
    assert waiter.stderr is not None
    line = waiter.stderr.readline()
    return [] if line.startswith("waiting for ") and f"process {holder} " in line else [f"who waits says only: {line}"]


def _ended(waiter: subprocess.Popen[str]) -> list[str]:
    try:
        _, said = waiter.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        waiter.kill()
        return [f"who waited does not go on: {waiter.communicate()[1]}"]
    return [f"who waited ended with {waiter.returncode}: {said}"] if waiter.returncode else []


def _afterwards(scene: Scene, room: Path, root: Path) -> Iterator[str]:
    stage = tree(room / "pkg4", "pkg", 4)
    OWNER.own(stage)
    last: list[Words] = [install("pkg", 4, stage), ["verify"]]
    for words in last:
        done = OWNER.run(scene, root, *words)
        if done.returncode:
            yield f"afterwards, {words[0]}: {done.stdout} {done.stderr}"


def _prepared(scene: Scene, room: Path) -> Path:
    root = room / "prefix"
    root.mkdir()
    OWNER.own(root)
    for number in (1, 2):
        stage = tree(room / f"pkg{number}", "pkg", number)
        OWNER.own(stage)
        done = OWNER.run(scene, root, *install("pkg", number, stage))
        if done.returncode:
            raise RuntimeError(done.stderr)
    return root


def _commands(scene: Scene, room: Path) -> list[Words]:
    """What the owner tries meanwhile: `--wait 2` goes before each."""
    stages = {name: tree(room / name, name, 1) for name in ("pkg", "more")}
    run(["chown", "-R", f"{OWNER.uid}:{OWNER.gid}", *map(str, stages.values()), str(room / "prefix")])
    questions: list[Words] = [["list"], ["verify"], ["history"]]
    changes: list[Words] = [
        install("more", 1, stages["more"]),
        install("pkg", 1, stages["pkg"]),
        ["gc"],
        ["undo"],
        ["recover"],
    ]
    return [*questions, *(changes if scene.full else changes[:3]), ["exec", "--", "true"]]


def _tried(scene: Scene, root: Path, words: Sequence[str | Path], holder: int) -> tuple[float, str, int]:
    started = time.monotonic()
    try:
        done = OWNER.run(scene, root, "--wait", "2", *words, timeout=4 * BOUND)
    except subprocess.TimeoutExpired:
        return 4 * BOUND, f"{words[0]} hangs", -1
    seconds = time.monotonic() - started
    if done.returncode not in (0, 4):
        return seconds, f"{words[0]} ended with {done.returncode} after {seconds:.0f} s: {done.stderr.strip()}", 1
    if done.returncode == 4 and str(holder) not in done.stderr:
        return seconds, f"{words[0]} does not name the holder: {done.stderr.strip()}", 4
    return seconds, f"{words[0]} took {seconds:.0f} s" if seconds > BOUND else "", done.returncode
