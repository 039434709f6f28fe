"""A second tree of the same files, for directories that cannot be moved.

A directory in a lower layer of an overlay cannot be renamed (EXDEV), but its files can be linked; what is made anew lies
in the upper layer, and can.
"""

from __future__ import annotations

import errno
import os
import stat

from shipway.fs.system import FileSystem


def is_unmovable(error: OSError) -> bool:
    """Whether a rename failed because of where a directory lies, not of what it is."""
    return error.errno == errno.EXDEV


def is_directory(path: str) -> bool:
    """Whether a directory lies there, and not a symlink to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def relink(fs: FileSystem, source: str, target: str) -> None:
    """Make the tree `source` again as `target`: directories anew with all attributes, everything else by hard links.

    What a killed run left at `target` is removed first.
    """
    fs.remove_tree(target)
    if os.path.isdir(source) and not os.path.islink(source):
        _directory(fs, source, target)
    else:
        fs.link(source, target)


def _directory(fs: FileSystem, source: str, target: str) -> None:
    status = os.lstat(source)
    fs.mkdir(target, 0o700)
    with os.scandir(source) as entries:
        for entry in entries:
            make = _directory if entry.is_dir(follow_symlinks=False) else _link
            make(fs, entry.path, f"{target}/{entry.name}")
    fs.chown(target, status.st_uid, status.st_gid)
    for name in os.listxattr(source, follow_symlinks=False):
        fs.set_xattr(target, name, os.getxattr(source, name, follow_symlinks=False))
    fs.chmod(target, stat.S_IMODE(status.st_mode))
    fs.utime(target, status.st_mtime_ns)


def _link(fs: FileSystem, source: str, target: str) -> None:
    fs.link(source, target)
