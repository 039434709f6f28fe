"""What archives hold, whatever kind they are of: tar in all usual compressions, and zip.

The kind is told by the content, not by the name.  tar is read forward through a counting stream, so that nothing is ever
decompressed twice, no header can ask for all the memory, and an archive that ends in the middle is not taken for a short one.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import IO, NamedTuple, Protocol

from shipway.errors import ShipwayError

DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    IndexError,
    KeyError,
)
"""What the standard library raises for archives that are none, besides OSError."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "lzma",
    b"\x5d\0\0": "lzma",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"LZIP": "lzip",
    b"\x1f\x9d": "compress",
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PROGRAMS = {"zstd": ("zstd", "-dcq"), "lzip": ("lzip", "-dcq"), "compress": ("gzip", "-dcq")}
_COMPRESS = ("zstd", "-cq9", "-T0", "--check")
_LARGEST_HEADER = 1 << 24
_SKIP = 1 << 20
_KINDS = {
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}

FILE, DIRECTORY, SYMLINK, LINK = "a file", "a directory", "a symlink", "a hard link"


class ArchiveError(ShipwayError):
    """An archive cannot be unpacked: it is damaged, or it holds what is not let in."""


class _Plain(Protocol):
    """What is left of a file when its compression is taken away."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


class Member(NamedTuple):
    """One entry, with its name as the archive has it.  `kind` is in words; `mtime` in seconds since the epoch.

    `target` is what a link leads to; `open` gives the content of a file and is to be called before the next member is asked for.
    """

    name: str
    kind: str
    mode: int
    mtime: float
    target: str = ""
    open: Callable[[], IO[bytes]] | None = None


def is_archive(path: str) -> bool:
    """Whether the content of a file is that of an archive, as far as its beginning tells."""
    with contextlib.ExitStack() as opened:
        try:
            return next(opened.enter_context(members(path, _SKIP)), None) is not None
        except (*DAMAGE, OSError, ArchiveError):
            return False


@contextlib.contextmanager
def members(path: str, most: int, *, whole: bool = False) -> Iterator[Iterator[Member]]:
    """The entries of an archive, for the length of a `with` block.

    A tar may not decompress to more than `most` bytes; with `whole` there may be nothing behind its last entry.
    Raises ArchiveError, OSError, or one of DAMAGE, while it is read.
    """
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        if start.startswith(_ZIP):
            with zipfile.ZipFile(file) as archive:
                yield _of_zip(archive)
            return
        how = next((how for magic, how in _MAGIC.items() if start.startswith(magic)), "")
        with contextlib.closing(_decompressed(how, file, path)) as plain:
            stream = _Forward(plain, most)
            yield chain(_of_tar(stream), _nothing_more(stream)) if whole else _of_tar(stream)


def _decompressed(how: str, file: IO[bytes], path: str) -> _Plain:
    if how in ("gzip", "bz2", "lzma"):
        from importlib import import_module

        opened: _Plain = import_module(how).open(file)
        return opened
    return _Piped(_PROGRAMS[how], path) if how else file


class _Piped:
    """The output of a program that decompresses; its failure is the stream's."""

    def __init__(self, words: tuple[str, ...], path: str) -> None:
        program = shutil.which(words[0])
        if program is None:
            raise ArchiveError(f"{path} cannot be read without the program {words[0]}", hint=f"install {words[0]}")
        self._words = words
        with open(path, "rb", buffering=0) as file:
            self._process = subprocess.Popen(
                [program, *words[1:]], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        assert self._process.stdout is not None
        self._output = self._process.stdout

    def read(self, size: int = -1) -> bytes:
        """Some bytes; at the end the program must have ended well."""
        data = self._output.read(size)
        if not data and self._process.wait():
            raise EOFError(f"{self._words[0]} ended with {self._process.returncode}")
        return data

    def close(self) -> None:
        """End the program, wherever it is."""
        self._process.kill()
        self._process.communicate()


def compressed(parts: Iterable[bytes]) -> Generator[bytes, None, None]:
    """What zstd makes of the parts, the same bytes for the same parts.

    Raises ArchiveError if there is no zstd or it fails, and whatever the parts raise; then what came out is worth nothing.
    """
    program = shutil.which(_COMPRESS[0])
    if program is None:
        raise ArchiveError("nothing can be compressed without the program zstd", hint="install zstd")
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ZSTD_")}
    process = subprocess.Popen(
        [program, *_COMPRESS[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=settings,
    )
    output = process.stdout
    assert output is not None
    failed: list[BaseException] = []
    feeder = threading.Thread(target=_feed, args=(process, parts, failed), daemon=True)
    feeder.start()
    try:
        while data := output.read(_SKIP):
            yield data
        feeder.join()
        if failed:
            raise failed[0]
        if process.wait():
            raise ArchiveError(f"zstd ended with {process.returncode}")
    finally:
        process.kill()
        feeder.join()
        process.wait()
        output.close()


def _feed(process: subprocess.Popen[bytes], parts: Iterable[bytes], failed: list[BaseException]) -> None:
    """Hand the parts to a program; if that cannot be done to the end, the program is killed, so that it ends nothing well."""
    assert process.stdin is not None
    try:
        for part in parts:
            process.stdin.write(part)
    except BrokenPipeError:
        process.kill()
    except BaseException as error:  # noqa: BLE001  (raised again by who reads)
        failed.append(error)
        process.kill()
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


class _Forward:
    """A stream as tarfile wants it, that only goes forward.  What one read may take is limited, and what all take."""

    def __init__(self, plain: _Plain, most: int) -> None:
        self._plain = plain
        self._most = most
        self._position = 0
        self.last = b""

    def read(self, size: int) -> bytes:
        """As a file does; Raises ArchiveError for what no honest archive asks for."""
        if size > _LARGEST_HEADER:
            raise ArchiveError(f"a header claims to be {size} bytes long")
        parts = []
        while size and (data := self._plain.read(size)):
            parts.append(data)
            size -= len(data)
        self.last = b"".join(parts)
        self._position += len(self.last)
        if self._position > self._most:
            raise ArchiveError(f"it unpacks to more than {self._most} bytes: too much for its size")
        return self.last

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position

    def seek(self, position: int) -> int:
        """Skip to what lies ahead."""
        if position < self._position:
            raise ArchiveError("an entry begins before the end of the last one")
        while self._position < position and self.read(min(_SKIP, position - self._position)):
            pass
        return self._position


def _of_tar(stream: _Forward) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as archive:  # type: ignore[call-overload]
        while (info := archive.next()) is not None:
            archive.members.clear()
            yield _tar_member(archive, info)
    if stream.last.strip(b"\0"):
        raise EOFError(f"it is damaged before byte {stream.tell()}")


def _nothing_more(stream: _Forward) -> Iterator[Member]:
    """No entries: reads to the end, so that whoever decompresses has seen the whole archive and its checksum."""
    while data := stream.read(_SKIP):
        if data.strip(b"\0"):
            raise EOFError(f"there is something behind its last entry, before byte {stream.tell()}")
    yield from ()


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    def content() -> IO[bytes]:
        found = archive.extractfile(info)
        assert found is not None
        return found

    if info.isreg():
        return Member(info.name, FILE, info.mode, info.mtime, open=content)
    kind = DIRECTORY if info.isdir() else SYMLINK if info.issym() else LINK if info.islnk() else ""
    return Member(info.name, kind or _KINDS.get(info.type, "of no known kind"), info.mode, info.mtime, info.linkname)


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        mode, mtime = info.external_attr >> 16, _time_of(info)
        if info.is_dir():
            yield Member(info.filename, DIRECTORY, mode, mtime)
        elif stat.S_ISLNK(mode):
            target = archive.read(info)[:_SKIP] if info.file_size < _SKIP else b""
            yield Member(info.filename, SYMLINK, mode, mtime, target.decode("utf-8", "surrogateescape"))
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            yield Member(info.filename, FILE, mode or 0o644, mtime, open=partial(archive.open, info))
        else:
            yield Member(info.filename, "a device or a pipe", mode, mtime)


def _time_of(info: zipfile.ZipInfo) -> float:
    return time.mktime((*info.date_time, 0, 0, -1))
