"""The same on every file system, or a refusal before anything is touched.

Deeds on overlays, tmpfs, bind mounts and FUSE, undisturbed and killed; mounts inside the prefix; no room left; names and paths at
the limits.  Everything mounted is unmounted in the end.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from proof.grounds import GROUNDS, world_on
from proof.mounts import CannotMountError, folded, mounted
from proof.report import Count
from proof.scene import Scene, environment, leave, run
from proof.shortage import shortages
from proof.world import DEEDS, STATE, Deed, World, make_tree, snapshot

NAME = "filesystems"
PATH_MAX = 4096
DEEPEST = 128

LONG = ("n" * 255, os.fsdecode(b"\xff\xfe" * 127 + b"x"), "ä" * 127)
LONG_NAMES = {f"share/{name}/{name}": "1\n" for name in LONG} | {f"share/tool/{name}": "1\n" for name in LONG}
LONG_NEW = dict.fromkeys(LONG_NAMES, "2\n")


def attack(scene: Scene) -> Iterable[Count]:
    """Every ground, every obstacle, every limit."""
    for ground in GROUNDS:
        yield _on_ground(scene, ground)
    yield from _mount_points(scene)
    yield from shortages(scene)
    yield _folded_names(scene)
    yield _long_names(scene)
    yield from _long_trees(scene)


# -- grounds -------------------------------------------------------------------------------------------------------


def _on_ground(scene: Scene, ground: str) -> Count:
    """The cycle on one ground, undisturbed and killed at random moments."""
    broken, tries = [], 0
    for deed in scene.choose(DEEDS, 4):
        try:
            with world_on(ground, scene, deed) as world:
                for found in _tries(scene, ground, world):
                    tries += 1
                    broken += [f"{deed.name}, {problem}" for problem in found]
        except CannotMountError as error:
            return Count(NAME, ground, 0, promises="I1 I2 I3 I10", skipped=str(error))
    return Count(NAME, ground, tries, broken, "I1 I2 I3 I10")


def _tries(scene: Scene, ground: str, world: World) -> Iterator[list[str]]:
    started = time.monotonic()
    yield _undisturbed(world)
    seconds = time.monotonic() - started
    chance = scene.chance(f"{ground} {world.deed.name}")
    for _ in range(scene.times(5, 2)):
        world.restore()
        moment = chance.uniform(0, seconds)
        _kill(world.command(), moment)
        yield [f"killed after {moment:.3f} s: {problem}" for problem in world.judge()]


def _undisturbed(world: World) -> list[str]:
    done = run(world.command())
    if done.returncode:
        return [f"fails: {done.stderr.strip()[-300:]}"]
    found = [] if snapshot(world.root) == world.after else ["not the new state"]
    return found + world.judge()


def _kill(command: Sequence[str], moment: float) -> None:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment()) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.kill()


# -- mounts inside the prefix --------------------------------------------------------------------------------------

PLACES = ("lib/site/pkg", "lib/site/pkg/data", "share/tool")
MOVING = ("upgrade with swap", "remove", "undo")


def _mount_points(scene: Scene) -> Iterator[Count]:
    """A directory of a package that is a mount point: of this very file system, or of another."""
    yield _obstructed(scene, "package directory bound to itself", bound=True)
    yield _obstructed(scene, "package directory with a tmpfs on it", bound=False)


def _obstructed(scene: Scene, case: str, *, bound: bool) -> Count:
    broken, tries = [], 0
    for deed in (deed for deed in DEEDS if deed.name in MOVING):
        room = scene.room("obstructed")
        try:
            world = World(scene, deed, room)
            for place in PLACES:
                tries += 1
                found = _behind(world, world.root / place, bound=bound)
                broken += [f"{deed.name}, {place}: {problem}" for problem in found]
                world.restore()
        except CannotMountError as error:
            return Count(NAME, case, 0, promises="I3 I9", skipped=str(error))
        finally:
            leave(room)
    return Count(NAME, case, tries, broken, "I3 I9")


def _behind(world: World, place: Path, *, bound: bool) -> list[str]:
    """Refused in one sentence with nothing touched, and as always when the mount is gone.

    Where the mount hides all that would change in it, what is hidden is left alone, and the rest may go on.
    """
    command: list[str | Path] = ["mount", "--bind", place] if bound else ["mount", "-t", "tmpfs", "none"]
    found: list[str] = []
    with mounted(command, place):
        before = snapshot(world.root)
        done = run(world.command())
        hidden = done.returncode == 0 and not bound
        if not hidden:
            found += _refused(done.returncode, done.stderr, "mount")
            found += [] if snapshot(world.root) == before else ["something was touched"]
    if not hidden:
        return found or _undisturbed(world)
    checked = world.scene.run("-p", world.root, "verify")
    return [] if checked.returncode == 0 else [f"verify after the mount was gone: {checked.stdout.strip()[-300:]}"]


def _refused(code: int, said: str, word: str) -> list[str]:
    """What is wrong with a refusal: it has to be one error that names the reason."""
    if code == 0:
        return ["was not refused"]
    clear = "Traceback" not in said and said.count("error: ") == 1 and word in said
    return [] if clear else [f"ended with {code}, not with one clear error: {said.strip()[-300:]}"]


# -- names ---------------------------------------------------------------------------------------------------------


def _folded_names(scene: Scene) -> Count:
    """Two names that differ only in case, where these are one."""
    case = "names that differ only in case, where they are one"
    room = scene.room("folded")
    try:
        with folded(room) as at:
            (at / "prefix").mkdir()
            make_tree(room / "stage", {"lib/Name": "1\n", "lib/name": "2\n"})
            broken = _refusal(scene, at / "prefix", room / "stage", "differ only in case")
        return Count(NAME, case, 1, broken, "I5")
    except CannotMountError as error:
        return Count(NAME, case, 0, promises="I5", skipped=str(error))
    finally:
        leave(room)


def _long_names(scene: Scene) -> Count:
    """Names of 255 bytes, some of which are no text, in every kind of deed that has old and new."""
    broken, tries = [], 0
    stages: Mapping[str, Mapping[str, str]] = {"pkg1": LONG_NAMES, "pkg2": LONG_NEW}
    for deed in (deed for deed in DEEDS if {"pkg1", "pkg2"} == set(deed.stages)):
        room = scene.room("names")
        world = World(scene, Deed(deed.name, stages, deed.command, deed.before), room)
        for found in _tries(scene, "names", world):
            tries += 1
            broken += [f"{deed.name}, {problem}" for problem in found]
        leave(room)
    return Count(NAME, "names of 255 bytes, also no text", tries, broken, "I1 I3")


def _long_trees(scene: Scene) -> Iterator[Count]:
    """Trees as deep, and paths as long, as is allowed; then by one more, and by much more."""
    room = scene.room("trees")
    prefix = room / "prefix"
    longest = (PATH_MAX - len(os.fsencode(prefix / STATE)) - 128) // 256
    fit = {f"{DEEPEST} directories": (DEEPEST, "d"), f"a path of {longest * 256} bytes": (longest, "d" * 255)}
    misfit = {
        f"{DEEPEST + 1} directories": (DEEPEST + 1, "d"),
        "1,900 directories": (1900, "d"),
        "a path too long for the prefix": (longest + 1, "d" * 255),
        "a path too long for the kernel": (20, "d" * 255),
    }
    broken = [f"{what}: {p}" for what, (depth, name) in fit.items() for p in _fits(scene, room, depth, name)]
    yield Count(NAME, "deep trees and long paths that fit", len(fit), broken, "I1 I3")
    broken = [f"{what}: {p}" for what, (depth, name) in misfit.items() for p in _does_not(scene, room, depth, name)]
    yield Count(NAME, "trees too deep, paths too long", len(misfit), broken, "I3")
    run(["rm", "-rf", str(room)])


def _fits(scene: Scene, room: Path, depth: int, name: str) -> list[str]:
    """Installed, replaced, taken back and removed."""
    run(["rm", "-rf", str(room)])
    (room / "prefix").mkdir(parents=True)
    for version in ("1", "2"):
        _nested(room / version, depth, name, version)
        done = _merge(scene, room / "prefix", room / version, version)
        if done.returncode:
            return [f"version {version}: {done.stderr.strip()[-300:]}"]
    for words in (["verify"], ["undo"], ["redo"], ["remove", "pkg"], ["verify"]):
        done = scene.run("-p", room / "prefix", *words)
        if done.returncode:
            return [f"{words[0]}: {(done.stderr or done.stdout).strip()[-300:]}"]
    return ["something is left"] if snapshot(room / "prefix") else []


def _does_not(scene: Scene, room: Path, depth: int, name: str) -> list[str]:
    run(["rm", "-rf", str(room)])
    (room / "prefix").mkdir(parents=True)
    _nested(room / "stage", depth, name, "1")
    return _refusal(scene, room / "prefix", room / "stage", "cannot be sealed")


def _refusal(scene: Scene, prefix: Path, stage: Path, word: str) -> list[str]:
    """Refused in one sentence, nothing touched and nothing left behind."""
    found = []
    for more in ([], ["--move"]):
        done = _merge(scene, prefix, stage, "1", *more)
        found += _refused(done.returncode, done.stderr, word)
        found += ["something was touched"] if snapshot(prefix) else []
        found += [] if stage.is_dir() else ["the staged tree is gone"]
        for name in ("work", "images"):
            left = [n for n in os.listdir(prefix / STATE / name) if n != "CACHEDIR.TAG"]
            found += [f"left in {name}/: {left}"] if left else []
    return found


def _merge(scene: Scene, prefix: Path, stage: Path, version: str, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["merge", str(stage), "--name", "pkg", "--version", version, "--python", "none", *more]
    return scene.run("-p", prefix, *words)


def _nested(root: Path, depth: int, name: str, content: str) -> None:
    """Directories one in another with a file in the last, also where its path is too long to be named at once."""
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here), "w") as file:
        file.write(content)
    os.close(here)
