"""How much room a file system has, and which files it holds fast."""

from __future__ import annotations

import os
from typing import NamedTuple

from shipway.fs import native


class Space(NamedTuple):
    """Bytes and inodes that this user may still take; `inodes` is None where there is no limit (btrfs)."""

    bytes: int
    inodes: int | None


class Flags(NamedTuple):
    """Attributes that make renames fail whoever asks (chattr(1))."""

    immutable: bool
    append_only: bool


def free(path: str) -> Space:
    """What statvfs(3) says for the file system of `path`, without what is reserved for root."""
    status = os.statvfs(path)
    inodes = status.f_favail if status.f_files else None
    return Space(status.f_bavail * status.f_frsize, inodes)


def flags(path: str) -> Flags:
    """The flags of what lies at `path`, symlinks not followed; all False where the file system tells none."""
    status = native.status(path)
    attributes = status.attributes if status else 0
    return Flags(bool(attributes & native.IMMUTABLE), bool(attributes & native.APPEND_ONLY))
