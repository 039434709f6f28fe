"""The calls that Python's `os` does not have, by ctypes and ioctl: all that is platform-dependent lies here.

Written for Linux.  Where the C library or the kernel lacks a call, the functions raise
OSError(ENOSYS) or answer "don't know" (None), and the layers above fall back.  On macOS
`renamex_np` (RENAME_SWAP, RENAME_EXCL) would stand behind `rename`, `clonefile` behind `clone`;
there is no syncfs there: fsync each file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NOREPLACE = 1
EXCHANGE = 2

IMMUTABLE = 0x10
APPEND_ONLY = 0x20
MOUNT_ROOT = 0x2000

CASEFOLD = 0x40000000

UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})
"""What kernels and file systems answer to a call, flag or ioctl that they do not know."""

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_STATX_WANTED = 0x7FF | 0x800  # basic stats and birth time
_STATX_BTIME = 0x800
_STATX = struct.Struct("=IIQIIIHxxQQQQqIiqIiqIiqIiIIII")
_STATX_SIZE = 256

_ENCODING = sys.getfilesystemencoding()
_ENCODE_ERRORS = sys.getfilesystemencodeerrors()


def _ioctl_number(direction: str, letter: str, number: int, size: int) -> int:
    """_IOR and _IOW of asm-generic/ioctl.h; powerpc, mips and sparc count the directions otherwise."""
    if os.uname().machine.startswith(("ppc", "mips", "sparc")):
        return {"r": 2, "w": 4}[direction] << 29 | size << 16 | ord(letter) << 8 | number
    return {"r": 2, "w": 1}[direction] << 30 | size << 16 | ord(letter) << 8 | number


_FICLONE = _ioctl_number("w", "\x94", 9, 4)
_FS_IOC_GETFLAGS = _ioctl_number("r", "f", 1, struct.calcsize("l"))


def _encoded(path: str) -> bytes:
    """As os.fsencode, a third of its time; ctypes would cut a path at a null byte."""
    if "\0" in path:
        raise ValueError("embedded null byte")
    return path.encode(_ENCODING, _ENCODE_ERRORS)


def rename(source: str, target: str, flags: int) -> None:
    """renameat2(2) with NOREPLACE or EXCHANGE; EINVAL or ENOSYS where the flag is not to be had."""
    from shipway.fs import libc

    if libc.renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), source, None, target)
    if libc.renameat2(_AT_FDCWD, _encoded(source), _AT_FDCWD, _encoded(target), flags):
        code = libc.last_error()
        raise OSError(code, os.strerror(code), source, None, target)


def syncfs(descriptor: int) -> None:
    """Everything of the descriptor's file system is on disk, or OSError (syncfs(2)).

    Since kernel 5.8 an earlier write-back error is reported, once for each descriptor that was
    open when it happened: open the descriptor before writing.
    """
    from shipway.fs import libc

    if libc.syncfs is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.syncfs(descriptor):
        code = libc.last_error()
        raise OSError(code, os.strerror(code))


class Status(NamedTuple):
    """The part of statx(2) that `os.stat` lacks, and what belongs to it.

    `born` is the time of birth in nanoseconds, 0 if the file system keeps none; `attributes` are the
    bits IMMUTABLE, APPEND_ONLY, MOUNT_ROOT as far as the file system tells them.
    """

    mode: int
    dev: int
    ino: int
    born: int
    attributes: int


def status(path: str) -> Status | None:
    """statx(2) of a path, symlinks not followed; None where there is no statx.  OSError as the OS gives it."""
    return _status(_AT_FDCWD, _encoded(path), _AT_SYMLINK_NOFOLLOW, path)


def descriptor_status(descriptor: int) -> Status | None:
    """The same of an open descriptor."""
    return _status(descriptor, b"", _AT_EMPTY_PATH, None)


def _status(directory: int, name: bytes, flags: int, path: str | None) -> Status | None:
    from shipway.fs import libc

    if libc.statx is None:
        return None
    buffer = libc.buffer(_STATX_SIZE)
    if libc.statx(directory, name, flags, _STATX_WANTED, buffer):
        code = libc.last_error()
        if code == errno.ENOSYS:
            return None
        raise OSError(code, os.strerror(code), path)
    f = _STATX.unpack_from(buffer)
    born = f[14] * 1_000_000_000 + f[15] if f[0] & _STATX_BTIME else 0
    return Status(mode=f[6], dev=os.makedev(f[25], f[26]), ino=f[7], born=born, attributes=f[2])


def inode_flags(path: str) -> int | None:
    """FS_IOC_GETFLAGS of a directory or file (ioctl_iflags(2)); None where the file system keeps none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, struct.pack("l", 0))
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        raise
    finally:
        os.close(descriptor)
    return int(struct.unpack_from("I", answer)[0])


