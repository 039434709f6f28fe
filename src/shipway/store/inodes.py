"""Inodes that are more than one name of the tree: hard links, and files that others own or hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from shipway.model.entry import Entry
from shipway.store.tree import Tree

Settle = Callable[[Sequence[tuple[str, Entry]]], int]
"""The mtime of one file, from its paths and entries."""


class _Inode:
    def __init__(self, links: int, private: bool) -> None:
        self.links = links
        self.private = private
        self.names: list[tuple[str, str]] = []


class Inodes:
    """Gathers names by inode and, when all are known, makes groups of them.

    `private` are the names, in the tree, of every file that is not wholly the tree's own.  `groups` are the files with
    several names, pairs of the path in the tree and that in the manifest; `doubled` is how many bytes too many
    their names count for together.
    """

    def __init__(self) -> None:
        self.private: list[tuple[str, ...]] = []
        self.groups: list[tuple[tuple[str, str], ...]] = []
        self.doubled = 0
        self._found: dict[tuple[int, int], _Inode] = {}

    def note(self, key: tuple[int, int], status: tuple[int, bool], path: str, at: str) -> None:
        """One name, in the tree and in the manifest, of the inode `key` with its (number of links, private)."""
        inode = self._found.setdefault(key, _Inode(*status))
        inode.names.append((path, at))

    def finish(self, tree: Tree, left_out: Iterable[str], settle: Settle) -> None:
        """Number the groups in the tree, in the order of their first paths; `left_out` are files that nobody noted."""
        more = self._count(left_out)
        for key, inode in sorted(self._found.items(), key=lambda item: min(at for _, at in item[1].names)):
            names = sorted((name for name in inode.names if tree.holds(*name)), key=lambda name: name[1])
            if inode.private or inode.links > len(inode.names) + more[key]:
                self.private.append(tuple(path for path, _ in names))
            if len(names) > 1:
                self.groups.append(tuple(names))
                self._join(tree, names, settle)

    def _join(self, tree: Tree, names: Sequence[tuple[str, str]], settle: Settle) -> None:
        entries = [(at, tree.entry(at)) for _, at in names]
        first = entries[0][1]
        mtime = settle(entries)
        for (path, at), (_, entry) in zip(names, entries, strict=True):
            if entry.digest != first.digest:
                tree.problems.append(f"{path}: changed while it was read")
            tree.replace(at, entry._replace(group=len(self.groups), mtime=mtime))
        self.doubled += first.size * (len(names) - 1)

    def _count(self, left_out: Iterable[str]) -> Counter[tuple[int, int]]:
        """How many of the names that were left out belong to each inode; looked at only where some are lacking."""
        if all(inode.links <= len(inode.names) for inode in self._found.values()):
            return Counter()
        return Counter(_keys(left_out))


def _keys(paths: Iterable[str]) -> Iterator[tuple[int, int]]:
    for path in paths:
        status = os.lstat(path)
        yield status.st_dev, status.st_ino
