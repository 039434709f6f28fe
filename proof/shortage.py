"""Disks, inodes and quotas that run out: with so much left at the start, or at a random moment under way."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from proof.mounts import (
    CannotMountError,
    Filled,
    Limit,
    MemoryBlocks,
    MemoryInodes,
    Quota,
    loop,
    subvolume,
    tmpfs,
)
from proof.report import Count
from proof.scene import TIMEOUT, Scene, environment, leave, run
from proof.world import DEEDS, STATE, Deed, World, snapshot

ATTACK = "filesystems"
WANTED = ("install", "upgrade with swap", "several packages", "remove", "undo")
"""The deeds that are tried: all ways of needing room, and all of giving it back."""


class Shortage(NamedTuple):
    """What runs out: where, how, and how much is left at first, from nothing to more than is needed."""

    name: str
    ground: Callable[[Path], AbstractContextManager[Path]]
    limit: Callable[[Path], Limit]
    left: Sequence[int]


def _memory(room: Path) -> AbstractContextManager[Path]:
    return tmpfs(room / "at")


def _ext4(room: Path) -> AbstractContextManager[Path]:
    return loop(room / "image", ["mkfs.ext4", "-q", "-m", "0", "-b", "4096"], room / "at")


BLOCKS = (*range(40), *range(40, 250, 30), *range(250, 340, 6))
"""In blocks of 4096 bytes: a commit wants a megabyte beside what it stages, so most is tried around that."""

INODES = (*range(64), 80, 96, 128, 160)
KILOBYTES = (0, 16, 64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384)

SHORTAGES = (
    Shortage("full disk (tmpfs)", _memory, MemoryBlocks, BLOCKS),
    Shortage("no inodes (tmpfs)", _memory, MemoryInodes, INODES),
    Shortage("full disk (ext4)", _ext4, Filled, BLOCKS[::3]),
    Shortage("quota (btrfs)", subvolume, Quota, KILOBYTES),
)


def shortages(scene: Scene) -> Iterator[Count]:
    """Every shortage at the start of a deed, and each that can come suddenly at a random moment of it."""
    for shortage in SHORTAGES:
        yield _counted(scene, shortage, f"{shortage.name}, so much left", _each_amount)
    for shortage in SHORTAGES[:2]:
        yield _counted(scene, shortage, f"{shortage.name}, at a random moment", _each_moment)


Tries = Callable[[Scene, Shortage, World, Limit], Iterator[list[str]]]


def _counted(scene: Scene, shortage: Shortage, case: str, tries: Tries) -> Count:
    deeds = [deed for deed in DEEDS if deed.name in WANTED]
    broken, count, refused = [], 0, 0
    for deed in scene.choose(deeds, 2):
        try:
            with _limited(scene, deed, shortage) as (world, limit):
                for found in tries(scene, shortage, world, limit):
                    count += 1
                    refused += found[:1] == [REFUSED]
                    broken += [f"{deed.name}, {problem}" for problem in found if problem != REFUSED]
        except CannotMountError as error:
            return Count(ATTACK, case, 0, promises="I1 I3", skipped=str(error))
    figures = {"refused with the old state": refused, "succeeded": count - refused - len(broken)}
    return Count(ATTACK, case, count, broken, "I1 I3", figures=figures)


REFUSED = "refused, as it may"


@contextmanager
def _limited(scene: Scene, deed: Deed, shortage: Shortage) -> Iterator[tuple[World, Limit]]:
    room = scene.room("short")
    try:
        with shortage.ground(room) as at:
            (at / "room").mkdir()
            yield World(scene, deed, at / "room"), shortage.limit(at)
    finally:
        leave(room)


def _each_amount(scene: Scene, shortage: Shortage, world: World, limit: Limit) -> Iterator[list[str]]:
    for left in scene.choose(shortage.left, 10):
        limit.tighten(left)
        done = run(world.command())
        found = _after(world, done.returncode, done.stderr)
        full = _reads(world) if done.returncode else []
        limit.loosen()
        found += full + (_again(world) if done.returncode else []) + _judged(world, done.stderr)
        if done.returncode and not found:
            found = [REFUSED]
        yield [text if text == REFUSED else f"{left} {limit.unit} left: {text}" for text in found]
        world.restore()


def _each_moment(scene: Scene, shortage: Shortage, world: World, limit: Limit) -> Iterator[list[str]]:
    """Let the room run out while a deed is under way; then anybody may ask, and recovery waits for room if it must."""
    chance = scene.chance(f"{shortage.name} {world.deed.name}")
    seconds = _duration(world)
    for _ in range(scene.times(30, 4)):
        moment = chance.uniform(0, seconds)
        code, said = _squeezed(world, limit, moment)
        found = _told(world, code, said)
        limit.loosen()
        if code and snapshot(world.root) == world.before:
            found += _again(world)
        found += _judged(world, said)
        if code and not found:
            found = [REFUSED]
        yield [text if text == REFUSED else f"full after {moment:.3f} s: {text}" for text in found]
        world.restore()


def _duration(world: World) -> float:
    started = time.monotonic()
    run(world.command())
    seconds = time.monotonic() - started
    world.restore()
    return seconds


def _squeezed(world: World, limit: Limit, moment: float) -> tuple[int, str]:
    """Run the deed and take all room away after so many seconds."""
    with subprocess.Popen(
        world.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        time.sleep(moment)
        limit.tighten(0)
        try:
            _, said = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            return -9, "it hangs"
        return process.returncode, said


def _told(world: World, code: int, said: str) -> list[str]:
    """A failure must be told by one error that is no defect of ours; the API raises one that says what is the matter."""
    if code == 0:
        return []
    if world.deed.script:
        last = said.strip().splitlines()[-1:]
        known = any(line.startswith(("OSError: ", "shipway.errors.")) for line in last)
        return [] if known else [f"raised {last}"]
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if "Traceback" in said or "defect of shipway" in said:
        return [f"ended with {code} and a traceback: {said.strip()[-300:]}"]
    return [] if code > 0 and len(errors) == 1 else [f"ended with {code} and no clear error: {said.strip()[-300:]}"]


def _after(world: World, code: int, said: str) -> list[str]:
    """What is wrong before there is room again."""
    wanted = world.before if code else world.after
    state = "not the old state" if code else "not the new state"
    return _told(world, code, said) + ([] if snapshot(world.root) == wanted else [state])


def _reads(world: World) -> list[str]:
    """Questions are answered on a full disk too."""
    listed = world.scene.run("-p", world.root, "list")
    return [] if listed.returncode == 0 else [f"list: {listed.stderr.strip()[-300:]}"]


def _judged(world: World, said: str) -> list[str]:
    """What the judge says, unless the commit was taken back: that stays in the history, which is then neither old nor new."""
    return [] if "was taken back" in said else world.judge()


def _again(world: World) -> list[str]:
    """With room all is well and it goes as always; its staged tree must still be there, and nothing else in work/."""
    left = os.listdir(world.root / STATE / "work")
    checked = world.scene.run("-p", world.root, "verify")
    if left or checked.returncode:
        return [f"left in work/: {left}; verify: {checked.stdout.strip()[-300:]}"]
    done = run(world.command())
    if done.returncode:
        return [f"fails with room too: {done.stderr.strip()[-300:]}"]
    return [] if snapshot(world.root) == world.after else ["with room again, not the new state"]
