"""The walk over a staged tree: what is where, before any file is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from shipway.model.entry import Xattrs, join
from shipway.store import attributes
from shipway.store.paths import under

RESERVED = "var/lib/shipway"
"""Shipway's own directory, which no package may have a name in."""

_ABOVE_RESERVED = "var/lib"

LONGEST_NAME = 255
_SHOWN = 80

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL = {
    stat.S_IFCHR: "is a character device",
    stat.S_IFBLK: "is a block device",
    stat.S_IFIFO: "is a fifo",
    stat.S_IFSOCK: "is a socket",
}


class Symlink(NamedTuple):
    """A symlink as found: its text, its mtime, and what stat has to say again later."""

    name: str
    target: str
    mtime: int
    inode: int
    ctime: int


class Listing(NamedTuple):
    """A directory of the tree: `path` there, `at` in the manifest, and its names by kind, sorted."""

    path: str
    at: str
    status: os.stat_result
    xattrs: Xattrs
    files: list[str]
    links: list[Symlink]
    directories: list[str]


class Walk:
    """Every directory of a tree, parents before children, in sorted order: the same for the same tree.

    `problems` gathers what cannot be sealed, "path: what".  `limits` are how many bytes and how many directories
    a path may have.
    """

    def __init__(self, source: str, redirects: Mapping[str, str], limits: tuple[int, int]) -> None:
        self.source = source
        self.redirects = redirects
        self.longest, self.deepest = limits
        self._told: set[str] = set()
        self.problems: list[str] = []
        self.listings: list[Listing] = []
        waiting = [("", "")]
        while waiting:
            path, at = waiting.pop()
            listing = self._visit(path, at)
            if listing is not None:
                self.listings.append(listing)
                self._refuse_long(listing)
                waiting += self._below(listing)

    def problem(self, path: str, what: str | OSError) -> None:
        """Note one; an OSError stands for something that cannot be read."""
        text = f"cannot be read: {what.strerror}" if isinstance(what, OSError) else what
        self.problems.append(f"{path or '.'}: {text}")

    def _below(self, listing: Listing) -> list[tuple[str, str]]:
        """The directories in a directory, last first, each with where it lies in the manifest."""
        below = []
        for name in reversed(listing.directories):
            path, at = join(listing.path, name), join(listing.at, name)
            at = self.redirects.get(path, self.redirects.get(at, at))
            if at == RESERVED:
                self.problem(path, "belongs to Shipway itself")
            elif at.count("/") >= self.deepest:
                self._problem_of_tree(path, f"lies in more than {self.deepest} directories, one in another")
            elif not self._is_long(at):
                below.append((path, at))
        return below

    def _is_long(self, at: str) -> bool:
        return 4 * len(at) > self.longest and len(os.fsencode(at)) > self.longest

    def _refuse_long(self, listing: Listing) -> None:
        """Note a path that would be too long for the kernel once it lies in the prefix, or in the store."""
        if 4 * len(listing.at) + LONGEST_NAME < self.longest:
            return
        for name in (*listing.files, *(link.name for link in listing.links), *listing.directories):
            if self._is_long(join(listing.at, name)):
                what = f"longer than the {self.longest} bytes that fit under this prefix"
                self._problem_of_tree(join(listing.path, name), what)

    def _problem_of_tree(self, path: str, what: str) -> None:
        """Note what is wrong with a tree as a whole once, at the first path, which is long."""
        if what not in self._told:
            self._told.add(what)
            self.problem(f"{path[:_SHOWN]}…" if len(path) > _SHOWN else path, what)

    def _visit(self, path: str, at: str) -> Listing | None:
        try:
            descriptor = os.open(under(self.source, path), _DIRECTORY)
        except OSError as error:
            self.problem(path, error)
            return None
        try:
            return self._list(descriptor, path, at)
        except OSError as error:
            self.problem(path, error)
            return None
        finally:
            os.close(descriptor)

    def _list(self, descriptor: int, path: str, at: str) -> Listing:
        status = os.fstat(descriptor)
        files: list[str] = []
        links: list[str] = []
        directories: list[str] = []
        others: list[str] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                elif entry.is_symlink():
                    links.append(entry.name)
                else:
                    others.append(entry.name)
        for name in others:
            self._note_special(descriptor, path, name)
        for name in (*files, *links) if at == _ABOVE_RESERVED else ():
            if join(at, name) == RESERVED:
                self.problem(join(path, name), "belongs to Shipway itself")
        return Listing(
            path,
            at,
            status,
            _attributes(descriptor),
            sorted(files),
            [self._link(descriptor, name) for name in sorted(links)],
            sorted(directories),
        )

    def _link(self, descriptor: int, name: str) -> Symlink:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        target = os.readlink(name, dir_fd=descriptor)
        return Symlink(name, target, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)

    def _note_special(self, descriptor: int, path: str, name: str) -> None:
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        self.problem(join(path, name), _SPECIAL.get(stat.S_IFMT(mode), "is neither file, directory nor symlink"))


def _attributes(descriptor: int) -> Xattrs:
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno in attributes.UNKNOWN:
            return ()
        raise
    return attributes.kept(descriptor, names) if names else ()
