"""What stands in a commit's way: immutable files and directories, read-only ones, those of another owner."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proof.persons import OWNER, ROOT, Case, Guard, Person, Words, install, tree
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.world import STATE


@dataclass(frozen=True)
class Obstacle:
    """Something that is done to a prefix before a command, and taken back after it."""

    name: str
    who: Person
    put: Callable[[Path], None]
    away: Callable[[Path], None]


def obstacles(scene: Scene) -> Iterator[Case]:
    """Each obstacle against an upgrade, a removal, an undo and a new package."""
    for who in (ROOT, OWNER)[: scene.times(2, 1)]:
        case = f"immutable files and directories, {who.name} commits"
        if _can_be_immutable(scene):
            yield partial(_tried, case=case, chosen=list(_immutable(who)))
        else:
            yield partial(_skipped, case=case)
    yield partial(_tried, case="read-only directories", chosen=list(_read_only()))
    yield partial(_tried, case="files of another owner in the way", chosen=list(_foreign()))


def _skipped(scene: Scene, case: str) -> Count:
    return Count("people", case, 0, skipped=f"no chattr +i on the file system of {scene.place}")


def _can_be_immutable(scene: Scene) -> bool:
    room = scene.room("immutable")
    file = room / "file"
    file.touch()
    try:
        return run(["chattr", "+i", str(file)]).returncode == 0
    except FileNotFoundError:
        return False
    finally:
        run(["chattr", "-i", str(file)])
        leave(room)


ROOTS_OWN = "root's own\n"
PLACES = ("bin/pkg", "lib/pkg/a", "lib/pkg/sub", "lib/pkg", "lib", "bin", "etc/pkg.conf")


def _immutable(who: Person) -> Iterator[Obstacle]:
    for place in PLACES:
        yield Obstacle(f"{place} is immutable", who, _chattr("+i", place), _set_free)
    for place in ("lib", "bin"):
        yield Obstacle(f"{place} is append-only", who, _chattr("+a", place), _set_free)


def _chattr(flag: str, place: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        if (root / place).exists():
            run(["chattr", flag, str(root / place)])

    return change


def _set_free(root: Path) -> None:
    """Everywhere: what was immutable may lie in an undo area by now."""
    run(["chattr", "-R", "-i", "-a", str(root)])


def _read_only() -> Iterator[Obstacle]:
    for who in (OWNER, ROOT):
        for place in ("lib/pkg/sub", "lib/pkg", "lib", "bin", "."):
            yield Obstacle(f"{place} is read-only", who, _chmod(0o555, place), _chmod(0o755, place))


def _chmod(mode: int, place: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        if (root / place).exists():
            (root / place).chmod(mode)

    return change


def _foreign() -> Iterator[Obstacle]:
    for place in PLACES:
        yield Obstacle(f"{place} is root's", OWNER, _chown(0, place), _chown(OWNER.uid, place))
    bytecode = "lib/pkg/__pycache__/a.cpython-311.pyc"
    yield Obstacle("root's bytecode", OWNER, _put(bytecode, 0o644), _removed(bytecode))
    for place, mode in (("bin/new", 0o644), ("bin/new", 0o600), ("lib/new/a", 0o644), ("lib/new/a", 0o600)):
        yield Obstacle(f"root has put {place} there, {mode:o}", OWNER, _put(place, mode), _removed(place))


def _chown(uid: int, place: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        if os.path.lexists(root / place):
            os.chown(root / place, uid, uid)

    return change


def _put(place: str, mode: int) -> Callable[[Path], None]:
    def put(root: Path) -> None:
        (root / place).parent.mkdir(exist_ok=True)
        (root / place).write_text(ROOTS_OWN)
        (root / place).chmod(mode)

    return put


def _removed(place: str) -> Callable[[Path], None]:
    def away(root: Path) -> None:
        if (root / place).exists() and (root / place).read_text() == ROOTS_OWN:
            (root / place).unlink()

    return away


def _tried(scene: Scene, case: str, chosen: Sequence[Obstacle]) -> Count:
    broken: list[str] = []
    tries = refused = 0
    for obstacle in scene.choose(chosen, 3):
        for number, words in enumerate(scene.choose(range(4), 1)):
            room = scene.room(f"obstacle{number}")
            guard, command = _arranged(scene, room, obstacle.who, words)
            obstacle.put(guard.root)
            problems = list(guard.right_or_refused(obstacle.who, command))
            problems += _collected(scene, guard.root, obstacle.who)
            obstacle.away(guard.root)
            checked = obstacle.who.run(scene, guard.root, "verify")
            problems += [f"verify: {checked.stdout} {checked.stderr}"] if checked.returncode else []
            problems += [*_collected(scene, guard.root, ROOT), *_left(guard.root)]
            broken += [f"{obstacle.name}: {problem}" for problem in problems]
            tries, refused = tries + 1, refused + guard.refused
            leave(room)
    return Count("people", case, tries, broken, "I3, I9", figures={"refused": refused, "done right": tries - refused})


def _collected(scene: Scene, root: Path, who: Person) -> Iterator[str]:
    """What is wrong with giving up what was taken out: whatever lies in there, no command may fail for it."""
    for words in (["gc", "--keep", "0"], ["list"]):
        done = who.run(scene, root, *words)
        if done.returncode:
            yield f"{who.name}, {words[0]} ended with {done.returncode}: {done.stderr.strip()[-400:]}"


def _left(root: Path) -> Iterator[str]:
    """What is still there when nothing is in the way any longer."""
    for part in ("work", "undo"):
        yield from (f"left in {part}/: {name}" for name in sorted(os.listdir(root / STATE / part)))


def _arranged(scene: Scene, room: Path, who: Person, kind: int) -> tuple[Guard, Words]:
    """A prefix with two versions in its history; the command is an upgrade, a removal, an undo or a new package."""
    room.chmod(0o755)
    root = room / "prefix"
    root.mkdir()
    stages = [tree(room / f"pkg{number}", "pkg", number) for number in (1, 2, 3)]
    new = tree(room / "new", "new", 1)
    who.own(root, *stages, new)
    guard = Guard(scene, root, verifies=False)
    for number in (1, 2):
        done = who.run(scene, root, *install("pkg", number, stages[number - 1]))
        if done.returncode:
            raise RuntimeError(done.stderr)
    beside = install("new", 1, new, "--on-conflict", "backup")
    commands: list[Words] = [install("pkg", 3, stages[2]), ["remove", "pkg"], ["undo"], beside]
    return guard, commands[kind]
