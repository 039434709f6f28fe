"""Mounts, and what a file system does with locks and letter case."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.fs import mount, native
from shipway.fs.mount import MountInfo, file_system, folds_case, lock_scope, mount_points, syncfs_reports_errors
from tests.fs.apart import Apart

Put = Callable[..., str]


def test_mount_points_strictly_below_are_found_whatever_their_names(area: str, put: Put, apart: Apart) -> None:
    odd = "tree/a b\n\\040c"
    inside, outside, itself = put(odd), put("tree-beside"), put("tree")
    mounts = [["mount", "-t", "tmpfs", "none", path] for path in (itself, outside)]
    mounts += [["mkdir", inside], ["mount", "-t", "tmpfs", "none", inside], ["mkdir", f"{itself}/b"]]
    mounts += [["mount", "--bind", inside, f"{itself}/b"]]
    assert apart.under_mounts(mounts, lambda: mount_points(itself)) == [inside, f"{itself}/b"]
    assert mount_points(itself) == []


def test_mount_points_are_given_as_the_tree_was_given(area: str, put: Put, apart: Apart) -> None:
    os.symlink(put("tree"), f"{area}/link")
    mounts = [["mount", "-t", "tmpfs", "none", put("tree/sub")]]
    assert apart.under_mounts(mounts, lambda: mount_points(f"{area}/link")) == [f"{area}/link/sub"]


def test_the_root_has_mount_points_below() -> None:
    if os.path.ismount("/proc"):
        assert "/proc" in mount_points("/")
    assert "/" not in mount_points("/")


def test_the_file_system_of_a_path_is_the_topmost_mount(area: str, put: Put, apart: Apart) -> None:
    point = put("point")
    mounts = [["mount", "-t", "tmpfs", "none", point], ["mount", "-t", "ramfs", "none", point]]

    def ask() -> tuple[MountInfo, str]:
        return file_system(f"{point}/missing/deeper"), file_system(area).type

    found, around = apart.under_mounts(mounts, ask)
    assert (found.type, found.point) == ("ramfs", point)
    assert "rw" in found.options
    assert around == file_system(area).type != "ramfs"


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("ext4", ("rw", "relatime"), ""),
        ("nfs4", ("rw", "vers=4.2", "local_lock=none"), ""),
        ("nfs", ("rw", "nolock", "local_lock=all"), "mounted with nolock"),
        ("nfs", ("rw", "local_lock=flock"), "local_lock=flock"),
        ("nfs", ("rw", "local_lock=posix"), ""),
        ("lustre", ("rw", "flock"), ""),
        ("lustre", ("rw", "localflock"), "this host alone"),
        ("lustre", ("rw",), "no locks at all"),
        ("ocfs2", ("rw", "localflocks"), "this host alone"),
    ],
)
def test_locks_that_do_not_reach_other_hosts_are_told(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(mount, "file_system", lambda path: MountInfo(kind, options, "/net"))
    found = lock_scope("/net/prefix")
    assert reason in found
    assert bool(found) is bool(reason)


def test_case_matters_here(area: str, put: Put) -> None:
    assert not folds_case(put("empty"))
    put("Name", "content")
    put("name", "content")
    put("123", "content")
    assert not folds_case(area)


def test_a_directory_that_folds_case_is_recognised(area: str, put: Put, apart: Apart) -> None:
    point = put("point")

    def ask() -> list[bool]:
        Path(point, "folding").mkdir()
        before = folds_case(f"{point}/folding")
        Path(point, "folding/Name").touch()
        return [before, folds_case(f"{point}/folding"), os.path.exists(f"{point}/folding/nAME")]

    assert apart.under_mounts([["mount", "-t", "tmpfs", "-o", "casefold", "none", point]], ask) == [True] * 3


def test_folding_is_found_by_looking_where_no_flag_tells(area: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("Name", "content")
    monkeypatch.setattr(native, "inode_flags", lambda path: None)
    real = os.path.lexists
    monkeypatch.setattr("os.path.lexists", lambda path: real(path) or real(path.replace("nAME", "Name")))
    assert folds_case(area)


def test_where_no_name_can_be_looked_up_the_type_decides(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "inode_flags", lambda path: None)
    for kind, folds in (("vfat", True), ("ext4", False)):
        monkeypatch.setattr(mount, "file_system", lambda path, kind=kind: MountInfo(kind, (), "/"))
        assert folds_case(put("empty")) is folds


def test_syncfs_is_not_trusted_on_fuse_nor_on_old_kernels(area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(release: str) -> os.uname_result:
        return os.uname_result(("Linux", "host", release, "#1", "x86_64"))

    monkeypatch.setattr(mount, "file_system", lambda path: MountInfo("ext4", (), "/"))
    monkeypatch.setattr("os.uname", lambda: kernel("6.18.44-fc-v669"))
    assert syncfs_reports_errors(area)
    monkeypatch.setattr("os.uname", lambda: kernel("4.18.0-513.el8.x86_64"))
    assert not syncfs_reports_errors(area)
    monkeypatch.setattr("os.uname", lambda: kernel("5.8"))
    monkeypatch.setattr(mount, "file_system", lambda path: MountInfo("fuse.sshfs", (), "/"))
    assert not syncfs_reports_errors(area)
