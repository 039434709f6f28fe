"""What lies on disk, as values."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shipway.fs import libc
from shipway.fs.found import Found, identity, kind_of, list_directory, look
from shipway.fs.system import FileSystem
from tests.fs.apart import Apart

Put = Callable[..., str]


def found(path: str) -> Found:
    result = look(path)
    assert result is not None
    return result


def test_a_file_is_described(fs: FileSystem, area: str) -> None:
    path = f"{area}/file"
    fs.write_file(path, b"x" * 5000, 0o640, 1_234_567_890_123_456_789)
    fs.chmod(path, 0o4750)
    fs.link(path, f"{area}/other")
    status = os.stat(path)
    assert found(path) == Found(
        "file", "f", 0o4750, 5000, 1_234_567_890_123_456_789, status.st_ino, status.st_dev,
        os.getuid(), status.st_gid, 2, status.st_blocks, "",
    )  # fmt: skip


def test_kinds_are_told_apart_and_only_files_have_a_size(area: str, put: Put) -> None:
    os.symlink("some where\n", f"{area}/link")
    os.mkfifo(f"{area}/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{area}/socket")
    put("directory/file", "content")
    put("file", "content")
    rows = [(f.name, f.kind, f.size, f.target) for f in list_directory(area)]
    assert rows == [
        ("directory", "d", 0, ""),
        ("file", "f", 7, ""),
        ("link", "l", 0, "some where\n"),
        ("pipe", "x", 0, ""),
        ("socket", "x", 0, ""),
    ]
    assert [found(f"{area}/{name}") for name, *_ in rows] == list_directory(area)
    assert kind_of(os.stat("/dev/null").st_mode) == "x"


def test_nothing_there_is_none_and_anything_else_is_an_error(area: str, put: Put, apart: Apart) -> None:
    put("file", "content")
    for path in (f"{area}/missing", f"{area}/missing/deeper", f"{area}/file/below"):
        assert look(path) is None
        assert identity(path) is None
    put("closed/file", "content")
    os.chmod(put("closed"), 0o000)
    for ask in (look, identity):
        with pytest.raises(PermissionError):
            apart.as_nobody(partial(ask, f"{area}/closed/file"))
    os.chmod(put("closed"), 0o700)


def test_a_listing_is_sorted_and_holds_every_name(area: str) -> None:
    names = sorted(["b", "a", "B", "a b", "new\nline", os.fsdecode(b"\xff\xfe"), "ü", ".hidden"])
    for name in names:
        Path(area, name).touch()
    assert [f.name for f in list_directory(area)] == names


def test_a_listing_of_what_is_no_directory_is_an_error(area: str, put: Put) -> None:
    with pytest.raises(FileNotFoundError):
        list_directory(f"{area}/missing")
    with pytest.raises(NotADirectoryError):
        list_directory(put("file", "content"))


def test_what_vanishes_while_it_is_listed_is_left_out(area: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("stays", "content")
    os.symlink("target", f"{area}/goes")

    def vanish(path: str) -> str:
        raise FileNotFoundError(2, "gone", path)

    monkeypatch.setattr("os.readlink", vanish)
    assert [f.name for f in list_directory(area)] == ["stays"]
    assert look(f"{area}/goes") is None


def test_an_identity_stays_with_the_file_under_any_name(fs: FileSystem, area: str, put: Put) -> None:
    path = put("file", "content")
    before = identity(path)
    assert before is not None
    assert (before.dev, before.ino, before.kind) == (os.stat(path).st_dev, os.stat(path).st_ino, "f")
    fs.chmod(path, 0o600)
    fs.utime(path, 1)
    fs.place(path, f"{area}/other")
    assert identity(f"{area}/other") == before
    assert identity(put("file", "content")) != before
    os.symlink("other", f"{area}/link")
    assert getattr(identity(f"{area}/link"), "kind", "") == "l"


def test_without_statx_there_is_no_time_of_birth(area: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("file", "content")
    full = identity(path)
    monkeypatch.setattr(libc, "statx", None)
    assert full is not None
    assert identity(path) == full._replace(born=0)
    assert identity(f"{area}/missing") is None
