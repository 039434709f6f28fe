"""The probe that asks the kernel whether a rename would be allowed, and changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from tests.fs.apart import NOBODY, Apart

Put = Callable[..., str]


@pytest.fixture
def full(put: Put) -> str:
    """A directory of ours that is never empty."""
    put("full/never-empty", "")
    os.chmod(put("full"), 0o777)
    return put("full")


def answer(fs: FileSystem, source: str, full: str) -> int:
    """The error's number; 0 if the move is allowed."""
    error = fs.can_move(source, full)
    return error.errno or -1 if error else 0


def whole(area: str) -> list[str]:
    return sorted(str(path) for path in Path(area).rglob("*"))


def test_an_ordinary_name_of_any_kind_can_be_moved(fs: FileSystem, area: str, put: Put, full: str) -> None:
    put("live/sub/file", "content")
    put("live/empty")
    os.symlink("sub", f"{area}/live/link")
    os.symlink("nowhere", f"{area}/live/dangling")
    os.mkfifo(f"{area}/live/pipe")
    before = whole(area)
    for name in ("sub", "sub/file", "empty", "link", "dangling", "pipe"):
        assert fs.can_move(f"{area}/live/{name}", full) is None, name
    assert whole(area) == before


def test_what_is_not_there_cannot_be_moved(fs: FileSystem, area: str, full: str) -> None:
    error = fs.can_move(f"{area}/missing", full)
    assert error is not None
    assert error.errno == errno.ENOENT
    assert error.filename == f"{area}/missing"


def test_it_refuses_to_ask_with_an_empty_directory(fs: FileSystem, area: str, put: Put) -> None:
    put("live/file", "content")
    with pytest.raises(ValueError, match="empty"):
        fs.can_move(f"{area}/live", put("full"))
    with pytest.raises(NotADirectoryError):
        fs.can_move(f"{area}/live", put("plain", "content"))
    with pytest.raises(FileNotFoundError):
        fs.can_move(f"{area}/live", f"{area}/nowhere")
    assert os.listdir(f"{area}/live") == ["file"]


def test_a_parent_that_may_not_be_written_is_told(fs: FileSystem, put: Put, full: str, apart: Apart) -> None:
    live, file = put("closed/live"), put("closed/file", "content")
    if os.geteuid() == 0:
        os.chown(live, NOBODY, NOBODY)
    os.chmod(os.path.dirname(live), 0o555)
    assert apart.as_nobody(lambda: answer(fs, live, full)) == errno.EACCES
    assert apart.as_nobody(lambda: answer(fs, file, full)) == errno.EACCES
    os.chmod(os.path.dirname(live), 0o777)
    assert apart.as_nobody(lambda: answer(fs, live, full)) == 0
    assert apart.as_nobody(lambda: answer(fs, file, full)) == 0


def test_a_directory_that_may_not_be_written_itself_is_told(
    fs: FileSystem, area: str, put: Put, full: str, apart: Apart
) -> None:
    def make() -> int:
        os.mkdir(f"{area}/open/live")
        os.chmod(f"{area}/open/live", 0o555)
        return answer(fs, f"{area}/open/live", full)

    os.chmod(put("open"), 0o777)
    assert apart.as_nobody(make) == errno.EACCES


def test_somebody_elses_file_in_a_sticky_directory_is_told(fs: FileSystem, put: Put, full: str, apart: Apart) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to have files of two users")
    file = put("sticky/file", "content")
    os.chmod(os.path.dirname(file), 0o1777)
    assert apart.as_nobody(lambda: answer(fs, file, full)) == errno.EPERM


@pytest.mark.parametrize("flag", ["i", "a"])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_an_immutable_or_append_only_name_is_told(
    fs: FileSystem, area: str, put: Put, full: str, flag: str, kind: str
) -> None:
    live = put("live/it", "content") if kind == "file" else put("live/it")
    chattr(f"+{flag}", live)
    assert answer(fs, live, full) == errno.EPERM
    chattr(f"-{flag}", live)
    assert answer(fs, live, full) == 0
    chattr(f"+{flag}", f"{area}/live")
    assert answer(fs, live, full) == errno.EPERM


def chattr(flag: str, path: str) -> None:
    if not shutil.which("chattr") or subprocess.run(["chattr", flag, path], capture_output=True).returncode:
        pytest.skip("flags cannot be set on this file system, or by this user")


def test_a_mount_point_is_told_whatever_it_is(fs: FileSystem, put: Put, full: str, apart: Apart) -> None:
    memory, bound, elsewhere, file, other = (
        put("live/memory"), put("live/bound"), put("elsewhere"), put("live/file", ""), put("other", "")
    )  # fmt: skip
    mounts = [
        ["mount", "-t", "tmpfs", "none", memory],
        ["mount", "--bind", elsewhere, bound],
        ["mount", "--bind", other, file],
    ]
    found = apart.under_mounts(mounts, lambda: [answer(fs, path, full) for path in (memory, bound, file)])
    assert found == [errno.EBUSY] * 3


def test_what_lies_on_another_mount_of_the_same_device_is_told(
    fs: FileSystem, put: Put, full: str, apart: Apart
) -> None:
    bound, elsewhere = put("live"), put("elsewhere/sub")
    mounts = [["mount", "--bind", os.path.dirname(elsewhere), bound]]

    def ask() -> tuple[bool, int]:
        return os.stat(bound).st_dev == os.stat(full).st_dev, answer(fs, f"{bound}/sub", full)

    assert apart.under_mounts(mounts, ask) == (True, errno.EXDEV)


def test_a_read_only_mount_is_told(fs: FileSystem, area: str, put: Put, full: str, apart: Apart) -> None:
    live = put("live")
    mounts = [["mount", "--bind", area, area], ["mount", "-o", "remount,ro,bind", area]]
    assert apart.under_mounts(mounts, lambda: answer(fs, live, full)) == errno.EROFS


def test_a_directory_of_an_overlays_lower_layer_is_told(fs: FileSystem, area: str, put: Put, apart: Apart) -> None:
    put("lower/live/file", "content")
    options = f"lowerdir={put('lower')},upperdir={put('upper')},workdir={put('work')}"
    over = put("over")

    def ask() -> dict[str, int]:
        Path(over, "full").mkdir()
        Path(over, "full/never-empty").touch()
        Path(over, "new").mkdir()
        names = ("live", "live/file", "new")
        return {name: answer(fs, f"{over}/{name}", f"{over}/full") for name in names}

    mounts = [["mount", "-t", "overlay", "overlay", "-o", options, over]]
    assert apart.under_mounts(mounts, ask) == {"live": errno.EXDEV, "live/file": 0, "new": 0}


def test_a_file_system_that_moves_all_the_same_is_undone(
    fs: FileSystem, area: str, put: Put, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def careless(source: str, target: str) -> None:
        if target == full:
            shutil.rmtree(full)
        real(source, target)

    monkeypatch.setattr("os.rename", careless)
    assert answer(fs, put("live/file", "content"), full) == errno.ENOTSUP
    assert Path(area, "live/file").read_text() == "content"
