"""SHA-256 of files."""

from __future__ import annotations

import hashlib
import os

from shipway.errors import ShipwayError
from shipway.fs.found import Found

_FIRST = 1 << 16
_CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class ChangedError(ShipwayError):
    """A file is no longer the one that was looked at, or changed while it was read."""


def hash_file(path: str, *, expect: Found | None = None) -> str:
    """The hex SHA-256 of a regular file's content.

    With `expect`, what an earlier look found, the file must still be that one (inode, size, mtime) after
    it was read: else ChangedError.  Symlinks are refused (ELOOP); OSError as the OS gives it.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        digest = _hash(descriptor)
        if expect is not None:
            _check(path, os.fstat(descriptor), expect)
    finally:
        os.close(descriptor)
    return digest


def _hash(descriptor: int) -> str:
    """One read where the file is small: a regular file gives less than was asked for only at its end."""
    data = os.read(descriptor, _FIRST)
    total = hashlib.sha256(data)
    if len(data) == _FIRST:
        while data := os.read(descriptor, _CHUNK):
            total.update(data)
    return total.hexdigest()


def _check(path: str, status: os.stat_result, expect: Found) -> None:
    now = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if now != (expect.dev, expect.ino, expect.size, expect.mtime):
        raise ChangedError(f"{path} changed while it was read", hint="run the command again when nothing writes there")
