"""Kill a transaction, move or copy the prefix before anybody recovers it, and judge what the next command finds there."""

from __future__ import annotations

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from proof.killing import Moment, impossible, kill, moments, spread
from proof.mounts import CannotMountError, overlay
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.world import DEEDS, World

DEED_NAMES = ("upgrade with swap", "upgrade per file", "several packages", "remove", "undo")
FULL = 6
"""Moments of a deed and a way in the full form."""
QUICK = 2
MODES = ("exchange", "fallback")

Way = Callable[[Scene, Path, Path], contextlib.AbstractContextManager[Path]]
"""From the directory that holds the prefix to the one that holds it then; the second path is a fresh room."""

_turn = count()


@dataclass
class Tally:
    """What is counted of one way."""

    tries: int = 0
    broken: list[str] = field(default_factory=list)


def attack(scene: Scene) -> Iterator[Count]:
    """The most telling deeds, by every way a prefix gets elsewhere."""
    ways = {name: why for name, why in missing(scene).items() if not why}
    counted: dict[str, Tally] = defaultdict(Tally)
    if ways and not impossible():
        for deed in (deed for deed in DEEDS if deed.name in DEED_NAMES):
            room = scene.room("moved")
            _deed(World(scene, deed, room), [*ways], counted)
            leave(room)
    for name, why in missing(scene).items():
        tally, skipped = counted[name], impossible() or why
        yield Count("moved", name, tally.tries, tally.broken, promises="I3 I10", skipped=skipped)


def missing(scene: Scene) -> dict[str, str]:
    """Every way, and why it cannot be gone here (empty if it can)."""
    reasons = dict.fromkeys(WAYS, "")
    for program in ("rsync", "tar"):
        reasons[WITH[program]] = "" if shutil.which(program) else f"{program} is not installed"
    reasons[WITH["overlay"]] = reasons[WITH["overlays"]] = _no_overlay(scene, scene.room("overlay"))
    return reasons


def _deed(world: World, ways: list[str], counted: dict[str, Tally]) -> None:
    """Each way meets its own moments; in the quick form the modes take turns."""
    scene = world.scene
    for mode in MODES:
        world.restore()
        command = world.command("--rename-mode", mode)
        late = after_commit_point(world, moments(command, [world.root]))
        for number, name in enumerate(ways):
            most = scene.times(FULL, QUICK // len(MODES))
            for moment in spread(scene, f"{world.deed.name} {mode} {name} {number}", late, most):
                _try(world, command, moment, name, counted[name])


def after_commit_point(world: World, found: list[Moment]) -> list[Moment]:
    """From shortly before the first rename in the live tree to the end: there the record is new and the disk is not."""
    first = next(moment.position for moment in found if moment.renames_in(world.root))
    return found[max(0, first - 10) :]


def _try(world: World, command: list[str], moment: Moment, name: str, tally: Tally) -> None:
    world.restore()
    if not kill(command, moment):
        return
    tally.tries += 1
    elsewhere = world.room / "elsewhere"
    leave(elsewhere)
    with WAYS[name](world.scene, world.root.parent, elsewhere) as there:
        problems = world.judge(there / world.root.name)
    tally.broken += [f"{world.deed.name} killed at {moment}: {problem}" for problem in problems[:1]]
    leave(elsewhere)


@contextlib.contextmanager
def _copied(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    _must("cp", "-a", here, room)
    yield room


@contextlib.contextmanager
def _synchronised(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    _must("rsync", "-aH", f"{here}/", room)
    yield room


@contextlib.contextmanager
def _unpacked(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    room.mkdir()
    _must("tar", "-C", here, "-cf", room / "archive.tar", ".")
    _must("tar", "-C", room, "-xpf", room / "archive.tar")
    yield room


@contextlib.contextmanager
def _renamed(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    here.rename(room)
    yield room


@contextlib.contextmanager
def _restored(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    _must("cp", "-a", here, room)
    leave(here)
    _must("cp", "-a", room, here)
    yield here


@contextlib.contextmanager
def _layered(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    """The prefix in a lower layer: its hard links part, and its directories cannot be renamed."""
    with overlay(here, room / "upper", room / "merged"):
        yield room / "merged"


@contextlib.contextmanager
def _layered_again(scene: Scene, here: Path, room: Path) -> Iterator[Path]:
    """Recovery in such a layer is killed somewhere; what it left is a lower layer then, too."""
    recover = [scene.shipway, "-p", str(room / "merged" / "prefix"), "recover"]
    with overlay(here, room / "measured", room / "merged"):
        found = moments(recover, [room / "merged"])
    with overlay(here, room / "first", room / "merged"):
        if found:
            kill(recover, scene.chance(f"recovery in a layer {next(_turn)}").choice(found))
    with overlay(room / "first", room / "upper", room / "merged", here):
        yield room / "merged"


def _must(*command: str | Path) -> None:
    done = run([str(word) for word in command])
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")


def _no_overlay(scene: Scene, room: Path) -> str:
    try:
        with _layered(scene, room / "here", room / "layers"):
            return ""
    except CannotMountError as error:
        return f"no overlay can be mounted: {error}"
    finally:
        leave(room)


WITH = {
    "rsync": "rsync -aH",
    "tar": "tar, untar",
    "overlay": "a lower layer of an overlay",
    "overlays": "the same, recovery killed there",
}
WAYS: dict[str, Way] = {
    "cp -a": _copied,
    WITH["rsync"]: _synchronised,
    WITH["tar"]: _unpacked,
    "moved to another path": _renamed,
    "restored in place from a copy": _restored,
    WITH["overlay"]: _layered,
    WITH["overlays"]: _layered_again,
}
