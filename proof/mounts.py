"""Mounts made for one case and released whatever happens, and file systems on which room can be taken and given."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from proof.scene import run

PATIENCE = 100
"""Tries to unmount, a tenth of a second apart: whoever was killed may still have something open."""

PLENTY = 192 << 20


class CannotMountError(Exception):
    """Something cannot be mounted here; says why in a few words."""


@contextmanager
def mounted(command: Sequence[str | Path], at: Path) -> Iterator[Path]:
    """Run a command that mounts something on a directory, which is its last argument; unmounted in the end."""
    at.mkdir(parents=True, exist_ok=True)
    must([*command, at])
    try:
        yield at
    finally:
        unmount(at)


def unmount(at: Path) -> None:
    """Take away what was mounted last on exactly this directory."""
    said = ""
    for _ in range(PATIENCE):
        done = run(["umount", str(at)])
        if done.returncode == 0:
            return
        said = done.stderr.strip()
        time.sleep(0.1)
    raise RuntimeError(f"{at} stays mounted: {said}")


def must(command: Sequence[str | Path]) -> str:
    """Run a command that must succeed, and return what it said; CannotMountError if it does not."""
    name = str(command[0])
    if os.geteuid():
        raise CannotMountError("needs root")
    if shutil.which(name) is None:
        raise CannotMountError(f"{name} is not installed")
    done = run([str(word) for word in command])
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[0]
        raise CannotMountError(f"{name}: {said.replace(str(command[-1]), 'the directory')}")
    return done.stdout


@contextmanager
def tmpfs(at: Path) -> Iterator[Path]:
    """A file system in memory."""
    with mounted(["mount", "-t", "tmpfs", "-o", f"size={PLENTY},mode=755", "none"], at):
        yield at


@contextmanager
def overlay(lower: Path, upper: Path, at: Path, *below: Path) -> Iterator[Path]:
    """Layers, as in a container's root: `lower`, and what is `below` it, is only read, `upper` is where changes go."""
    work = upper.with_name(f"{upper.name}-work")
    for directory in (lower, upper, work):
        directory.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={':'.join(map(str, (lower, *below)))},upperdir={upper},workdir={work}"
    with mounted(["mount", "-t", "overlay", "-o", options, "overlay"], at):
        yield at


@contextmanager
def loop(image: Path, make: Sequence[str], at: Path) -> Iterator[Path]:
    """A file system in a sparse file; the loop device goes with the mount."""
    image.parent.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(256 << 20)
    must([*make, image])
    with mounted(["mount", "-o", "loop", image], at):
        yield at


class Limit(Protocol):
    """A file system whose room is in our hands; `unit` is what is counted."""

    unit: str

    def tighten(self, left: int) -> None:
        """Leave room for so many units, and no more."""

    def loosen(self) -> None:
        """Give all room back."""


class MemoryBlocks:
    """Pages of a tmpfs."""

    unit = "blocks"

    def __init__(self, at: Path) -> None:
        self.at = at

    def tighten(self, left: int) -> None:
        """Make it as large as what is in it, and so much more; again if more came meanwhile."""
        _remount(self.at, lambda s: f"size={max(1, s.f_blocks - s.f_bfree + left) * s.f_frsize}")

    def loosen(self) -> None:
        """Make it large again."""
        must(["mount", "-o", f"remount,size={PLENTY}", self.at])


def _remount(at: Path, option: Callable[[os.statvfs_result], str]) -> None:
    """Change a mount by what is in it; once more if it has grown meanwhile, so that the kernel refuses."""
    for _ in range(PATIENCE):
        with suppress(CannotMountError):
            must(["mount", "-o", f"remount,{option(os.statvfs(at))}", at])
            return
    raise CannotMountError("it grows too fast")


class MemoryInodes:
    """Inodes of a tmpfs."""

    unit = "inodes"

    def __init__(self, at: Path) -> None:
        self.at = at

    def tighten(self, left: int) -> None:
        """Allow as many as there are, and so many more."""
        _remount(self.at, lambda s: f"nr_inodes={s.f_files - s.f_ffree + left}")

    def loosen(self) -> None:
        """Allow many again."""
        must(["mount", "-o", "remount,nr_inodes=100000", self.at])


class Filled:
    """Blocks of a real file system, taken by a large file."""

    unit = "blocks"

    def __init__(self, at: Path) -> None:
        self.at = at
        self.ballast = at / "ballast"

    def tighten(self, left: int) -> None:
        """Let the large file have all but so many blocks."""
        os.sync()
        for _ in range(4):  # the map of the file's extents takes some blocks itself
            status = os.statvfs(self.at)
            excess = (status.f_bavail - left) * status.f_frsize
            size = self.ballast.stat().st_size if self.ballast.exists() else 0
            if excess > 0:
                run(["fallocate", "-l", str(size + excess), str(self.ballast)])
            elif excess < 0:
                os.truncate(self.ballast, max(0, size + excess))

    def loosen(self) -> None:
        """Take the large file away."""
        self.ballast.unlink(missing_ok=True)


class Quota:
    """Kilobytes of a btrfs subvolume."""

    unit = "KB"

    def __init__(self, at: Path) -> None:
        self.at = at
        self.group = ""

    def tighten(self, left: int) -> None:
        """Limit it to what it holds, and so much more."""
        must(["btrfs", "filesystem", "sync", self.at])
        lines = must(["btrfs", "qgroup", "show", "--raw", "-f", self.at]).splitlines()
        self.group, used = next(line for line in lines if line.startswith("0/")).split()[:2]
        must(["btrfs", "qgroup", "limit", str(int(used) + (left << 10)), self.group, self.at.parent])

    def loosen(self) -> None:
        """Have no limit; asked of the file system, as the subvolume may have no room even for that."""
        must(["btrfs", "qgroup", "limit", "none", self.group, self.at.parent])


@contextmanager
def subvolume(room: Path) -> Iterator[Path]:
    """A btrfs subvolume with a quota."""
    with loop(room / "image", ["mkfs.btrfs", "-q", "-f"], room / "at") as at:
        must(["btrfs", "quota", "enable", at])
        must(["btrfs", "subvolume", "create", at / "volume"])
        yield at / "volume"


@contextmanager
def folded(room: Path) -> Iterator[Path]:
    """A directory of an ext4 in which names that differ only in case are one."""
    with ExitStack() as held:
        try:
            at = held.enter_context(loop(room / "image", ["mkfs.ext4", "-q", "-O", "casefold"], room / "at"))
        except CannotMountError:
            raise CannotMountError("no case-insensitive ext4 here (the kernel needs CONFIG_UNICODE)") from None
        (at / "folded").mkdir()
        must(["chattr", "+F", at / "folded"])
        yield at / "folded"
