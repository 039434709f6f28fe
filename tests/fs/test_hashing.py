"""SHA-256 of files, and of none but the file that was meant."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable

import pytest

from shipway.fs.found import look
from shipway.fs.hashing import ChangedError, hash_file
from shipway.fs.system import FileSystem

Put = Callable[..., str]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3_000_000])
def test_a_digest_is_that_of_the_content(fs: FileSystem, area: str, size: int) -> None:
    data = os.urandom(size)
    fs.write_file(f"{area}/a", data, 0o600)
    assert hash_file(f"{area}/a") == hashlib.sha256(data).hexdigest()
    assert hash_file(f"{area}/a", expect=look(f"{area}/a")) == hashlib.sha256(data).hexdigest()


def test_symlinks_are_not_followed(area: str, put: Put) -> None:
    os.symlink(put("a", "content"), f"{area}/link")
    with pytest.raises(OSError) as caught:
        hash_file(f"{area}/link")
    assert caught.value.errno == errno.ELOOP


def test_a_pipe_does_not_block(area: str) -> None:
    os.mkfifo(f"{area}/pipe")
    assert hash_file(f"{area}/pipe") == hashlib.sha256().hexdigest()


@pytest.mark.parametrize("change", ["size", "time", "replaced"])
def test_a_file_that_is_not_the_one_expected_is_refused(fs: FileSystem, area: str, put: Put, change: str) -> None:
    path = put("a", "content")
    expected = look(path)
    assert expected is not None
    if change == "size":
        put("a", "content and more")
        fs.utime(path, expected.mtime)
    elif change == "time":
        fs.utime(path, expected.mtime + 1_000_000_000)
    else:
        fs.write_file(f"{area}/new", b"content", expected.mode, expected.mtime)
        fs.replace(f"{area}/new", path)
    with pytest.raises(ChangedError, match="changed while"):
        hash_file(path, expect=expected)
