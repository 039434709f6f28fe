"""Copying a tree as it is, for somebody to work on: modes, times and symlinks are kept, owners and attributes are not."""

from __future__ import annotations

import os
import stat

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem

_OWNER = 0o600


def copy_tree(fs: FileSystem, source: str, target: str) -> None:
    """Copy a directory to a new one, whose files their owner may read and write.

    Raises ShipwayError for devices, pipes and sockets; OSError as the OS gives it.  What was copied until then stays.
    """
    fs.mkdir(target, _mode(os.stat(source)) | 0o700)
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            _copy(fs, entry, f"{target}/{entry.name}")


def _copy(fs: FileSystem, entry: os.DirEntry[str], target: str) -> None:
    status = entry.stat(follow_symlinks=False)
    if entry.is_symlink():
        fs.symlink(os.readlink(entry.path), target)
    elif entry.is_dir():
        copy_tree(fs, entry.path, target)
    elif entry.is_file():
        fs.copy_file(entry.path, target, _mode(status) | _OWNER, status.st_mtime_ns)
    else:
        raise ShipwayError(f"{entry.path} is neither file, directory nor symlink")


def _mode(status: os.stat_result) -> int:
    return stat.S_IMODE(status.st_mode) & 0o777
