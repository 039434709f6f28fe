"""Image files: one sealed package as one file, to be written by whoever built it and merged by who owns the prefix.

    shipway-image.json      the head: what the package is, and its manifest
    tree/PATH …             what the manifest says, in its order; or
    wheel/NAME.whl          a wheel

It is a tar, compressed with zstd.  Reading holds each member against the manifest: of the names in an archive none is ever followed,
nothing is written that the manifest does not have, and no more bytes than it says.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from shipway.errors import CorruptError, ShipwayError, UsageError
from shipway.fs import space
from shipway.fs.archive import DAMAGE, DIRECTORY, FILE, LINK, SYMLINK, ArchiveError, Member, compressed, members
from shipway.fs.hashing import hash_file
from shipway.fs.system import FileSystem
from shipway.model import entry as kinds
from shipway.model.entry import DEEPEST, Entry, Manifest
from shipway.store import attributes, image_head
from shipway.store.image_head import TREE, WHEEL, About, DamagedError, Head, WheelFile
from shipway.store.request import Remark, Scanned, SealRequest
from shipway.store.scan import scan

__all__ = ["About", "Head", "Unpacked", "WheelFile", "read_head", "unpack", "write_tree", "write_wheel"]

HEAD = "shipway-image.json"
LARGEST_HEAD = 256 << 20
_FREE, _RATIO = 16 << 20, 20
"""A head may be so many bytes long, or so many times the file: digests, which are a quarter of it, cannot be compressed."""
_MAGIC = b"\x28\xb5\x2f\xfd"
_MODE = 0o644
_CHUNK = 1 << 20
_ROOM = 1 << 14
"""Bytes that a member may take besides its content: headers, a long name, padding."""
_BLOCK = 512
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NANOSECONDS = 1_000_000_000


# -- writing ----------------------------------------------------------------------------------------------------------


def write_tree(fs: FileSystem, about: About, tree: str, path: str) -> Scanned:
    """Seal a staged tree into a file, leaving it as it is; what sealing leaves out is not in it, and told in the answer.

    A file that is there is replaced, in one step.  The same tree gives the same bytes.  Raises ShipwayError for a tree that cannot
    be sealed or changes meanwhile, or where there is no zstd, OSError if the file cannot be written; then nothing is left of it.
    """
    stages = tuple(dict.fromkeys((os.path.abspath(tree), os.path.realpath(tree))))
    scanned = scan(fs, SealRequest(os.path.realpath(tree), "", stages, deepest=DEEPEST))
    head = Head(about, scanned.manifest)
    _write(fs, path, _archive(head, lambda at, entry: _of_file(f"{tree}/{at}", entry.size, entry.digest)))
    return scanned


def write_wheel(fs: FileSystem, about: About, wheel: str, path: str) -> None:
    """The same of a wheel, which becomes an image where it is merged."""
    found = WheelFile(os.path.basename(wheel), os.path.getsize(wheel), hash_file(wheel))
    _write(fs, path, _archive(Head(about, found), lambda at, entry: _of_file(wheel, entry.size, entry.digest)))


def _write(fs: FileSystem, path: str, parts: Iterable[bytes]) -> None:
    target = os.path.realpath(path)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise UsageError(f"{path} is there, and is no file")
    made = f"{target}.{os.getpid()}-{os.urandom(4).hex()}.new"
    with contextlib.closing(compressed(parts)) as data:
        fs.write_file(made, data, _MODE)
    try:
        fs.flush(made)
        fs.replace(made, target)
    except BaseException:
        fs.unlink(made)
        raise
    fs.flush(os.path.dirname(target))


def _archive(head: Head, content: Callable[[str, Entry], Iterator[bytes]]) -> Iterator[bytes]:
    """The bytes of the tar; `content` gives those of one file of it."""
    data = image_head.encode(head)
    yield _header(HEAD, Entry("", kinds.FILE, size=len(data)), "")
    yield from _padded(iter((data,)), len(data))
    for name, entry, first in _expected(head):
        yield _header(name, entry, first)
        if entry.kind == kinds.FILE and not first:
            yield from _padded(content(name.partition("/")[2], entry), entry.size)
    yield bytes(2 * _BLOCK)


def _expected(head: Head) -> Iterator[tuple[str, Entry, str]]:
    """What follows a head: the name of each member, its entry, and of which earlier member it is a hard link."""
    if isinstance(head.content, WheelFile):
        name, size, digest = head.content
        yield f"{WHEEL}/{name}", Entry(name, kinds.FILE, size=size, digest=digest), ""
        return
    first: dict[int, str] = {}
    for path, entry in head.content.walk():
        name = f"{TREE}/{path}"
        earlier = first.setdefault(entry.group, name) if entry.group else name
        yield name, entry, "" if earlier == name else earlier


def _header(name: str, entry: Entry, first: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.mode = entry.mode
    info.mtime = max(entry.mtime // _NANOSECONDS, 0)
    if first:
        info.type, info.linkname = tarfile.LNKTYPE, first
    elif entry.kind == kinds.LINK:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
    elif entry.kind == kinds.DIRECTORY:
        info.type = tarfile.DIRTYPE
    else:
        info.size = entry.size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padded(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    yield from content
    yield bytes(-size % _BLOCK)


def _of_file(path: str, size: int, digest: str) -> Iterator[bytes]:
    """The content of a file.  Raises ShipwayError if it is not what it was."""
    total, left = hashlib.sha256(), size
    descriptor = os.open(path, _READ)
    with open(descriptor, "rb") as file:
        while left >= 0 and (data := file.read(_CHUNK)):
            total.update(data)
            left -= len(data)
            yield data
    if left or total.hexdigest() != digest:
        raise ShipwayError(f"{path} changed while it was read", hint="write the image again")


# -- reading ----------------------------------------------------------------------------------------------------------


class Unpacked(NamedTuple):
    """What came out of an image file: a tree, or a wheel; and the attributes that files could not be given."""

    path: str
    remarks: tuple[Remark, ...] = ()


def read_head(path: str) -> Head:
    """What an image file says of itself; the rest of it is not read.  Raises CorruptError if it is none, OSError."""
    with _Reading(path) as reading:
        reading.open(_longest_head(path) + _ROOM)
        return reading.head()


def unpack(fs: FileSystem, path: str, head: Head, directory: str) -> Unpacked:
    """Unpack a file with that head into a new directory.

    Raises CorruptError that says what is wrong with the file, ShipwayError if there is no room, OSError; then nothing is left.
    """
    sizes = [entry.size for _, entry, first in _expected(head) if not first]
    most = _longest_head(path) + sum(sizes) + _ROOM * (len(sizes) + 1)
    _refuse_without_room(path, sum(sizes), os.path.dirname(directory))
    fs.mkdir(directory, 0o700)
    try:
        with _Reading(path) as reading:
            reading.open(most)
            if reading.head() != head:
                raise DamagedError("it was replaced while it was read")
            unpacking = _Unpacking(fs, directory)
            unpacking.take_all(reading.members, head)
    except BaseException:
        fs.remove_tree(directory)
        raise
    top = f"{directory}/{TREE}" if isinstance(head.content, Manifest) else f"{directory}/{head.content.name}"
    return Unpacked(top, tuple(unpacking.remarks))


def _refuse_without_room(path: str, needed: int, directory: str) -> None:
    free = space.free(directory).bytes
    if needed > free:
        raise ShipwayError(
            f"{path} does not fit: it needs {needed} bytes, and {directory} has {free}",
            hint="`shipway gc --keep 1` gives up old undo areas",
        )


def _longest_head(path: str) -> int:
    return min(LARGEST_HEAD, max(_FREE, _RATIO * os.stat(path).st_size))


class _Reading:
    """An image file that is being read: whatever is wrong with it becomes one CorruptError with its name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.longest = _longest_head(path)
        self.members: Iterator[Member] = iter(())
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if isinstance(error, (ArchiveError, *DAMAGE)):
            why = str(error) or type(error).__name__
            hint = getattr(error, "hint", "") or "write it again with `shipway build -o`, or copy it again"
            raise CorruptError(f"{self.path} is no sound image file: {why}; nothing was changed", hint=hint) from error

    def open(self, most: int) -> None:
        """Begin to read, `most` bytes at most when it is decompressed."""
        if not stat.S_ISREG(os.stat(self.path).st_mode):
            raise DamagedError("it is no file")
        with open(self.path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise DamagedError("it is not compressed with zstd")
        try:
            self.members = self._stack.enter_context(members(self.path, most, whole=True))
        except ArchiveError as error:
            raise ShipwayError(error.message, hint=error.hint) from error

    def head(self) -> Head:
        """Read the first member."""
        first = next(self.members, None)
        if first is None or first.name != HEAD or first.open is None:
            raise DamagedError(f"it does not begin with {HEAD}")
        with first.open() as file:
            data = file.read(self.longest + 1)
        if len(data) > self.longest:
            raise DamagedError(f"its head is longer than {self.longest} bytes: too much for its size")
        return image_head.decode(data)


class _Unpacking:
    """Makes what the manifest says below a directory of our own, out of members that must be just that, in that order."""

    def __init__(self, fs: FileSystem, root: str) -> None:
        self.fs = fs
        self.root = root
        self.remarks: list[Remark] = []

    def take_all(self, found: Iterator[Member], head: Head) -> None:
        """Make everything.  Raises DamagedError where a member is not the one that is expected, and if there are more."""
        directories = []
        if isinstance(head.content, Manifest):
            self.fs.mkdir(f"{self.root}/{TREE}", 0o755)
        for name, entry, first in _expected(head):
            member = next(found, None)
            _refuse_member(member, name, entry, first)
            assert member is not None
            self._make(member, name, entry, first)
            if entry.kind == kinds.DIRECTORY:
                directories.append((name, entry))
        if (more := next(found, None)) is not None:
            raise DamagedError(f"{_shown(more.name)} is not in its manifest")
        for name, entry in reversed(directories):
            self._attach(name, entry)
            self.fs.chmod(f"{self.root}/{name}", entry.mode)

    def _make(self, member: Member, name: str, entry: Entry, first: str) -> None:
        path = f"{self.root}/{entry.name if name.startswith(WHEEL) else name}"
        if first:
            self.fs.link(f"{self.root}/{first}", path)
        elif entry.kind == kinds.LINK:
            self.fs.symlink(entry.target, path)
            self.fs.utime(path, entry.mtime)
        elif entry.kind == kinds.DIRECTORY:
            self.fs.mkdir(path, 0o700)
        else:
            self.fs.write_file(path, _content(member, name, entry), entry.mode, entry.mtime)
            self._attach(name, entry)

    def _attach(self, name: str, entry: Entry) -> None:
        lost = attributes.attach(self.fs, f"{self.root}/{name}", entry.xattrs)
        self.remarks += [Remark(name.partition("/")[2], attributes.refusal(each)) for each in lost]


def _refuse_member(member: Member | None, name: str, entry: Entry, first: str) -> None:
    if member is None:
        raise DamagedError(f"{_shown(name)} is missing")
    if member.name != name:
        raise DamagedError(f"{_shown(member.name)} is where {_shown(name)} should be")
    kind = LINK if first else _KINDS[entry.kind]
    if member.kind != kind:
        raise DamagedError(f"{_shown(name)} is {member.kind}, and should be {kind}")
    if kind in (LINK, SYMLINK) and member.target != (first or entry.target):
        raise DamagedError(f"{_shown(name)} leads to {_shown(member.target)}, against the manifest")


def _content(member: Member, name: str, entry: Entry) -> Iterator[bytes]:
    """The content of a file, as long as it is what the manifest says."""
    assert member.open is not None
    total, left = hashlib.sha256(), entry.size
    with member.open() as file:
        while data := file.read(_CHUNK):
            left -= len(data)
            if left < 0:
                raise DamagedError(f"{_shown(name)} is longer than its manifest says")
            total.update(data)
            yield data
    if left or total.hexdigest() != entry.digest:
        raise DamagedError(f"{_shown(name)} has another content than its manifest says")


def _shown(name: str) -> str:
    return ascii(name[:_LONGEST_SHOWN])[1:-1]


_KINDS = {kinds.FILE: FILE, kinds.LINK: SYMLINK, kinds.DIRECTORY: DIRECTORY}
_LONGEST_SHOWN = 200
