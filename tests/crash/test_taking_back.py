"""Programs that write into a new directory before its commit is taken back, and after: no file is lost."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from tests.harness import DIED, die, fail, in_child, make_tree, open_prefix, package, versions

OLD = {"bin/tool": "old", "lib/pkg/a": "old", "lib/pkg/b": "old"}
NEW = {"bin/tool": "new", "lib/pkg/a": "new", "lib/pkg/b": "new", "share/pkg/a": "new", "share/pkg/b": "new"}
MANY = 40
DIRECTORIES = ("lib/pkg", "share/pkg")


class Failing(FileSystem):
    """Cannot change the last unit.  From then on programs are in the new directories, and write before every change."""

    def __init__(self, root: Path, written: Path, lives: int = 1000) -> None:
        super().__init__()
        self.lives = lives
        self.root = root
        self.written = written
        self.inside: list[int] = []

    def step(self, operation: str, path: str) -> None:
        for directory in self.inside:
            self.write(directory, f"late-{operation}-{directory}-{len(self.written.read_text())}")
        if (operation, path) == ("exchange", str(self.root / "bin/tool")) and not self.inside:
            self.inside = [os.open(self.root / name, os.O_RDONLY) for name in DIRECTORIES]
            fail()
        self.lives -= bool(self.inside)
        if not self.lives:
            die()

    def write(self, directory: int, name: str) -> None:
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=directory))
        except FileNotFoundError:
            return
        with self.written.open("a") as names:
            names.write(f"{name}\n")
        if len(self.written.read_text().split()) > MANY:
            self.inside = []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_tree(
        tmp_path / "prefix", {name: "keeps it from being one unit" for name in ("lib/o", "bin/o", "share/o")}
    )
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(tmp_path / "1", OLD), "1"))
    make_tree(tmp_path / "2", NEW)
    (tmp_path / "written").touch()
    return root


def missing(root: Path, written: Path) -> set[str]:
    found = {name for _, _, names in os.walk(root) for name in names}
    return set(written.read_text().split()) - found


def test_what_programs_write_while_a_commit_is_taken_back_is_not_lost(root: Path, tmp_path: Path) -> None:
    written = tmp_path / "written"
    with open_prefix(root, Failing(root, written)) as prefix, pytest.raises(ShipwayError, match="taken back"):
        prefix.merge(package(tmp_path / "2", "2"))
    assert len(written.read_text().split()) > MANY
    assert versions(root) == {"pkg": "1"}
    assert not os.listdir(root / "var/lib/shipway/work")
    assert not missing(root, written)


def test_nor_where_that_is_killed(root: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    root.rename(start)
    for lives in itertools.count(1):
        written = tmp_path / f"written{lives}"
        written.touch()
        shutil.copytree(start, root, symlinks=True)

        def killed(fs: Failing) -> Callable[[], None]:
            def run() -> None:
                with open_prefix(root, fs) as prefix:
                    prefix.merge(package(tmp_path / "2", "2"))

            return run

        code = in_child(killed(Failing(root, written, lives)))
        open_prefix(root).close()
        assert not missing(root, written), lives
        assert not os.listdir(root / "var/lib/shipway/work")
        shutil.rmtree(root)
        if code != DIED:
            break
    assert lives > 10
