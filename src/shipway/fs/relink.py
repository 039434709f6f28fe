"""A second tree of the same files, for directories that cannot be moved.

A directory in a lower layer of an overlay cannot be renamed (EXDEV), but its files can be linked; what is made anew lies
in the upper layer, and can.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from shipway.fs.hashing import hash_file
from shipway.fs.system import FileSystem

_UNLINKABLE = frozenset({errno.EPERM, errno.EMLINK, errno.ENOTSUP})

Rename = Callable[[str, str], None]


def is_unmovable(error: OSError) -> bool:
    """Whether a rename failed because of where a directory lies, not of what it is."""
    return error.errno == errno.EXDEV


def is_directory(path: str) -> bool:
    """Whether a directory lies there, and not a symlink to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def relink(fs: FileSystem, source: str, target: str, wanted: Callable[[str], bool] | None = None) -> None:
    """Make the tree `source` again as `target`: directories anew with all attributes, everything else by hard links.

    What a killed run left at `target` is removed first.  `wanted` is asked about paths relative to `source`; what it does not
    name is left out, with all that is below.
    """
    fs.remove_tree(target)
    _make(fs, source, target, "", wanted)


def rename_or_relink(fs: FileSystem, rename: Rename, source: str, target: str, beside: str) -> bool:
    """Rename `source` to `target`; where it cannot be moved, rename a second tree of it, which is made at `beside`.

    Returns whether `source` is still there.
    """
    try:
        rename(source, target)
    except OSError as error:
        if not is_unmovable(error) or not is_directory(source):
            raise
        relink(fs, source, beside)
        rename(beside, target)
        return True
    return False


def names(path: str) -> Iterator[str]:
    """All paths of a tree relative to its root, which is "", a directory before what is in it; none where nothing lies."""
    if not os.path.lexists(path):
        return
    waiting = [""]
    while waiting:
        name = waiting.pop()
        yield name
        if is_directory(there := _at(path, name)):
            waiting += [f"{name}/{each}" if name else each for each in sorted(os.listdir(there), reverse=True)]


def is_same(a: str, b: str) -> bool:
    """Whether two paths name one file."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.path.samestat(os.lstat(a), os.lstat(b))
    return False


def is_alike(a: str, b: str) -> bool:
    """Whether two paths hold the same, be it in two copies; times of directories do not count."""
    if is_same(a, b):
        return True
    try:
        one, other = os.lstat(a), os.lstat(b)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid):
        return False
    if stat.S_ISDIR(one.st_mode):
        found = sorted(os.listdir(a))
        return found == sorted(os.listdir(b)) and all(is_alike(f"{a}/{name}", f"{b}/{name}") for name in found)
    if one.st_mtime_ns != other.st_mtime_ns or _attributes(a) != _attributes(b):
        return False
    if stat.S_ISLNK(one.st_mode):
        return os.readlink(a) == os.readlink(b)
    return stat.S_ISREG(one.st_mode) and one.st_size == other.st_size and hash_file(a) == hash_file(b)


def dress(fs: FileSystem, source: str, target: str) -> None:
    """Give a file or directory the owner, attributes and mode of another, as far as it has not got them; an owner only if we may."""
    wanted, found = os.lstat(source), os.lstat(target)
    if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
        with suppress(PermissionError):
            fs.chown(target, wanted.st_uid, wanted.st_gid)
    old, new = _attributes(target), _attributes(source)
    for name in old.keys() - new.keys():
        fs.remove_xattr(target, name)
    for name, value in new.items():
        if old.get(name) != value:
            fs.set_xattr(target, name, value)
    if stat.S_IMODE(os.lstat(target).st_mode) != stat.S_IMODE(wanted.st_mode):
        fs.chmod(target, stat.S_IMODE(wanted.st_mode))


def _attributes(path: str) -> dict[str, bytes]:
    found = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in found}


def _at(path: str, name: str) -> str:
    return f"{path}/{name}" if name else path


def _make(fs: FileSystem, source: str, target: str, name: str, wanted: Callable[[str], bool] | None) -> None:
    if not is_directory(source):
        return _link(fs, source, target)
    fs.mkdir(target, 0o700)
    for each in sorted(os.listdir(source)):
        path = f"{name}/{each}" if name else each
        if wanted is None or wanted(path):
            _make(fs, f"{source}/{each}", f"{target}/{each}", path, wanted)
    dress(fs, source, target)
    return fs.utime(target, os.lstat(source).st_mtime_ns)


def _link(fs: FileSystem, source: str, target: str) -> None:
    """A hard link; where the kernel refuses one, a copy."""
    try:
        fs.link(source, target)
    except OSError as error:
        status = os.lstat(source)
        if error.errno not in _UNLINKABLE or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise
        if stat.S_ISREG(status.st_mode):
            fs.copy_file(source, target, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
            dress(fs, source, target)
        else:
            fs.symlink(os.readlink(source), target)
            fs.utime(target, status.st_mtime_ns)
