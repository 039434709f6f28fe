"""write_file, copy_file, clone_file and the attributes of what they make."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.fs import native
from shipway.fs.system import FileSystem
from tests.fs.apart import Apart

Put = Callable[..., str]
MEGABYTE = 1 << 20
TIME = 1_234_567_890_123_456_789


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o444, 0o4755, 0o2711, 0o666])
def test_a_new_file_has_exactly_its_mode_and_time(fs: FileSystem, area: str, umask: int, mode: int) -> None:
    fs.write_file(f"{area}/a", b"content", mode, TIME)
    fs.copy_file(f"{area}/a", f"{area}/b", mode, TIME + 1)
    for path, time in ((f"{area}/a", TIME), (f"{area}/b", TIME + 1)):
        status = os.stat(path)
        assert (status.st_mode & 0o7777, status.st_mtime_ns) == (mode, time)
        assert Path(path).read_bytes() == b"content"


def test_a_new_directory_has_exactly_its_mode(fs: FileSystem, area: str, umask: int) -> None:
    os.chmod(area, 0o2777)
    for mode in (0o755, 0o2775, 0o1777, 0o500):
        fs.mkdir(f"{area}/{mode:o}", mode)
        assert os.stat(f"{area}/{mode:o}").st_mode & 0o7777 == mode


def test_nothing_is_overwritten(fs: FileSystem, area: str, put: Put) -> None:
    put("there", "old")
    put("source", "new")
    os.symlink("nowhere", f"{area}/dangling")
    for target in (f"{area}/there", f"{area}/dangling"):
        with pytest.raises(FileExistsError):
            fs.write_file(target, b"new", 0o644)
        with pytest.raises(FileExistsError):
            fs.copy_file(f"{area}/source", target, 0o644, 0)
    assert Path(area, "there").read_text() == "old"
    assert sorted(os.listdir(area)) == ["dangling", "source", "there"]


@pytest.mark.parametrize("size", [0, 1, 4096, MEGABYTE, MEGABYTE + 1, 5 * MEGABYTE + 17])
def test_a_copy_has_the_same_bytes(fs: FileSystem, area: str, size: int) -> None:
    data = os.urandom(size)
    fs.write_file(f"{area}/a", data, 0o600)
    fs.copy_file(f"{area}/a", f"{area}/b", 0o600, 0)
    assert Path(area, "b").read_bytes() == data


LAYOUTS = {
    "hole at both ends": [(3, b"data"), (9, b"")],
    "data at both ends": [(0, b"start"), (8, b"end")],
    "one big hole": [(16, b"")],
    "islands": [(n, b"x" * 5000) for n in range(1, 12, 3)],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_holes_stay_holes(fs: FileSystem, area: str, layout: list[tuple[int, bytes]]) -> None:
    with open(f"{area}/a", "wb") as file:
        for megabyte, data in layout:
            file.seek(megabyte * MEGABYTE)
            file.write(data)
        file.truncate()
        os.fsync(file.fileno())
    fs.copy_file(f"{area}/a", f"{area}/b", 0o600, 0)
    assert Path(area, "b").read_bytes() == Path(area, "a").read_bytes()
    assert os.stat(f"{area}/b").st_blocks <= os.stat(f"{area}/a").st_blocks


def test_a_small_file_that_is_all_hole_is_copied(fs: FileSystem, area: str) -> None:
    with open(f"{area}/a", "wb") as file:
        file.truncate(10_000)
    fs.copy_file(f"{area}/a", f"{area}/b", 0o600, 0)
    assert Path(area, "b").read_bytes() == bytes(10_000)
    assert os.stat(f"{area}/b").st_blocks == 0


def unknown(*_: object) -> None:
    raise OSError(errno.EINVAL, "unknown")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_holes_stay_holes_where_nobody_tells_where_they_are(
    fs: FileSystem, area: str, layout: list[tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.lseek
    monkeypatch.setattr("os.lseek", lambda fd, at, how: unknown() if how == os.SEEK_DATA else real(fd, at, how))
    monkeypatch.setattr(native, "clone", unknown)
    test_holes_stay_holes(fs, area, layout)


def test_copying_goes_on_by_hand_where_the_kernel_does_not_copy(
    fs: FileSystem, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def first_only(source: int, target: int, count: int, at: int, to: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.EXDEV, "not between these")
        return os.pwrite(target, os.pread(source, 1000, at), to)

    data = os.urandom(3 * MEGABYTE)
    fs.write_file(f"{area}/a", data, 0o600)
    monkeypatch.setattr("os.copy_file_range", first_only)
    monkeypatch.setattr(native, "clone", unknown)
    fs.copy_file(f"{area}/a", f"{area}/b", 0o600, 0)
    assert calls == 2
    assert Path(area, "b").read_bytes() == data


def test_a_copy_goes_between_file_systems(fs: FileSystem, area: str, tmp_path: Path) -> None:
    data = os.urandom(2 * MEGABYTE)
    fs.write_file(f"{area}/a", data, 0o600)
    fs.copy_file(f"{area}/a", f"{tmp_path}/b", 0o640, TIME)
    assert (tmp_path / "b").read_bytes() == data


def test_a_failed_copy_leaves_nothing(fs: FileSystem, area: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(native, "copy_data", full)
    monkeypatch.setattr(native, "clone", unknown)
    with pytest.raises(OSError, match="no room"):
        fs.copy_file(put("a", "content"), f"{area}/b", 0o600, 0)
    assert os.listdir(area) == ["a"]


def test_a_symlink_or_a_directory_is_not_copied(fs: FileSystem, area: str, put: Put) -> None:
    os.symlink(put("a", "content"), f"{area}/link")
    with pytest.raises(OSError) as caught:
        fs.copy_file(f"{area}/link", f"{area}/b", 0o600, 0)
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(IsADirectoryError):
        fs.copy_file(put("directory"), f"{area}/b", 0o600, 0)
    assert not os.path.lexists(f"{area}/b")


def test_where_data_cannot_be_shared_clone_says_so_and_leaves_nothing(fs: FileSystem, area: str, put: Put) -> None:
    source = put("a", "content")
    for _ in range(2):
        if fs.clone_file(source, f"{area}/b", 0o644, 1):
            pytest.skip("this file system can share data")
        assert os.listdir(area) == ["a"]


def test_clone_shares_data_where_the_file_system_can(fs: FileSystem, apart: Apart, tmp_path: Path) -> None:
    if not shutil.which("mkfs.xfs"):
        pytest.skip("needs mkfs.xfs, to make a file system that shares data")
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(400 * MEGABYTE)
    data = os.urandom(3 * MEGABYTE)

    def clone() -> tuple[bool, bytes, int, int, int]:
        fs.write_file(f"{point}/a", data, 0o600)
        os.sync()
        before = os.statvfs(point).f_bfree
        done = fs.clone_file(f"{point}/a", f"{point}/b", 0o4751, TIME)
        fs.copy_file(f"{point}/a", f"{point}/c", 0o644, TIME)
        os.sync()
        status = os.stat(f"{point}/b")
        used = (before - os.statvfs(point).f_bfree) * os.statvfs(point).f_frsize
        return done, Path(f"{point}/c").read_bytes(), status.st_mode & 0o7777, status.st_mtime_ns, used

    mounts = [["mkfs.xfs", "-q", str(image)], ["mount", "-o", "loop", str(image), str(point)]]
    done, content, mode, mtime, used = apart.under_mounts(mounts, clone)
    assert (done, content == data, mode, mtime) == (True, True, 0o4751, TIME)
    assert used < MEGABYTE


def test_times_and_modes_of_symlinks_targets_stay(fs: FileSystem, area: str, put: Put) -> None:
    file = put("a", "content")
    os.chmod(file, 0o640)
    fs.symlink("a", f"{area}/link")
    before = os.stat(file)
    fs.utime(f"{area}/link", TIME)
    with pytest.raises(OSError) as caught:
        fs.chmod(f"{area}/link", 0o777)
    assert caught.value.errno == errno.ELOOP
    assert os.lstat(f"{area}/link").st_mtime_ns == TIME
    assert (os.stat(file).st_mtime_ns, os.stat(file).st_mode) == (before.st_mtime_ns, before.st_mode)


def test_chmod_sets_every_bit(fs: FileSystem, area: str, put: Put) -> None:
    fs.chmod(put("a", "content"), 0o6755)
    fs.chmod(put("directory"), 0o3700)
    assert os.stat(f"{area}/a").st_mode & 0o7777 == 0o6755
    assert os.stat(f"{area}/directory").st_mode & 0o7777 == 0o3700


def test_the_owner_sets_attributes_of_a_file_that_may_not_be_written(fs: FileSystem, area: str, apart: Apart) -> None:
    def work() -> tuple[bytes, int, int]:
        fs.write_file(f"{area}/a", b"content", 0o444, TIME)
        fs.set_xattr(f"{area}/a", "user.test", b"\0value")
        value = os.getxattr(f"{area}/a", "user.test")
        fs.remove_xattr(f"{area}/a", "user.test")
        status = os.stat(f"{area}/a")
        return value, status.st_mode & 0o7777, status.st_mtime_ns

    try:
        assert apart.as_nobody(work) == (b"\0value", 0o444, TIME)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system keeps no attributes")


def test_sync_and_flush_reach_the_disk_or_raise(fs: FileSystem, area: str, put: Put) -> None:
    descriptor = fs.open_for_sync(area)
    try:
        fs.flush(put("a", "content"))
        fs.flush(area)
        fs.sync(descriptor)
    finally:
        os.close(descriptor)
    with pytest.raises(OSError) as caught:
        fs.sync(descriptor)
    assert caught.value.errno == errno.EBADF
