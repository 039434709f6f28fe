"""The stage of a build: what it put below DESTDIR, joined by what it wrote into the prefix itself."""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shipway.build.directory import Directory
from shipway.errors import ShipwayError
from shipway.fs.overlay import Captured, captured, forget_overlay, is_whiteout
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.model.derived import is_derived

_FOLDED, _LIBRARIES = "lib64", "lib"


class Staged(NamedTuple):
    """What a build has made.

    `tree` holds files as they shall lie under the prefix; there is no such directory if nothing was made.  `written` is what was
    written past DESTDIR, and is in `tree` as well, but for what was deleted; of `same` and `changed` nobody has asked yet whose
    they were, nor of `deleted`.  `outside` are paths below DESTDIR that do not belong to the prefix.
    """

    tree: str
    written: Captured = Captured()
    outside: tuple[str, ...] = ()


def gather(directory: Directory, prefix: str, fs: FileSystem) -> Staged:
    """Put together what phases have left.  Nothing runs any more.  Raises ShipwayError for what cannot be put together."""
    tree = f"{directory.destdir}{prefix}"
    live = os.path.realpath(prefix)
    written = _without_derived(captured(directory.upper, live))
    _Joining(directory.upper, live, tree, fs).join("")
    if os.path.isdir(tree):
        _straighten(tree, directory.destdir, fs)
        fold(tree, live, fs)
    return Staged(tree, written, tuple(_outside(directory.destdir, prefix)))


def leave_out(tree: str, paths: Iterable[str], fs: FileSystem) -> None:
    """Take files out of a stage, and the directories that are empty then."""
    for path in paths:
        fs.unlink(f"{tree}/{path}")
        parent = os.path.dirname(path)
        while parent and not os.listdir(f"{tree}/{parent}"):
            fs.rmdir(f"{tree}/{parent}")
            parent = os.path.dirname(parent)


def _without_derived(found: Captured) -> Captured:
    """Bytecode is nobody's business: any program that imports may write it."""
    return Captured(*(tuple(path for path in paths if not is_derived(path)) for paths in found))


class _Joining:
    """Moves what was written into the prefix to where DESTDIR would have had it.  What DESTDIR has already stays."""

    def __init__(self, upper: str, live: str, tree: str, fs: FileSystem) -> None:
        self.upper = upper
        self.live = live
        self.tree = tree
        self.fs = fs

    def join(self, directory: str) -> None:
        """`directory` ends in a slash, or is ""; it is made in the tree when it is new, or has something in it."""
        with os.scandir(f"{self.upper}/{directory}") as entries:
            found = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        for name, status in found:
            path = directory + name
            if is_whiteout(status) or is_derived(path):
                continue
            if stat.S_ISDIR(status.st_mode):
                if not os.path.isdir(f"{self.live}/{path}"):
                    self.ensure(path)
                self.join(f"{path}/")
            elif not os.path.lexists(f"{self.tree}/{path}"):
                self.ensure(directory.rstrip("/"))
                forget_overlay(f"{self.upper}/{path}", self.fs)
                self.fs.place(f"{self.upper}/{path}", f"{self.tree}/{path}")

    def ensure(self, directory: str) -> None:
        """A directory of the tree, with the modes that its parents have in the upper layer."""
        target = f"{self.tree}/{directory}" if directory else self.tree
        if os.path.isdir(target):
            return
        if os.path.lexists(target):
            raise ShipwayError(f"{directory} is a directory in the prefix and something else below DESTDIR")
        if directory:
            self.ensure(os.path.dirname(directory))
            self.fs.mkdir(target, stat.S_IMODE(os.lstat(f"{self.upper}/{directory}").st_mode))
        else:
            make_directories(target, 0o755, self.fs.mkdir)


def _straighten(directory: str, destdir: str, fs: FileSystem) -> None:
    """Symlinks that lead into the stage, because they were made with DESTDIR before their target, lead to the prefix instead."""
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                _straighten(entry.path, destdir, fs)
            elif entry.is_symlink() and (target := os.readlink(entry.path)).startswith(f"{destdir}/"):
                fs.unlink(entry.path)
                fs.symlink(target.removeprefix(destdir), entry.path)


def _outside(destdir: str, prefix: str) -> Iterator[str]:
    """What lies beside the way from DESTDIR to the prefix."""
    way = ""
    for part in prefix.strip("/").split("/"):
        if not os.path.isdir(f"{destdir}{way}"):
            return
        yield from (f"{way}/{name}" for name in sorted(os.listdir(f"{destdir}{way}")) if name != part)
        way = f"{way}/{part}"


# -- lib64 ------------------------------------------------------------------------------------------------------------


def fold(tree: str, live: str, fs: FileSystem) -> bool:
    """Move what lies in lib64 to lib, and leave a link for those that have the name written down; False if nothing does.

    There is no link where the live prefix has a directory of that name, which then stays as it is.  Raises ShipwayError with all
    files that are in both and differ.
    """
    source, target = f"{tree}/{_FOLDED}", f"{tree}/{_LIBRARIES}"
    if os.path.islink(source) or not os.path.isdir(source):
        return False
    if os.path.islink(target):
        raise ShipwayError(f"{_LIBRARIES} is a symlink in the stage, so {_FOLDED} cannot be folded into it")
    if clashes := sorted(_clashes(source, target, "")):
        raise ShipwayError(f"some files are in both {_LIBRARIES} and {_FOLDED}, and differ", details=clashes)
    _move(source, target, fs)
    if os.path.islink(f"{live}/{_FOLDED}") or not os.path.lexists(f"{live}/{_FOLDED}"):
        fs.symlink(_LIBRARIES, source)
    return True


def _clashes(source: str, target: str, path: str) -> Iterator[str]:
    for name in os.listdir(f"{source}/{path}"):
        inner = f"{path}{name}"
        one, other = f"{source}/{inner}", f"{target}/{inner}"
        if _is_directory(one) and _is_directory(other):
            yield from _clashes(source, target, f"{inner}/")
        elif os.path.lexists(other) and not _equal(one, other):
            yield inner


def _equal(one: str, other: str) -> bool:
    modes = {stat.S_IFMT(os.lstat(path).st_mode) for path in (one, other)}
    if modes == {stat.S_IFLNK}:
        return os.readlink(one) == os.readlink(other)
    return modes == {stat.S_IFREG} and filecmp.cmp(one, other, shallow=False)


def _move(source: str, target: str, fs: FileSystem) -> None:
    if not os.path.lexists(target):
        fs.place(source, target)
    elif _is_directory(source):
        for name in os.listdir(source):
            _move(f"{source}/{name}", f"{target}/{name}", fs)
        fs.rmdir(source)
    else:
        fs.unlink(source)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
