"""Trees at the limits of names and paths: they work, or are refused before anything is touched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.errors import ShipwayError
from shipway.model.blockers import only_derived
from shipway.model.entry import DEEPEST
from tests.fakes import MemoryDisk
from tests.harness import make_tree, open_prefix, package, snapshot


@pytest.fixture
def prefix(tmp_path: Path) -> Iterator[Prefix]:
    (tmp_path / "prefix").mkdir()
    with open_prefix(tmp_path / "prefix") as prefix:
        yield prefix
    subprocess.run(["rm", "-rf", tmp_path], check=True)  # pytest itself cannot remove trees as deep as these


def nested(root: Path, depth: int, name: str = "d", files: Sequence[str] = "f") -> Path:
    """A tree of directories one in another, with files in the last; paths may be longer than the kernel takes at once."""
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    for file in files:
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    return root


@pytest.mark.parametrize("move", [False, True])
def test_the_deepest_tree_can_be_installed_descended_into_replaced_and_removed(
    prefix: Prefix, tmp_path: Path, *, move: bool
) -> None:
    before = snapshot(tmp_path / "prefix")
    prefix.merge(package(nested(tmp_path / "1", DEEPEST), "1", move=move))
    prefix.merge(package(nested(tmp_path / "2", DEEPEST, files="g"), "1", "other", move=move))
    prefix.merge(package(nested(tmp_path / "3", DEEPEST, files="h"), "2", move=move))
    assert prefix.verify().ok
    prefix.remove(["other"])
    prefix.undo()
    prefix.remove(["pkg", "other"])
    assert snapshot(tmp_path / "prefix") == before


@pytest.mark.parametrize("depth", [DEEPEST + 1, 1200])
@pytest.mark.parametrize("move", [False, True])
def test_a_deeper_tree_is_refused_in_one_sentence(prefix: Prefix, tmp_path: Path, depth: int, *, move: bool) -> None:
    tree = nested(tmp_path / "stage", depth)
    with pytest.raises(ShipwayError) as caught:
        prefix.merge(package(tree, "1", move=move))
    assert len(caught.value.details) == 1
    assert caught.value.details[0].endswith(f"lies in more than {DEEPEST} directories, one in another")
    assert not os.path.lexists(tmp_path / "prefix/d")
    assert tree.is_dir()


@pytest.mark.parametrize("move", [False, True])
def test_a_path_too_long_for_the_prefix_is_refused_in_one_sentence(
    prefix: Prefix, tmp_path: Path, *, move: bool
) -> None:
    room = 4096 - len(os.fsencode(prefix.site.layout.state)) - 128
    prefix.merge(package(nested(tmp_path / "fits", room // 252, "d" * 251, "fgh"), "1", "fits", move=move))
    assert prefix.verify().ok
    prefix.remove(["fits"])
    nested(tmp_path / "long", room // 252, "d" * 251, ("f", "x" * 255))
    with pytest.raises(ShipwayError) as caught:
        prefix.merge(package(tmp_path / "long", "1", move=move))
    assert ["longer than" in problem for problem in caught.value.details] == [True]
    assert prefix.packages() == []


def test_names_of_255_bytes_that_are_no_text_work(prefix: Prefix, tmp_path: Path) -> None:
    names = ["x" * 255, os.fsdecode(b"\xff" * 255), "ä" * 127 + "x"]
    before = snapshot(tmp_path / "prefix")
    prefix.merge(package(make_tree(tmp_path / "1", {f"{n}/{n}": "1" for n in names}), "1"))
    prefix.merge(package(make_tree(tmp_path / "2", {f"{n}/{n}": "2" for n in names}), "2"))
    assert prefix.verify().ok
    assert [Path(tmp_path, "prefix", n, n).read_text() for n in names] == ["2"] * 3
    prefix.undo()
    prefix.remove(["pkg"])
    assert snapshot(tmp_path / "prefix") == before


def test_empty_directories_somebody_nested_deeply_are_not_taken_for_bytecode() -> None:
    disk = MemoryDisk()
    disk.put("/".join(["__pycache__"] * 1500) + "/a.cpython-311.pyc", "")
    assert not only_derived(disk, "__pycache__")


def test_a_directory_nested_deeply_by_somebody_stops_no_upgrade(prefix: Prefix, tmp_path: Path) -> None:
    for version in "12":
        make_tree(tmp_path / version, {"lib/a": version, "lib/b": version, "lib/__pycache__/": ""})
    prefix.merge(package(tmp_path / "1", "1"))
    nested(tmp_path / "prefix/lib/deep", 1200, "__pycache__", files=())
    prefix.merge(package(tmp_path / "2", "2"))
    prefix.remove(["pkg"])
    assert os.path.isdir(tmp_path / "prefix/lib/deep/__pycache__")
