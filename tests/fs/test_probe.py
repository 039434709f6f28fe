"""What a file system can do and how much room it has; the calls that Python lacks."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.fs import libc, native
from shipway.fs.probe import probe
from shipway.fs.space import flags, free
from tests.fs.apart import Apart
from tests.fs.test_can_move import chattr

Put = Callable[..., str]


def test_a_probe_tells_what_works_and_leaves_nothing(area: str) -> None:
    found = probe(area)
    assert os.listdir(area) == []
    assert found.directory == area
    assert found.symlink
    assert found.hardlink
    assert isinstance(found.exchange, bool)
    assert found.type not in ("", "unknown")
    assert not found.folds_case


def test_a_probe_of_a_memory_file_system(put: Put, apart: Apart) -> None:
    point = put("point")
    found = apart.under_mounts([["mount", "-t", "tmpfs", "none", point]], lambda: probe(point))
    assert (found.type, found.reflink, found.hardlink, found.lock_scope) == ("tmpfs", False, True, "")


def test_a_probe_without_the_flags_of_renameat2(area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "renameat2", None)
    found = probe(area)
    assert (found.exchange, found.noreplace) == (False, False)
    assert os.listdir(area) == []


def test_a_probe_of_a_file_system_that_refuses_the_flag_only_where_the_name_is_free(
    area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As FUSE does: of a name that is taken, the kernel knows without asking."""

    def rename(source: str, target: str, flags: int) -> None:
        taken = flags == native.NOREPLACE and os.path.lexists(target)
        raise OSError(errno.EEXIST if taken else errno.EINVAL, "made up", source, None, target)

    monkeypatch.setattr(native, "rename", rename)
    assert not probe(area).noreplace


def test_a_probe_where_nothing_can_be_made_is_an_error(put: Put, apart: Apart) -> None:
    os.chmod(put("closed"), 0o555)
    with pytest.raises(PermissionError):
        apart.as_nobody(lambda: probe(put("closed")))


def test_free_room_is_that_of_this_user(area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.statvfs(area)
    values = list(status)
    room = free(area)
    assert room.bytes > 0
    assert room.inodes is None or room.inodes > 0
    values[1], values[4], values[5], values[7] = 4096, 10, 0, 0
    monkeypatch.setattr("os.statvfs", lambda path: os.statvfs_result(values))
    assert free(area) == (40960, None)


@pytest.mark.parametrize(("letter", "expected"), [("i", (True, False)), ("a", (False, True))])
def test_flags_that_hold_a_file_fast_are_told(put: Put, letter: str, expected: tuple[bool, bool]) -> None:
    path = put("file", "content")
    assert flags(path) == (False, False)
    chattr(f"+{letter}", path)
    assert flags(path) == expected


def test_flags_of_what_is_not_there_are_an_error(area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        flags(f"{area}/missing")
    monkeypatch.setattr(libc, "statx", None)
    assert flags(area) == (False, False)


def test_statx_says_what_lstat_says(area: str, put: Put) -> None:
    os.symlink("nowhere", f"{area}/link")
    for path in (put("file", "content"), put("directory"), f"{area}/link", "/dev/null"):
        plain, full = os.lstat(path), native.status(path)
        assert full is not None
        assert (full.mode, full.dev, full.ino) == (plain.st_mode, plain.st_dev, plain.st_ino)
    descriptor = os.open(area, os.O_RDONLY)
    assert native.descriptor_status(descriptor) == native.status(area)
    os.close(descriptor)


def test_renaming_works_by_the_bare_system_call_too(area: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = libc._function

    def without(name: str, *arguments: object) -> Callable[..., int] | None:
        return None if name == "renameat2" else wrapped(name, *arguments)

    if not probe(area).noreplace:
        pytest.skip("this file system does not know the flag")
    monkeypatch.setattr(libc, "_function", without)
    bare = libc._find_renameat2()
    if bare is None:
        pytest.skip("the number of the system call is not known for this machine")
    monkeypatch.setattr(libc, "renameat2", bare)
    a, b = put("a", "a"), put("b", "b")
    with pytest.raises(FileExistsError):
        native.rename(a, b, native.NOREPLACE)
    native.rename(a, f"{area}/c", native.NOREPLACE)
    assert Path(area, "c").read_text() == "a"


def test_an_error_of_a_call_names_both_paths(area: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        native.rename(f"{area}/a", f"{area}/b", native.NOREPLACE)
    assert (caught.value.filename, caught.value.filename2) == (f"{area}/a", f"{area}/b")
    with pytest.raises(OSError) as bad:
        native.syncfs(-1)
    assert bad.value.errno == errno.EBADF