def clone(source: int, target: int) -> None:
    """ioctl_ficlone(2): let the empty file `target` share all data of `source`.

    EOPNOTSUPP where the file system has no reflinks, EXDEV between file systems.
    """
    fcntl.ioctl(target, _FICLONE, source)


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (prctl(2)); nothing elsewhere."""
    from shipway.fs import libc

    if libc.prctl is not None:
        libc.prctl(libc.PR_SET_PDEATHSIG, int(signal.SIGKILL))


def change_mode(descriptor: int, mode: int) -> None:
    """Set the mode of what an O_PATH descriptor stands for, so that no symlink can come in between."""
    os.chmod(f"/proc/self/fd/{descriptor}", mode)


def write_all(descriptor: int, data: bytes | Iterable[bytes]) -> None:
    """Write everything, be it in pieces, where the descriptor stands; write(2) may stop anywhere."""
    if not isinstance(data, bytes):
        for piece in data:
            write_all(descriptor, piece)
        return
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


_CHUNK = 1 << 20
_PIECE = 1 << 16
_PAGE = 1 << 12
_NO_COPY_RANGE = UNSUPPORTED | {errno.EXDEV, errno.EBADF, errno.EPERM, errno.EIO}


def copy_data(source: int, target: int, size: int, blocks: int) -> None:
    """Copy the content of one open file into an empty one; holes stay holes.

    `size` and `blocks` are what fstat said of the source: fewer blocks than bytes mean holes.  Where the
    file system does not tell where they are (FUSE, older NFS), zeros are taken for them.  A source that grows
    meanwhile is copied to where it ended then.
    """
    sparse = blocks * 512 < size
    if size <= _CHUNK and not sparse:
        _copy_by_hand(source, target, 0, size)
        return
    os.ftruncate(target, size)
    for start, end in _data_extents(source, size):
        if sparse and end - start == size:
            _copy_nonzero(source, target, size)
        else:
            _copy_extent(source, target, start, end)


def _data_extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges that hold data, by SEEK_DATA and SEEK_HOLE (lseek(2)); everything where these are unknown."""
    end = 0
    try:
        while end < size and (start := os.lseek(descriptor, end, os.SEEK_DATA)) < size:
            end = min(size, os.lseek(descriptor, start, os.SEEK_HOLE))
            yield start, end
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole from here on
            return
        if error.errno not in UNSUPPORTED:
            raise
        yield end, size


def _copy_extent(source: int, target: int, start: int, end: int) -> None:
    """Within the kernel as far as it goes (copy_file_range(2)), the rest by reading and writing."""
    while start < end:
        try:
            done = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            done = 0
        if not done:
            _copy_by_hand(source, target, start, end)
            return
        start += done


def _copy_by_hand(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        data = os.pread(source, min(_CHUNK, end - start), start)
        if not data:
            return
        _write_at(target, data, start)
        start += len(data)


def _copy_nonzero(source: int, target: int, size: int) -> None:
    """Leave out runs of zeros, by whole pages, at both ends of each piece."""
    for start in range(0, size, _PIECE):
        data = os.pread(source, _PIECE, start)
        kept = data.rstrip(b"\0")
        skipped = (len(kept) - len(kept.lstrip(b"\0"))) // _PAGE * _PAGE
        _write_at(target, kept[skipped:], start + skipped)


def _write_at(target: int, data: bytes, start: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(target, data[written:] if written else data, start + written)
