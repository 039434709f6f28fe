"""File systems in loop files: made, mounted, copied as a power cut would leave them, and let go again in any case."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from proof.scene import Scene, run

MEGABYTE = 1024 * 1024
QUIET_TRIES = 200

_WRITE_NOW = 1 | 2 | 4
"""sync_file_range(2): wait, write, wait."""


@dataclass(frozen=True)
class Kind:
    """A file system: how it is made, how large, whether its renames survive a power cut whole, and its repair."""

    name: str
    make: Sequence[str]
    megabytes: int
    journal: bool = True
    repair: Sequence[str] = ()
    options: str = "defaults"


KINDS = (
    Kind("ext4", ("mkfs.ext4", "-q", "-F"), 64),
    Kind("XFS", ("mkfs.xfs", "-q", "-f"), 300, options="nouuid"),
    Kind("XFS without reflinks", ("mkfs.xfs", "-q", "-f", "-m", "reflink=0"), 300, options="nouuid"),
    Kind("btrfs", ("mkfs.btrfs", "-q", "-f"), 256),
    Kind("ext4 without journal", ("mkfs.ext4", "-q", "-F", "-O", "^has_journal"), 64, False, ("e2fsck", "-fy")),
    Kind("ext2", ("mkfs.ext2", "-q", "-F"), 64, False, ("e2fsck", "-fy")),
)


class DiskError(Exception):
    """A file system could not be made, mounted or repaired."""


def why_not(scene: Scene, kind: Kind) -> str:
    """What is missing here for this kind; empty if it can be used."""
    if os.geteuid():
        return "needs root"
    tools = ("losetup", "mount", "umount", kind.make[0], *kind.repair[:1])
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        return f"{missing[0]} is not installed"
    room = scene.room("probe")
    try:
        with mounted(formatted(kind, room / "image"), kind, room / "mnt"):
            return ""
    except DiskError as error:
        return str(error)


def formatted(kind: Kind, image: Path) -> Path:
    """A sparse file with an empty file system."""
    whole = image.with_suffix(".whole")
    with whole.open("wb") as file:
        file.truncate(kind.megabytes * MEGABYTE)
    try:
        _must([*kind.make, str(whole)])
        _must(["cp", "--sparse=always", str(whole), str(image)])
    finally:
        whole.unlink()
    return image


@contextmanager
def memory(directory: Path) -> Iterator[Path]:
    """A tmpfs where one can be mounted, so that many copies cost no disk; else the directory itself."""
    directory.mkdir(parents=True, exist_ok=True)
    there = not run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(directory)]).returncode
    try:
        yield directory
    finally:
        if there:
            _unmount(directory)


@contextmanager
def attached(image: Path) -> Iterator[str]:
    """The loop device of a file."""
    device = _must(["losetup", "-f", "--show", str(image)]).strip()
    try:
        yield device
    finally:
        run(["losetup", "-d", device])


@contextmanager
def mounted(image: Path, kind: Kind, point: Path) -> Iterator[str]:
    """The file system of a file, repaired if its kind needs that, at a mount point; yields its device."""
    point.mkdir(parents=True, exist_ok=True)
    with attached(image) as device:
        if kind.repair and (code := run([*kind.repair, device]).returncode) > 2:
            raise DiskError(f"{kind.repair[0]} ended with {code}")
        _must(["mount", "-o", kind.options, device, str(point)])
        try:
            yield device
        finally:
            _unmount(point)


def _unmount(point: Path) -> None:
    for _ in range(50):
        if not run(["umount", str(point)]).returncode:
            return
        time.sleep(0.1)
    run(["umount", "-l", str(point)])


def _must(command: Sequence[str]) -> str:
    try:
        done = run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DiskError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise DiskError(f"{command[0]}: {(done.stderr.strip() or str(done.returncode)).splitlines()[-1]}")
    return done.stdout


# -- copies ------------------------------------------------------------------------------------------------------


def copy_sparse(source: Path, target: Path) -> str:
    """Copy what a file holds, holes left out; returns a digest of it."""
    digest = blake2b(digest_size=16)
    with source.open("rb") as origin, target.open("wb") as copy:
        size = os.fstat(origin.fileno()).st_size
        copy.truncate(size)
        for start, end in _extents(origin.fileno(), size):
            data = os.pread(origin.fileno(), end - start, start)
            digest.update(f"{start} ".encode() + data)
            os.pwrite(copy.fileno(), data, start)
    return digest.hexdigest()


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        for at in range(start, end, MEGABYTE):
            yield at, min(end, at + MEGABYTE)


def copy_quiet(image: Path, device: str, target: Path) -> str:
    """The disk at one instant: a copy during which nothing was written to it.  Empty if it never came to rest."""
    for _ in range(QUIET_TRIES):
        before = _written(device)
        digest = copy_sparse(image, target)
        after = _written(device)
        if before == after and not before[1]:
            return digest
        time.sleep(0.005)
    target.unlink()
    return ""


def _written(device: str) -> tuple[int, int]:
    """Sectors written so far, and requests under way."""
    fields = Path("/sys/block", Path(device).name, "stat").read_text().split()
    return int(fields[6]), int(fields[8])


# -- what a kernel may write back on its own ---------------------------------------------------------------------


class WriteBack:
    """Writes some of what is dirty to the disk, as the kernel may at any time, in any order that it likes."""

    def __init__(self, point: Path, device: str, chance: random.Random) -> None:
        self.point = point
        self.device = device
        self.chance = chance
        self._range = ctypes.CDLL(None, use_errno=True).sync_file_range
        self._range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

    def some(self) -> str:
        """One thing at random; returns what it was."""
        deed = self.chance.choice((self.journal, self.blocks, self.blocks, self.files, self.files))
        deed()
        return deed.__name__

    def journal(self) -> None:
        """What fsync of somebody else's file takes along: with a journal, everything in it."""
        with (self.point / "scratch").open("ab") as file:
            file.write(b"x")
            os.fsync(file.fileno())

    def blocks(self) -> None:
        """Single dirty blocks of the device: where there is no journal, inodes, bitmaps, directories."""
        with open(self.device, "rb") as file:
            size = os.lseek(file.fileno(), 0, os.SEEK_END)
            for at in range(0, size, 4096):
                if self.chance.random() < 0.3:
                    self._range(file.fileno(), at, 4096, _WRITE_NOW)

    def files(self) -> None:
        """The content of single files, and of directories."""
        for parent, _, names in os.walk(self.point):
            for path in [parent, *(os.path.join(parent, name) for name in names)]:
                if self.chance.random() < 0.3:
                    self._one(path)

    def _one(self, path: str) -> None:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                self._range(descriptor, 0, 0, _WRITE_NOW)
            finally:
                os.close(descriptor)
