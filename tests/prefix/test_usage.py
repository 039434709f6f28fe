"""What a prefix takes on its disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.prefix.site import Options
from shipway.prefix.usage import Part, usage
from shipway.store.mode import LinkMode
from tests.harness import make_tree, open_prefix, package
from tests.prefix.strangers import as_nobody, needs_root, open_place

BIG = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    return tmp_path / "prefix"


def by_name(prefix: Prefix) -> dict[str, Part]:
    return {part.name: part for part in usage(prefix.site).parts}


def test_what_live_files_and_images_share_is_counted_once_and_as_live(root: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "stage", {"lib/big": "x" * BIG})
    with Prefix(str(root), options=Options(link=LinkMode.HARDLINK)) as prefix:
        prefix.merge(package(tree, "1"))
        found = by_name(prefix)
    assert found["live"].bytes >= BIG
    assert found["images"].bytes < BIG


def test_copies_are_counted_twice(root: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "stage", {"lib/big": "x" * BIG})
    with Prefix(str(root), options=Options(link=LinkMode.COPY)) as prefix:
        prefix.merge(package(tree, "1"))
        found = by_name(prefix)
    assert found["live"].bytes >= BIG
    assert found["images"].bytes >= BIG


def test_the_parts_are_all_there_is(root: Path, tmp_path: Path) -> None:
    """Everything below the prefix that is a package's or ours is in one part, and in one alone."""
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(tmp_path / "a", {"bin/x": "1", "lib/y": "-> z"}), "1"))
        prefix.merge(package(make_tree(tmp_path / "b", {"bin/x": "2"}), "2"))
        (root / "mine").write_text("not a package's")
        total = usage(prefix.site).total
        inodes = {_inode(path) for path in _below(root)}
    foreign = {_inode(root / path) for path in ("mine", "var", "var/lib")}
    assert total.inodes == len(inodes - foreign)


def _below(root: Path) -> list[Path]:
    return [Path(parent, name) for parent, folders, files in os.walk(root) for name in (*folders, *files)]


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return (status.st_dev, status.st_ino)


@needs_root
def test_what_may_not_be_read_is_said_not_guessed(tmp_path: Path) -> None:
    def unread() -> int:
        with open_prefix(place) as prefix:
            return by_name(prefix)["undo"].unread

    with open_place() as place:
        with open_prefix(place) as prefix:
            prefix.merge(package(make_tree(tmp_path / "a", {"bin/x": "1"}), "1"))
            prefix.merge(package(make_tree(tmp_path / "b", {"bin/x": "2"}), "2"))
        assert as_nobody(unread) == 1
