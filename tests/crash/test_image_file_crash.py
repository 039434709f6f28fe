"""Crash by a loop: fail, and separately die, at the k-th change of the disk while an image file is merged, or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from shipway.cli.arrivals import Packed
from shipway.fs.system import FileSystem
from shipway.model.planning import Policy
from shipway.store.image_file import About, read_head, write_tree
from tests.harness import (
    DIED,
    FINISHED,
    RAISED,
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

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")

OLD = {"bin/x": "old", "lib/p/a": "old", "lib/p/old": "old"}
NEW = {"bin/x": "new", "lib/p/a": "new", "lib/p/new": "new", "lib/l": "-> p/a", "share/d/": ""}


def merge(root: Path, file: Path, fs: FileSystem) -> None:
    with open_prefix(root, fs) as prefix:
        packed = Packed(str(file))
        packed.tree(prefix, package(root, "2")).merge(Policy.FAIL)


def write(file: Path, trees: Path, fs: FileSystem) -> None:
    about = About("pkg:generic/pkg", "pkg", "2", "/")
    write_tree(fs, about, str(trees / "new"), str(file))


def with_old(root: Path, trees: Path) -> Path:
    root.mkdir()
    with open_prefix(root) as prefix:
        prefix.merge(package(trees / "old", "1"))
    return root


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """Both versions, staged."""
    make_tree(tmp_path / "old", OLD)
    make_tree(tmp_path / "new", NEW)
    return tmp_path


@pytest.mark.parametrize("fault", [fail, die])
def test_a_merge_of_a_file_that_ends_anywhere_is_old_or_new(trees: Path, fault: Callable[[], None]) -> None:
    file, counting, seen = trees / "file", FaultyFileSystem(0, fault), []
    write(file, trees, FileSystem())
    merge(with_old(trees / "counted", trees), file, counting)
    for at in range(1, counting.count + 1):
        root = with_old(trees / f"root-{at}", trees)
        in_child(partial(merge, root, file, FaultyFileSystem(at, fault)))
        now = versions(root)["pkg"]
        with open_prefix(root) as prefix:
            prefix.recover()
            assert prefix.verify().ok
        assert snapshot(root) == snapshot(trees / {"1": "old", "2": "new"}[now])
        assert os.listdir(root / "var/lib/shipway/work") == []
        seen.append(now)
        shutil.rmtree(root)
    assert set(seen) == {"1", "2"}


@pytest.mark.parametrize("fault", [fail, die])
def test_a_file_that_is_being_written_has_its_name_when_it_is_whole(trees: Path, fault: Callable[[], None]) -> None:
    file = trees / "out/file"
    file.parent.mkdir()
    for at in count(1):
        file.write_text("old")
        code = in_child(partial(write, file, trees, FaultyFileSystem(at, fault)))
        if file.read_bytes() != b"old":
            assert read_head(str(file)).about.version == "2"
        if fault is fail:
            assert os.listdir(file.parent) == ["file"]
        if code == FINISHED:
            break
        assert code == (DIED if fault is die else RAISED)
    assert at > 4
