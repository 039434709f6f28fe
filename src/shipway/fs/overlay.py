"""What an overlay's upper directory says: what was added, changed and deleted over the directories below it.

Written by the kernel (Documentation/filesystems/overlayfs.rst): what is deleted stands there as a character device 0/0, a
whiteout; a directory that hides what lies under it has the attribute `overlay.opaque`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from shipway.fs.system import FileSystem

_SPACES = ("user.overlay.", "trusted.overlay.")
_OPAQUE = tuple(f"{space}opaque" for space in _SPACES)
_PIECE = 1 << 20


class Captured(NamedTuple):
    """Paths relative to the top, sorted; directories only count where they are new and empty.

    `same` were written anew with the content and mode that they had; `changed` were there, otherwise; `deleted` are files and
    symlinks that were there and are no more.
    """

    added: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


class _Found:
    def __init__(self, upper: str, lower: str) -> None:
        self.upper = upper
        self.lower = lower
        self.lists: dict[str, list[str]] = {name: [] for name in Captured._fields}

    def look(self, directory: str) -> None:
        """`directory` ends in a slash, or is ""."""
        names = set()
        for entry in _entries(self.upper + directory):
            names.add(entry.name)
            self.see(directory + entry.name, entry.stat(follow_symlinks=False))
        if directory and _is_opaque(self.upper + directory):
            for entry in _entries(self.lower + directory):
                if entry.name not in names:
                    self.delete(directory + entry.name)

    def see(self, path: str, status: os.stat_result) -> None:
        if is_whiteout(status):
            self.delete(path)
            return
        below = _status(self.lower + path)
        if stat.S_ISDIR(status.st_mode):
            if below is not None and not stat.S_ISDIR(below.st_mode):
                self.lists["deleted"].append(path)
            self.look(f"{path}/")
            if below is None and not os.listdir(self.upper + path):
                self.lists["added"].append(path)
            return
        if below is not None and stat.S_ISDIR(below.st_mode):
            self.delete(path)
            below = None
        self.lists[self.judge(path, status, below)].append(path)

    def judge(self, path: str, above: os.stat_result, below: os.stat_result | None) -> str:
        if below is None:
            return "added"
        if above.st_mode != below.st_mode:
            return "changed"
        upper, lower = self.upper + path, self.lower + path
        if stat.S_ISLNK(above.st_mode):
            equal = os.readlink(upper) == os.readlink(lower)
        else:
            equal = stat.S_ISREG(above.st_mode) and above.st_size == below.st_size and _same_content(upper, lower)
        return "same" if equal else "changed"

    def delete(self, path: str) -> None:
        """A file, or all files of a tree, of the lower layer."""
        status = _status(self.lower + path)
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            self.lists["deleted"].append(path)
            return
        for entry in _entries(f"{self.lower}{path}/"):
            self.delete(f"{path}/{entry.name}")


def captured(upper: str, lower: str) -> Captured:
    """Compare an upper directory, whose overlay is no longer mounted, with the lower one as it is now."""
    found = _Found(f"{upper}/", f"{lower}/")
    found.look("")
    return Captured(**{name: tuple(sorted(paths)) for name, paths in found.lists.items()})


def make_own(lower: str, upper: str, spared: str, fs: FileSystem) -> None:
    """Put directories of our own over those of others, so that in an overlay everything can be created and deleted.

    For overlays of user namespaces: the kernel copies a directory with its owner and group, and where these mean nothing there it
    refuses (EOVERFLOW).  Nothing is looked into if the first directories are all our own; `spared` never is.
    """
    if all(map(_is_own, (lower, *_directories(lower)))):
        return
    for directory in _directories(lower):
        _make_own(directory, upper + directory[len(lower) :], spared, fs)


def _make_own(lower: str, upper: str, spared: str, fs: FileSystem) -> None:
    if lower == spared:
        return
    mode = stat.S_IMODE(os.lstat(lower).st_mode)
    with contextlib.suppress(FileExistsError):
        fs.mkdir(upper, mode & 0o777 | 0o700)
    for directory in _directories(lower):
        _make_own(directory, upper + directory[len(lower) :], spared, fs)


def _is_own(path: str) -> bool:
    status = os.lstat(path)
    return (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def _directories(path: str) -> list[str]:
    """Those that can be looked into."""
    with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(path) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def is_whiteout(status: os.stat_result) -> bool:
    """Whether it stands for something that was deleted."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def forget_overlay(path: str, fs: FileSystem) -> None:
    """Take away the attributes that an overlay has left on a file or directory."""
    for name in _attributes(path):
        if name.startswith(_SPACES):
            fs.remove_xattr(path, name)


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def _is_opaque(path: str) -> bool:
    return any(name in _OPAQUE for name in _attributes(path))


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    """Nothing, where there is no such directory."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _same_content(one: str, other: str) -> bool:
    """Of two files of one size.  What cannot be read is not the same."""
    try:
        with open(one, "rb") as first, open(other, "rb") as second:
            while (piece := first.read(_PIECE)) == second.read(_PIECE):
                if not piece:
                    return True
    except PermissionError:
        return False
    return False
