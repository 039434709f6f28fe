"""A world of its own for one process and what it starts: namespaces(7) and mounts, by the calls themselves.

Each function is one step of going apart, for a process that has a single thread and that will never come back.  All raise
OSError as the kernel gives it; ENOSYS where the C library or the kernel lacks the call.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

from shipway.fs import libc

MOUNTS = 0x00020000
IPC = 0x08000000
USERS = 0x10000000
PROCESSES = 0x20000000
NETWORK = 0x40000000

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_RDONLY = 1
_ATTRIBUTES = struct.Struct("=QQQQ")

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_IFREQ = struct.Struct("16sh22x")


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds (unshare(2)); that of processes takes effect for children."""
    _checked(libc.unshare, flags)


def keep_user(uid: int, gid: int) -> None:
    """In a new user namespace: be known there by the same numbers as outside (user_namespaces(7))."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def keep_mounts_private() -> None:
    """No mount made from now on is seen by others, nor theirs by us."""
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")


def bind(source: str, point: str) -> None:
    """Let `point` show what lies at `source`, with all that is mounted below it."""
    _mount(source, point, "", _MS_BIND | _MS_REC, "")


def make_read_only(path: str) -> None:
    """Nothing can be written to any mount at or below `path` (mount_setattr(2), since Linux 5.12)."""
    _set_attributes(path, _AT_RECURSIVE, _ATTRIBUTES.pack(_RDONLY, 0, 0, 0))


def make_writable(path: str) -> None:
    """Undo that for one mount."""
    _set_attributes(path, 0, _ATTRIBUTES.pack(0, _RDONLY, 0, 0))


def mount_overlay(point: str, lower: Sequence[str], upper: str, work: str) -> None:
    """Show at `point` the directories `lower`, the first on top, and over them `upper`, which takes all that is written.

    Bookkeeping goes into attributes that any user may set (`userxattr`, since Linux 5.11); on older kernels only root can mount
    overlays, and does without.  Paths are given as descriptors, so that they may hold commas and colons and be of any length.
    """
    opened = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in (upper, work, *lower)]
    try:
        top, scratch, *below = (f"/proc/self/fd/{descriptor}" for descriptor in opened)
        options = f"lowerdir={':'.join(below)},upperdir={top},workdir={scratch}"
        try:
            _mount("overlay", point, "overlay", 0, f"{options},userxattr")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            _mount("overlay", point, "overlay", 0, options)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def mount_processes() -> None:
    """Let /proc show the processes of this namespace."""
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "")


def raise_loopback() -> None:
    """Bring up the one interface that a new network namespace has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        flags = _IFREQ.unpack(answer)[1] | _IFF_UP
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags))


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent is gone (PR_SET_CHILD_SUBREAPER, prctl(2))."""
    if libc.prctl is not None:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)


def _mount(source: str, point: str, kind: str, flags: int, options: str) -> None:
    _checked(libc.mount, *(os.fsencode(word) for word in (source, point, kind)), flags, os.fsencode(options))


def _set_attributes(path: str, flags: int, attributes: bytes) -> None:
    _checked(libc.mount_setattr, _AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes))


def _checked(function: libc.Function | None, *arguments: object) -> None:
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(*arguments):
        code = libc.last_error()
        raise OSError(code, os.strerror(code))
