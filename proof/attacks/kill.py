"""SIGKILL at the k-th system call that changes the file system, for every kind of transaction; then the next command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from proof.inhabited import Inhabited
from proof.killing import Moment, impossible, kill, moments, spread
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.world import DEEDS, NEW, OLD, STATE, Deed, World, make_tree, snapshot

MODES = ("exchange", "fallback")
FULL = 45
"""Tries of a case in the full form, beside those at its renames in the live tree."""
QUICK = 1
RECOVERED = ("upgrade with swap", "several packages", "undo")
"""Deeds whose recovery is killed as well."""
MADE_AGAIN = ("remove", "several packages")
"""Deeds that take something out which a program makes again before anybody recovers."""
MINE = "a-program's"


@dataclass(frozen=True)
class Case:
    """A command to be killed: how it is arranged again and again, and who judges what is left."""

    name: str
    arrange: Callable[[], None]
    command: Sequence[str]
    places: Sequence[Path]
    judge: Callable[[], list[str]]
    naive: bool = False


def attack(scene: Scene) -> Iterator[Count]:
    """Every deed in both modes, recovery from some of them, `gc` beside programs in old directories, and `cp -Rp`."""
    if why := impossible():
        yield Count("kill", "every deed", 0, promises="I1 I3 I10", skipped=why)
        return
    for deed in DEEDS:
        room = scene.room("kill")
        world = World(scene, deed, room)
        for mode in MODES:
            yield killed(scene, transaction(world, mode))
            if deed.name in RECOVERED:
                yield killed(scene, recovery(world, mode))
            if deed.name in MADE_AGAIN:
                yield killed(scene, made_again(world, mode))
        leave(room)
    yield collection(scene, scene.room("kill"))
    yield killed(scene, naive(scene.room("kill")))
    leave(scene.place / "kill")


def killed(scene: Scene, case: Case) -> Count:
    """Kill a case's command at moments spread over its whole run."""
    case.arrange()
    found = moments(case.command, case.places)
    chosen = choose(scene, case, found)
    tries = [(moment, _try(case, moment)) for moment in chosen]
    broken = [f"{moment}: {problem}" for moment, problems in tries for problem in (problems or [])[:1]]
    return Count(
        "kill", case.name, sum(problems is not None for _, problems in tries), broken,
        promises="I1 I3 I10", figures={"moments": len(found)}, naive=case.naive,
    )  # fmt: skip


def choose(scene: Scene, case: Case, found: Sequence[Moment]) -> list[Moment]:
    """Moments spread evenly over the run, and the renames in the live tree: one of them, or all."""
    most = scene.times(FULL, QUICK * (8 if case.naive else 1))
    live = [moment for moment in found if moment.renames_in(case.places[0])]
    return sorted(
        {*spread(scene, case.name, found, most), *spread(scene, case.name, live or found, most)}, key=_position
    )


def _position(moment: Moment) -> int:
    return moment.position


def _try(case: Case, moment: Moment) -> list[str] | None:
    """What the judge finds; None if the run ended before that moment."""
    case.arrange()
    return case.judge() if kill(case.command, moment) else None


def options(deed: Deed, mode: str) -> list[str]:
    """Global options: how to rename, and one process alone, whose calls are the same each time."""
    return ["--rename-mode", mode, *([] if deed.script else ["--jobs", "1"])]


def transaction(world: World, mode: str) -> Case:
    """The deed itself."""
    command = world.command(*options(world.deed, mode))
    return Case(f"{world.deed.name}, {mode}", world.restore, command, [world.root, world.stages], world.judge)


def recovery(world: World, mode: str) -> Case:
    """`recover` after the deed was killed in the middle of its renames; it must come out new then."""
    deed = world.command(*options(world.deed, mode))
    world.restore()
    inside = [m for m in moments(deed, [world.root]) if m.renames_in(world.root)]
    middle = inside[len(inside) // 2]

    def arrange() -> None:
        world.restore()
        if not kill(deed, middle):
            raise RuntimeError(f"{world.deed.name}: not killed at {middle}")

    def judge() -> list[str]:
        return world.judge() or (
            [] if snapshot(world.root) == world.after else ["past the commit point, and old again"]
        )

    command = [world.scene.shipway, "-p", str(world.root), *options(world.deed, mode)[:2], "recover"]
    return Case(f"recovery of {world.deed.name}, {mode}", arrange, command, [world.root], judge)


def made_again(world: World, mode: str) -> Case:
    """The deed; then a program makes again what is gone, in turn as a directory, a file and a symlink."""
    turn = count()
    gone = [path for path in world.before if path not in world.after]
    topmost = [path for path in gone if os.path.dirname(path) not in gone]

    def judge() -> list[str]:
        how = next(turn) % 3
        made = [path for path in (world.root / name for name in topmost) if not os.path.lexists(path)]
        for path in made:
            _make(path, how)
        healed = world.scene.run("-p", world.root, "recover")
        if healed.returncode:
            return [f"recover ended with {healed.returncode}: {healed.stderr.strip()}"]
        lost = [f"{path.relative_to(world.root)} is lost" for path in made if not _is_made(path, how)]
        for path in made:
            leave(path) if how == 0 else path.unlink(missing_ok=True)
        return lost + world.judge()

    case = transaction(world, mode)
    return replace(case, name=f"{case.name}, made again by a program", judge=judge)


def _make(path: Path, how: int) -> None:
    if how == 0:
        make_tree(path, {"mine": MINE})
    elif how == 1:
        path.write_text(MINE)
    else:
        path.symlink_to(MINE)


def _is_made(path: Path, how: int) -> bool:
    if how == 0:
        return (path / "mine").is_file() and (path / "mine").read_text() == MINE
    if how == 1:
        return path.is_file() and path.read_text() == MINE
    return path.is_symlink() and str(path.readlink()) == MINE


def collection(scene: Scene, room: Path) -> Count:
    """`gc`, while programs write into the directories that it gives up."""
    deed = next(deed for deed in DEEDS if deed.name == "gc")
    world = World(scene, deed, room)
    inhabited = Inhabited(world)
    places = [world.root / STATE]
    try:
        count = killed(
            scene, Case("gc, programs in old directories", inhabited.arrange, world.command(), places, inhabited.judge)
        )
    finally:
        inhabited.leave()
        leave(room)
    return replace(count, promises="I9", figures={**count.figures, "files": inhabited.acknowledged})


def naive(room: Path) -> Case:
    """`cp -Rp` of the new tree over the old one."""
    new, root = make_tree(room / "new", NEW), room / "prefix"
    old = snapshot(make_tree(room / "old", OLD))

    def arrange() -> None:
        leave(root)
        run(["cp", "-Rp", str(room / "old"), str(root)])

    command = ["cp", "-Rp", f"{new}/.", str(root)]
    arrange()
    run(command)
    whole = (old, snapshot(root))

    def judge() -> list[str]:
        return [] if snapshot(root) in whole else ["neither old nor new"]

    return Case("cp -Rp over the old tree", arrange, command, [root], judge, naive=True)
