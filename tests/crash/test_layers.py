"""An interrupted transaction whose prefix has become a lower layer of an overlay: its directories cannot be renamed."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

from shipway.fs.found import identity
from shipway.fs.system import FileSystem
from tests.harness import DIED, FaultyFileSystem, die, in_child, make_tree, open_prefix, package, snapshot, versions

OLD = {"bin/tool": "old"}
NEW = {"bin/tool": "new", "share/pkg/deep/file": "new", "share/pkg/link": "-> deep/file"}


class Layered(FileSystem):
    """Refuses, as an overlay does, to rename a directory that was there when the layer was closed."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._below = {identity(parent) for parent, _, _ in os.walk(root)}
        self.placed: list[str] = []

    def place(self, source: str, target: str) -> None:
        self._refuse(source)
        super().place(source, target)
        self.placed.append(target)

    def take(self, source: str, target: str) -> None:
        self._refuse(source)
        super().take(source, target)

    def exchange(self, a: str, b: str) -> None:
        self._refuse(a)
        self._refuse(b)
        super().exchange(a, b)

    def _refuse(self, path: str) -> None:
        if os.path.isdir(path) and identity(path) in self._below:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)


def interrupted(root: Path, tree: Path, step: int) -> bool:
    """Whether a merge was killed at a step after its commit point; False if it came to its end."""

    def merge() -> None:
        fs = Late(step)
        with open_prefix(root, fs) as prefix:
            prefix.merge(package(tree, "2"))

    return in_child(merge) == DIED


class Late(FaultyFileSystem):
    """Dies at the k-th change after the commit point."""

    def __init__(self, at: int) -> None:
        super().__init__(at, die)

    def step(self, operation: str, path: str) -> None:
        if self.count or (operation, path) == ("database", "commit point"):
            super().step(operation, path)


def arrange(root: Path, trees: Path, stray: str, *more: str) -> tuple[Path, Path]:
    """A prefix with the old version, and somebody's file; returns it with the tree of the new version.

    `more` are files that both versions have.
    """
    root.mkdir()
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(trees / "old", OLD | dict.fromkeys(more, "old")), "1"))
    make_tree(root, {stray: "mine"})
    return root, make_tree(trees / "new", NEW | dict.fromkeys(more, "new"))


def test_recovery_finishes_in_a_lower_layer(tmp_path: Path) -> None:
    """New directories are placed made again, files one by one, and the undo area is made again."""
    for step in itertools.count(2):
        root, tree = arrange(tmp_path / f"p{step}", tmp_path / f"t{step}", "bin/mine")
        if not interrupted(root, tree, step):
            break
        with open_prefix(root, Layered(root)) as prefix:
            assert prefix.verify().ok
            assert [past.row.state.value for past in prefix.history()] == ["done", "done"]
            assert versions(root) == {"pkg": "2"}
            assert snapshot(root) == snapshot(make_tree(tmp_path / f"w{step}", {**NEW, "bin/mine": "mine"}))
            assert not list((root / "var/lib/shipway/work").iterdir())
        with open_prefix(root) as prefix:
            prefix.undo()
        assert snapshot(root) == snapshot(make_tree(tmp_path / f"v{step}", {**OLD, "bin/mine": "mine"}))
    assert step > 5


def test_what_cannot_be_finished_there_is_taken_back(tmp_path: Path) -> None:
    """A directory that was to be swapped can be neither renamed nor replaced; what was placed goes again."""
    root, tree = arrange(tmp_path / "p", tmp_path / "t", "lib/mine", "bin/other")
    before = snapshot(root)
    assert interrupted(root, tree, 2)
    layered = Layered(root)
    with open_prefix(root, layered) as prefix:
        assert [past.row.state.value for past in prefix.history()] == ["undone", "done"]
        assert prefix.verify().ok
    assert str(root / "share") in layered.placed
    assert snapshot(root) == before
