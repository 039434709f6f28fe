"""Collecting undo areas: what others wrote into them is saved, what others own is left to them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.fs.system import FileSystem
from tests.harness import FINISHED, OPTIONS, in_child, make_tree, open_prefix, package

USER = 20001


class Busy(FileSystem):
    """While an undo area is being deleted, somebody whose working directory is in there goes on writing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def step(self, operation: str, path: str) -> None:
        if operation in ("unlink", "rmdir") and "/undo/2/" in path and self.written < 5:
            directory = Path(path).parent if operation == "unlink" else Path(path)
            if directory.parent.name == "2":
                self.written += 1
                (directory / f"late{self.written}").write_text("somebody's")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    for version in ("1", "2"):
        stage = make_tree(tmp_path / version, {"lib/pkg/a": version, "lib/pkg/b": version, "lib/c": version})
        (tmp_path / "prefix/lib").mkdir(exist_ok=True)
        (tmp_path / "prefix/lib/other").write_text("keeps lib from being one unit")
        with open_prefix(tmp_path / "prefix") as prefix:
            prefix.merge(package(stage, version))
    return tmp_path / "prefix"


def test_what_is_written_into_an_undo_area_while_it_is_deleted_is_saved_and_told(root: Path) -> None:
    busy = Busy()
    with open_prefix(root, busy) as prefix:
        told = prefix.gc(keep=0).strays
    lost = root / "var/lib/shipway/lost+found/2/lib/pkg"
    assert busy.written == 5
    assert sorted(path.name for path in lost.iterdir()) == [f"late{n}" for n in range(1, 6)]
    assert sorted(told) == [str(lost / f"late{n}") for n in range(1, 6)]
    assert not list((root / "var/lib/shipway/work").iterdir())


def test_a_commit_whose_collection_saves_a_stray_says_so(root: Path, tmp_path: Path) -> None:
    old = next(path for path in (root / "var/lib/shipway/undo/2").iterdir() if path.is_dir() and (path / "a").exists())
    (old / "mine").write_text("somebody's")
    stage = make_tree(tmp_path / "3", {"lib/pkg/a": "3", "lib/pkg/b": "3", "lib/c": "3"})
    with Prefix(str(root), options=OPTIONS._replace(keep=0)) as prefix:
        _, outcome = prefix.merge(package(stage, "3"))
    assert [Path(note.path).name for note in outcome.notes if note.kind == "stray"] == ["mine"]


@pytest.fixture
def place() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can become other users")
    path = Path(tempfile.mkdtemp(prefix="shipway-collecting-"))
    path.chmod(0o755)
    (path / "prefix").mkdir()
    os.chown(path / "prefix", USER, USER)
    yield path
    shutil.rmtree(path)


def test_what_root_left_in_a_user_s_prefix_does_not_stop_his_collections(place: Path) -> None:
    trees = [make_tree(place / str(n), {"bin/a": str(n), "bin/b": str(n)}) for n in range(4)]
    shown = place / "prefix/var/lib/shipway/undo"

    def merge(number: int) -> None:
        with Prefix(str(place / "prefix"), options=OPTIONS) as prefix:
            prefix.merge(package(trees[number], str(number)))

    def user(number: int) -> None:
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        if number < 2:
            merge(number)
            return
        with Prefix(str(place / "prefix"), options=OPTIONS) as prefix:
            assert 3 not in prefix.gc(keep=0).transactions

    assert in_child(lambda: user(0)) == FINISHED
    (place / "prefix/bin/other").write_text("keeps bin from being one unit")
    assert in_child(lambda: user(1)) == FINISHED
    merge(3)
    assert in_child(lambda: user(2)) == FINISHED
    assert [path.name for path in shown.iterdir()] == ["3"]
    with Prefix(str(place / "prefix"), options=OPTIONS) as prefix:
        assert prefix.gc(keep=0).transactions == (3,)
    assert not list(shown.iterdir())
