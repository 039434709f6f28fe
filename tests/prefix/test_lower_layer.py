"""A prefix that came with a container's image: what lies in the lower layer of an overlay cannot be renamed if it is a directory."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from tests.harness import make_tree, open_prefix, package, snapshot


class LowerLayer(FileSystem):
    """Will not rename the directories that were there before it, as an overlay will not."""

    def __init__(self, lower: Path) -> None:
        super().__init__()
        self.lower = {os.stat(parent).st_ino for parent, _, _ in os.walk(lower)}
        self.dies = False

    def take(self, source: str, target: str) -> None:
        if os.path.isdir(source) and os.stat(source).st_ino in self.lower:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)
        super().take(source, target)

    def remove_tree(self, path: str, spare: Callable[[str], bool] | None = None) -> None:
        if self.dies and os.path.basename(path).isdigit():
            os.rename(f"{path}/u0", f"{path}/half")
            raise KeyboardInterrupt
        super().remove_tree(path, spare)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    with open_prefix(tmp_path / "prefix") as prefix:
        for version in "123":
            prefix.merge(package(make_tree(tmp_path / version, {"lib/a": version, "lib/b": version}), version))
    return tmp_path / "prefix"


def test_images_and_undo_areas_are_collected(root: Path) -> None:
    before = snapshot(root)
    with open_prefix(root, LowerLayer(root)) as prefix:
        done = prefix.gc(0)
        assert len(done.images) == 2
        assert os.listdir(prefix.site.layout.undo) == []
        assert len(os.listdir(prefix.site.layout.images)) == 2
        assert prefix.verify().ok
    assert snapshot(root) == before


def test_what_a_killed_collection_left_of_an_undo_area_goes_with_the_next(root: Path) -> None:
    layer = LowerLayer(root)
    layer.dies = True
    with open_prefix(root, layer) as prefix, pytest.raises(KeyboardInterrupt):
        prefix.gc(0)
    with open_prefix(root) as prefix:
        prefix.gc(0)
        assert os.listdir(prefix.site.layout.undo) == []


def test_a_damaged_image_is_replaced(root: Path, tmp_path: Path) -> None:
    with open_prefix(root, LowerLayer(root)) as prefix:
        image = prefix.site.layout.image(prefix.package("pkg").image)
        Path(image, "lib/a").write_text("damaged")
        prefix.merge(package(tmp_path / "3", "3"))
        assert Path(image, "lib/a").read_text() == "3"
