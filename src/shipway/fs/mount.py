"""Mounts: which lie inside a tree, what file system a path is on, and what it does with locks and letter case."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from shipway.fs import native

_LOCAL_LOCKS = {
    "localflock": "locks are kept on this host alone (mounted with localflock)",
    "localflocks": "locks are kept on this host alone (mounted with localflocks)",
    "noflock": "there are no locks at all (mounted with noflock)",
    "nolock": "locks are kept on this host alone (mounted with nolock)",
    "local_lock=flock": "locks are kept on this host alone (mounted with local_lock=flock)",
    "local_lock=all": "locks are kept on this host alone (mounted with local_lock=all)",
}
_FOLDING_TYPES = frozenset({"vfat", "msdos", "exfat", "ntfs", "apfs", "hfsplus"})


class MountInfo(NamedTuple):
    """A mount: type of the file system ("ext4"), options of mount and file system, mount point."""

    type: str
    options: tuple[str, ...]
    point: str


class _Line(NamedTuple):
    number: int
    device: tuple[int, int]
    mount: MountInfo


def mount_points(under: str) -> list[str]:
    """Every mount point strictly below `under`, sorted, written as paths that begin with `under`."""
    real = os.path.realpath(under).rstrip("/") + "/"
    below = {point[len(real) :] for _, _, (_, _, point) in _read() if point.startswith(real)}
    return sorted(os.path.join(under, point) for point in below if point)


def file_system(path: str) -> MountInfo:
    """The mount that `path`, or its nearest existing parent, lies on.  Type "unknown" where the kernel doesn't tell."""
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path) or "/"
    line = _line_of(_page(path))
    return line.mount if line else MountInfo("unknown", (), "")


def kernel_number(path: str) -> str:
    """Device and inode of a file as the kernel's list of locks has them (proc(5), /proc/locks).

    stat(2) tells others on btrfs and overlays.  The file is not opened: to close it would drop this process's POSIX locks.
    """
    page, status = _page(path), os.stat(path, follow_symlinks=False)
    line = _line_of(page)
    major, minor = line.device if line else (os.major(status.st_dev), os.minor(status.st_dev))
    return f"{major:02x}:{minor:02x}:{page.get('ino', status.st_ino)}"


def lock_scope(path: str) -> str:
    """Why flock does not reach the other hosts of a shared file system; "" if nothing says so."""
    mount = file_system(path)
    if mount.type == "lustre" and not {"flock", "localflock"} & set(mount.options):
        return "there are no locks at all (Lustre mounted without flock)"
    for option in mount.options:
        if option in _LOCAL_LOCKS:
            return _LOCAL_LOCKS[option]
    return ""


def syncfs_reports_errors(path: str) -> bool:
    """Whether syncfs(2) can be relied on there: since kernel 5.8 it reports failed writes, FUSE may not even write."""
    major, minor = (int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    return (major, minor) >= (5, 8) and not file_system(path).type.startswith("fuse")


def folds_case(directory: str) -> bool:
    """Whether names in `directory` that differ only in case are one.

    Told by its casefold flag, else by looking up a name that is there in the other case, else (no such
    name) by the type of the file system.
    """
    if (native.inode_flags(directory) or 0) & native.CASEFOLD:
        return True
    names = set(os.listdir(directory))
    for name in names:
        other = name.swapcase()
        if other != name and other not in names:
            return os.path.lexists(os.path.join(directory, other))
    return not names and file_system(directory).type in _FOLDING_TYPES


def _page(path: str) -> dict[str, int]:
    """What the page of a descriptor (proc(5), fdinfo) tells of its file: `mnt_id`, and since Linux 5.14 `ino`."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="utf-8") as lines:
            fields = dict(line.split(":", 1) for line in lines)
    except PermissionError:
        return {}
    finally:
        os.close(descriptor)
    return {name: int(fields[name]) for name in ("mnt_id", "ino") if name in fields}


def _line_of(page: dict[str, int]) -> _Line | None:
    return next((line for line in _read() if line.number == page.get("mnt_id")), None)


def _read() -> list[_Line]:
    """/proc/self/mountinfo (proc(5)), later mounts last."""
    with open("/proc/self/mountinfo", "rb") as lines:
        return [_parse(line) for line in lines]


def _parse(line: bytes) -> _Line:
    before, _, after = line.partition(b" - ")
    fields, tail = before.split(b" "), after.rstrip(b"\n").split(b" ")
    options = tuple(_unescape(option) for option in (fields[5] + b"," + tail[-1]).split(b","))
    major, _, minor = fields[2].partition(b":")
    return _Line(int(fields[0]), (int(major), int(minor)), MountInfo(_unescape(tail[0]), options, _unescape(fields[4])))


def _unescape(text: bytes) -> str:
    r"""Blanks, tabs, newlines and backslashes stand as \040 and so on."""
    first, *rest = text.split(b"\\")
    parts = [first] + [bytes([int(part[:3], 8)]) + part[3:] for part in rest]
    return os.fsdecode(b"".join(parts))
