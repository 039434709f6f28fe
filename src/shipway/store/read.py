"""Reading the files of a tree, many at a time: digest, mode, times and attributes in one open a file.

This is the hot path of sealing, run in several processes.  What it answers is packed in columns,
because that is what travels fast between them; what few files have is told apart, in `Odd`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from shipway.model.entry import FILE, Entry, Xattrs, listing_digest
from shipway.store import attributes
from shipway.store.paths import under

SMALL = 1 << 16
"""Up to this size a file is read in one piece."""

_CHUNK = 1 << 18
_TEXT = 8_000
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_QUIET = _FLAGS | getattr(os, "O_NOATIME", 0)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENODATA})


class Chunk(NamedTuple):
    """Some files of one directory: `path` in the tree, `at` in the manifest.

    `alias`: names that are taken already, because another directory of the tree goes to the same place.
    `whole`: the directory holds nothing else.
    """

    path: str
    at: str
    names: Sequence[str]
    alias: bool = False
    whole: bool = False


class Odd(NamedTuple):
    """What one file in a chunk has that few have; `number` counts from 0.

    `device` and `links` tell its inode if it has more names than this one, `foreign` that others
    own it, `staged` that its text names the stage, `lost` the attributes that its copy could not be given.  With a
    `problem` nothing else is known of it.
    """

    number: int
    device: int = 0
    links: int = 1
    foreign: bool = False
    xattrs: Xattrs = ()
    staged: bool = False
    lost: tuple[str, ...] = ()
    problem: str = ""


class Rows(NamedTuple):
    """The files of a chunk, in order and in columns; `digests` are 32 bytes each.

    `listing` is the digest of the directory's listing, if the chunk is all of it and nothing in it is odd.
    """

    modes: array[int]
    sizes: array[int]
    mtimes: array[int]
    ctimes: array[int]
    inodes: array[int]
    digests: bytes
    odd: Sequence[Odd]
    listing: str = ""


_Row = tuple[int, int, int, int, int, bytes]
_NOTHING: _Row = (0, 0, 0, 0, 0, bytes(32))


class ChangedError(Exception):
    """A file is not what it was a moment ago."""


class Content(NamedTuple):
    """What was found in one file; `lost` are attributes that its copy could not be given."""

    digest: bytes
    staged: bool
    xattrs: Xattrs
    lost: tuple[str, ...] = ()


class Reader:
    """Reads and hashes files, changing nothing.

    `source` is the tree, `stages` are paths that text should not name; files of others than `owner` are told as
    foreign.  Up to `limit` bytes a file is read in one piece; what is done with others is in `_content`.
    """

    limit = SMALL

    def __init__(self, source: str, stages: Sequence[str], owner: int) -> None:
        self.source = source
        self.stages = stages
        self.needles = tuple(map(os.fsencode, stages))
        self.owner = owner

    def read(self, chunks: Sequence[Chunk]) -> list[Rows]:
        """The rows of each chunk."""
        return [self._read_chunk(chunk) for chunk in chunks]

    def _read_chunk(self, chunk: Chunk) -> Rows:
        rows: list[_Row] = []
        odd: list[Odd] = []
        try:
            directory = os.open(under(self.source, chunk.path), _DIRECTORY)
        except OSError as error:
            odd += [Odd(number, problem=_problem(error)) for number in range(len(chunk.names))]
            return _packed(chunk, [_NOTHING] * len(chunk.names), odd)
        try:
            for name in chunk.names:
                try:
                    rows.append(self._read_file(directory, name, chunk, odd, len(rows)))
                except (OSError, ChangedError) as error:
                    odd.append(Odd(len(rows), problem=_problem(error)))
                    rows.append(_NOTHING)
        finally:
            os.close(directory)
        return _packed(chunk, rows, odd)

    def _read_file(self, directory: int, name: str, chunk: Chunk, odd: list[Odd], number: int) -> _Row:
        """One file; the status comes first, so whoever changes the file later is found out by comparing it again."""
        try:
            file = os.open(name, _QUIET, dir_fd=directory)
        except PermissionError:
            file = os.open(name, _FLAGS, dir_fd=directory)
        try:
            status = os.fstat(file)
            mode, size = status.st_mode, status.st_size
            if not stat.S_ISREG(mode):
                raise ChangedError
            if size > self.limit:
                digest, staged, xattrs, lost = self._content(file, status, chunk, name)
            else:
                data = os.read(file, size + 1)
                if len(data) != size:
                    raise ChangedError
                digest, staged, lost = hashlib.sha256(data).digest(), self.names_stage(data), ()
                xattrs = xattrs_of(file)
        finally:
            os.close(file)
        links, foreign = status.st_nlink, status.st_uid != self.owner
        if links != 1 or foreign or staged or xattrs:
            odd.append(Odd(number, status.st_dev, links, foreign, xattrs, staged, lost))
        return mode & 0o7777, size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, digest

    def _content(self, file: int, status: os.stat_result, chunk: Chunk, name: str) -> Content:
        """What is in a file above the limit."""
        del chunk, name
        return Content(*self.digest_long(file, status.st_size), xattrs_of(file))

    def digest_long(self, file: int, size: int) -> tuple[bytes, bool]:
        """The digest of a file of any size, and whether its text names the stage.

        Raises ChangedError if it has another size than its status said.
        """
        total = hashlib.sha256()
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        search = _Search(self.needles)
        left = size
        while got := os.readv(file, [buffer]):
            left -= got
            total.update(view[:got])
            search.feed(view[:got])
        if left:
            raise ChangedError
        return total.digest(), search.found

    def names_stage(self, data: bytes) -> bool:
        """Whether content is text that holds a path of the stage."""
        if not self.needles or data.find(b"\0", 0, _TEXT) >= 0:
            return False
        return True in [needle in data for needle in self.needles]


class _Search:
    """Looks for needles in text that comes in pieces; the first piece says whether it is text."""

    def __init__(self, needles: tuple[bytes, ...]) -> None:
        self.found = False
        self._needles = needles
        self._overlap = max(map(len, needles), default=1) - 1
        self._tail: bytes | None = None

    def feed(self, piece: memoryview) -> None:
        """Look at the next piece."""
        if not self._needles or self.found:
            return
        data = bytes(piece)
        if self._tail is None:
            self._tail = b""
            if data.find(b"\0", 0, _TEXT) >= 0:
                self._needles = ()
                return
        data = self._tail + data
        self.found = any(needle in data for needle in self._needles)
        self._tail = data[-self._overlap :] if self._overlap else b""


def _packed(chunk: Chunk, rows: Sequence[_Row], odd: Sequence[Odd]) -> Rows:
    modes, sizes, mtimes, ctimes, inodes, digests = zip(*rows, strict=True)
    listing = _listing(chunk.names, modes, digests) if chunk.whole and not odd else ""
    return Rows(
        array("H", modes),
        array("q", sizes),
        array("q", mtimes),
        array("q", ctimes),
        array("Q", inodes),
        b"".join(digests),
        odd,
        listing,
    )


def _listing(names: Sequence[str], modes: Sequence[int], digests: Sequence[bytes]) -> str:
    """The digest of a listing: taken here, because here is where several processes work."""
    return listing_digest(
        Entry(name, FILE, mode, 0, 0, digest.hex()) for name, mode, digest in zip(names, modes, digests, strict=True)
    )


def xattrs_of(file: int) -> Xattrs:
    """The attributes of an open file that are worth keeping; none where the file system has none."""
    try:
        names = os.listxattr(file)
    except OSError as error:
        if error.errno in attributes.UNKNOWN:
            return ()
        raise
    return attributes.kept(file, names) if names else ()


def _problem(error: OSError | ChangedError) -> str:
    if isinstance(error, ChangedError) or error.errno in _GONE:
        return "changed while it was read"
    return f"cannot be read: {error.strerror}"
