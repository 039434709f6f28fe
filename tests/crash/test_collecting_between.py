"""A collection by somebody else at every step of a merge whose image is in the store already, left by a dead process."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from shipway.api import Prefix
from shipway.fs.system import FileSystem
from tests.harness import DIED, OPTIONS, FaultyFileSystem, die, in_child, make_tree, open_prefix, package

FILES = {"lib/pkg/a": "1", "lib/pkg/b": "1", "bin/tool": "1"}


class Dying(FileSystem):
    """Ends the process when its image is recorded and nothing refers to it."""

    def step(self, operation: str, path: str) -> None:
        if (operation, path) == ("database", "prepare"):
            die()


class Beside(FaultyFileSystem):
    """Collects in another process just before the k-th change, if the prefix is not locked."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(at, self.collect)
        self.root = root

    def collect(self) -> None:
        def run() -> None:
            with Prefix(str(self.root), options=OPTIONS._replace(wait=0)) as prefix:
                prefix.gc(keep=0)

        in_child(run)


def merge(root: Path, tree: Path, fs: FileSystem) -> None:
    with open_prefix(root, fs) as prefix:
        prefix.merge(package(tree, "1"))


def test_an_image_that_somebody_is_about_to_commit_stays(tmp_path: Path) -> None:
    start, tree = tmp_path / "start", make_tree(tmp_path / "tree", FILES)
    start.mkdir()
    assert in_child(lambda: merge(start, tree, Dying())) == DIED
    for step in itertools.count(1):
        root = tmp_path / f"p{step}"
        shutil.copytree(start, root, symlinks=True)
        fs = Beside(root, step)
        merge(root, tree, fs)
        with open_prefix(root) as prefix:
            (installed,) = prefix.packages()
            assert Path(prefix.site.layout.image(installed.package.image)).is_dir(), step
            (root / "lib/pkg/a").unlink()
            prefix.repair()
            assert prefix.verify().ok, step
            prefix.gc(keep=0)
            assert prefix.files("pkg")
        shutil.rmtree(root)
        if fs.count < step:
            break
    assert step > 20
