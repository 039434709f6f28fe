"""An interrupted transaction whose prefix has become a lower layer of an overlay: its directories cannot be renamed."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shipway.fs.found import identity
from tests.harness import (
    DIED,
    FINISHED,
    FaultyFileSystem,
    die,
    fail,
    in_child,
    make_tree,
    open_prefix,
    package,
    snapshot,
    versions,
)

OLD = {"bin/tool": "old"}
NEW = {"bin/tool": "new", "share/pkg/deep/file": "new", "share/pkg/link": "-> deep/file"}


class Layered(FaultyFileSystem):
    """Refuses, as an overlay does, to rename a directory that was there when the layer was closed."""

    def __init__(self, root: Path, at: int = 0, fault: Callable[[], None] = die) -> None:
        super().__init__(at, fault)
        self._below = {identity(parent) for parent, _, _ in os.walk(root)}

    def place(self, source: str, target: str) -> None:
        self._refuse(source)
        super().place(source, target)

    def take(self, source: str, target: str) -> None:
        self._refuse(source)
        super().take(source, target)

    def exchange(self, a: str, b: str) -> None:
        self._refuse(a)
        self._refuse(b)
        super().exchange(a, b)

    def _refuse(self, path: str) -> None:
        if os.path.isdir(path) and not os.path.islink(path) and identity(path) in self._below:
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


SWAPPED = {
    "lib/becomes-dir": "old",
    "lib/becomes-file/deep/x": "old",
    "lib/empty/": "",
    "lib/link": "-> same",
    "lib/same": "same",
    "share/pkg/gone": "old",
}
SWAPPED_NEW = {
    "lib/becomes-dir/deep/x": "new",
    "lib/becomes-file": "new",
    "lib/link": "-> becomes-file",
    "lib/same": "same",
    "share/pkg/come": "new",
}


def arrange_swap(root: Path, trees: Path) -> tuple[Path, Path]:
    """The same, where directories are swapped as a whole."""
    root.mkdir()
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(trees / "old", OLD | SWAPPED), "1"))
    return root, make_tree(trees / "new", NEW | SWAPPED_NEW)


def test_directories_that_were_to_be_swapped_there_change_piece_by_piece(tmp_path: Path) -> None:
    """Recovery is killed at each piece, and begun again in the same layer, or in another one on top of it."""
    root, tree = arrange_swap(tmp_path / "start", tmp_path / "trees")
    old = snapshot(root)
    assert interrupted(root, tree, 2)
    for k in itertools.count(1):
        there = copied(root, tmp_path / f"p{k}")
        layer = Layered(there, k)
        code = in_child(partial(recover, there, layer))
        assert code in (DIED, FINISHED)
        layer.at = 0
        with open_prefix(there, layer if k % 2 else Layered(there)) as prefix:
            assert prefix.verify().ok
            assert [past.row.state.value for past in prefix.history()] == ["done", "done"]
        assert snapshot(there) == snapshot(tree)
        if k % 10 == 0:
            with open_prefix(there) as prefix:
                prefix.undo()
            assert snapshot(there) == old
        if code == FINISHED:
            break
    assert k > 50


def test_what_fails_between_two_pieces_is_taken_back_or_finished(tmp_path: Path) -> None:
    root, tree = arrange_swap(tmp_path / "start", tmp_path / "trees")
    allowed = [(versions(root), snapshot(root)), ({"pkg": "2"}, snapshot(tree))]
    assert interrupted(root, tree, 2)
    found = []
    for k in itertools.count(1):
        there = copied(root, tmp_path / f"p{k}")
        layer = Layered(there, k, fail)
        with contextlib.suppress(OSError):
            open_prefix(there, layer).close()
        with open_prefix(there) as prefix:
            assert prefix.verify().ok
            assert not list((there / "var/lib/shipway/work").iterdir())
        found.append((versions(there), snapshot(there)))
        assert found[-1] in allowed
        if layer.count < k:
            break
    assert all(state in found for state in allowed)


@pytest.mark.parametrize(("deed", "text"), [("upgrade", "theirs"), ("remove", "old")])
def test_what_lies_where_something_was_removed_stops_no_recovery(deed: str, text: str, tmp_path: Path) -> None:
    """Somebody's file keeps its directory, or has a name that only the old version had; recovery is killed once more."""
    start, tree = arrange_swap(tmp_path / "start", tmp_path / "trees")
    assert in_child(partial(begin, copied(start, tmp_path / "root"), deed, tree)) == DIED
    lower = copied(tmp_path / "root", tmp_path / "lower")
    (lower / "share/pkg/mine").write_text("mine")
    half, seq = next(filter(None, (half_turned(copied(lower, tmp_path / f"h{k}"), k) for k in itertools.count(1))))
    put_there(half, start, text)
    for k in itertools.count(1):
        there = copied(half, tmp_path / f"p{k}")
        code = in_child(partial(recover, there, Layered(there, k)))
        if list(there.glob(f"var/lib/shipway/*/*/[pz]{seq}")):
            put_there(there, start, text)
        with open_prefix(there, Layered(there)) as prefix:
            assert [past.row.state.value for past in prefix.history()] == ["done", "done"], k
        assert (there / "share/pkg/mine").read_text() == "mine"
        assert [path.name for path in there.glob("var/lib/shipway/work/*")] == []
        if code == FINISHED:
            break
    assert k > 20


def put_there(root: Path, start: Path, text: str) -> None:
    """A file with this content where the old version had one."""
    gone = root / "share/pkg/gone"
    gone.parent.mkdir(parents=True, exist_ok=True)
    gone.unlink(missing_ok=True)
    shutil.copy2(start / "share/pkg/gone", gone)
    if text != "old":
        gone.write_text(text)


def begin(root: Path, deed: str, tree: Path) -> None:
    with open_prefix(root, Late(2)) as prefix:
        if deed == "remove":
            prefix.remove(["pkg"])
        else:
            prefix.merge(package(tree, "2"))


def half_turned(there: Path, k: int) -> tuple[Path, str] | None:
    """It, and the number of the unit of share/pkg, if a recovery that dies at its k-th change leaves that in pieces."""
    in_child(partial(recover, there, Layered(there, k)))
    found = [path for path in there.glob("var/lib/shipway/work/*/p[0-9]") if list(path.glob("old/**/gone"))]
    return (there, found[0].name[1:]) if found and list(found[0].glob("w*")) else None


def recover(root: Path, layer: Layered) -> None:
    open_prefix(root, layer).close()


def copied(root: Path, there: Path) -> Path:
    shutil.copytree(root, there, symlinks=True)
    return there
