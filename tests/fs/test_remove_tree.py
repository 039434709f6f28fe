"""Removing a tree: all of it, and nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from tests.fs.apart import NOBODY, Apart
from tests.fs.recorder import Recorder
from tests.fs.test_can_move import chattr

Put = Callable[..., str]


def test_whatever_is_there_is_removed(fs: FileSystem, area: str, put: Put) -> None:
    put("tree/a/b/c/file", "content")
    put("tree/empty")
    os.mkfifo(put("tree/a") + "/pipe")
    fs.remove_tree(put("tree"))
    fs.remove_tree(put("file", "content"))
    os.symlink("nowhere", f"{area}/link")
    fs.remove_tree(f"{area}/link")
    assert os.listdir(area) == []


def test_what_is_missing_is_as_good_as_removed(fs: FileSystem, area: str) -> None:
    fs.remove_tree(f"{area}/missing")
    fs.remove_tree(f"{area}/missing/deeper")


def test_a_trailing_slash_does_not_matter(fs: FileSystem, area: str, put: Put) -> None:
    fs.remove_tree(put("tree") + "/")
    assert os.listdir(area) == []


def test_symlinks_are_removed_and_never_followed(fs: FileSystem, area: str, put: Put) -> None:
    put("kept/file", "content")
    os.symlink(put("kept"), put("tree") + "/directory")
    os.symlink(put("kept/file", "content"), put("tree") + "/file")
    fs.remove_tree(put("tree"))
    os.symlink("kept", f"{area}/tree")
    fs.remove_tree(f"{area}/tree")
    assert os.listdir(area) == ["kept"]
    assert os.listdir(put("kept")) == ["file"]


@pytest.mark.parametrize("mode", [0o555, 0o444, 0o333, 0o000])
def test_directories_that_may_not_be_written_are_removed(
    fs: FileSystem, area: str, put: Put, apart: Apart, mode: int
) -> None:
    def work() -> list[str]:
        put("tree/a/b/file", "content")
        for name in ("tree/a/b", "tree/a", "tree"):
            os.chmod(f"{area}/{name}", mode)
        fs.remove_tree(f"{area}/tree")
        return os.listdir(area)

    assert apart.as_nobody(work) == []


def test_it_goes_on_after_an_error_and_tells_it_with_its_path(fs: FileSystem, area: str, put: Put) -> None:
    for name in ("a", "b", "c"):
        put(f"tree/{name}/file", "content")
    chattr("+i", f"{area}/tree/b/file")
    with pytest.raises(PermissionError) as caught:
        fs.remove_tree(f"{area}/tree")
    assert caught.value.filename == f"{area}/tree/b/file"
    assert sorted(str(path) for path in Path(area).rglob("*")) == [
        f"{area}/tree", f"{area}/tree/b", f"{area}/tree/b/file"
    ]  # fmt: skip


def test_several_errors_come_as_a_group(fs: FileSystem, area: str, put: Put) -> None:
    for name in ("a", "b", "c"):
        put(f"tree/{name}/file", "content")
    chattr("+i", f"{area}/tree/a/file")
    chattr("+i", f"{area}/tree/c/file")
    with pytest.raises(ExceptionGroup) as caught:
        fs.remove_tree(f"{area}/tree")
    assert sorted(getattr(error, "filename", "") for error in caught.value.exceptions) == [
        f"{area}/tree/a/file", f"{area}/tree/c/file"
    ]  # fmt: skip


def test_somebody_elses_directory_is_told(fs: FileSystem, area: str, put: Put, apart: Apart) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to have files of two users")
    put("tree/theirs/file", "content")
    os.chown(f"{area}/tree", NOBODY, NOBODY)
    with pytest.raises(PermissionError):
        apart.as_nobody(lambda: fs.remove_tree(f"{area}/tree"))
    assert os.path.exists(f"{area}/tree/theirs/file")


def test_mount_points_are_not_entered(fs: FileSystem, area: str, put: Put, apart: Apart) -> None:
    put("precious/file", "content")
    put("tree/file", "content")
    bound = put("tree/sub/bound")

    def work() -> tuple[int | None, str, list[str], list[str]]:
        with pytest.raises(OSError) as caught:
            fs.remove_tree(f"{area}/tree")
        return caught.value.errno, caught.value.filename, os.listdir(f"{area}/tree"), os.listdir(bound)

    found = apart.under_mounts([["mount", "--bind", put("precious"), bound]], work)
    assert found == (errno.EBUSY, bound, ["sub"], ["file"])
    assert os.listdir(put("precious")) == ["file"]


def test_each_removal_is_a_step(area: str, put: Put) -> None:
    put("tree/sub/file", "content")
    recorder = Recorder()
    recorder.remove_tree(f"{area}/tree")
    assert recorder.steps == [("unlink", "file"), ("rmdir", "sub"), ("rmdir", "tree")]


def test_a_wide_and_deep_tree_goes(fs: FileSystem, area: str, put: Put) -> None:
    for n in range(300):
        put(f"tree/wide/{n}", "")
    put("tree/" + "/".join("d" * 60), "")
    fs.remove_tree(f"{area}/tree")
    assert os.listdir(area) == []
