"""Unpacking archives that may be hostile, so that nothing of them lies, or leads, outside of a directory of its own.

Nothing is ever written through a link that the archive brought: symlinks are made last, when all else is there, and each is then
followed to its end by what really lies on the disk.  Devices and pipes are refused; owners, setuid bits and attributes of the
archive are not taken over.  Modes are 0755 or 0644, by whether the owner may execute; times are kept, since make compares them.
"""

from __future__ import annotations

import os
import time
from typing import IO, NamedTuple

from shipway.fs.archive import DAMAGE, DIRECTORY, FILE, LINK, SYMLINK, ArchiveError, Member, is_archive, members
from shipway.fs.system import FileSystem

__all__ = ["LIMITS", "ArchiveError", "Limits", "is_archive", "unpack"]

_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Limits(NamedTuple):
    """What an archive may come to: entries; bytes; bytes as a multiple of its own size, which counts from `free` bytes on."""

    entries: int = 1_000_000
    bytes: int = 64 << 30
    ratio: int = 250
    free: int = 1 << 30

    def most(self, packed: int) -> int:
        """The bytes that an archive of a size may come to."""
        return min(self.bytes, max(self.free, self.ratio * packed))


LIMITS = Limits()


def unpack(fs: FileSystem, archive: str, directory: str, limits: Limits = LIMITS) -> str:
    """Unpack into a new directory.  Returns the single directory at the top if there is nothing beside it, else `directory`.

    Raises ArchiveError that names the archive and the entry; then nothing is left.  FileExistsError if `directory` exists.
    """
    fs.mkdir(directory, 0o755)
    unpacking = _Unpacking(directory, limits, limits.most(os.path.getsize(archive)))
    try:
        _all(unpacking, archive)
    except BaseException:
        fs.remove_tree(directory)
        raise
    top = os.listdir(directory)
    single = f"{directory}/{top[0]}" if len(top) == 1 else ""
    return single if single and unpacking.kinds[top[0]] == DIRECTORY else directory


def _all(unpacking: _Unpacking, archive: str) -> None:
    try:
        with members(archive, unpacking.most) as found:
            for member in found:
                unpacking.take(member)
        unpacking.link()
    except ArchiveError as error:
        raise ArchiveError(f"{_place(archive, unpacking)}: {error.message}", hint=error.hint) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise ArchiveError(f"{_place(archive, unpacking)}: {why}") from error
    except DAMAGE as error:
        why = str(error) or type(error).__name__
        raise ArchiveError(f"{_place(archive, unpacking)}: the archive is damaged: {why}") from error


def _place(archive: str, unpacking: _Unpacking) -> str:
    return f"{archive}: {unpacking.name}" if unpacking.name else archive


class _Unpacking:
    """One archive on its way; `kinds` is of each path that was made, relative to the root, `name` that of the entry at hand."""

    def __init__(self, root: str, limits: Limits, most: int) -> None:
        self.root = root
        self.limits = limits
        self.most = most
        self.kinds: dict[str, str] = {}
        self.name = ""
        self._symlinks: dict[str, str] = {}
        self._entries = 0
        self._written = 0
        self._now = time.time()

    def take(self, member: Member) -> None:
        """Make one entry.  Raises ArchiveError for what is not let in, OSError as the OS gives it."""
        self.name = member.name
        self._entries += 1
        if self._entries > self.limits.entries:
            raise ArchiveError(f"there are more than {self.limits.entries:,} entries")
        path = _inside(member.name)
        if not path:
            return
        self._make_directories(os.path.dirname(path))
        match member.kind:
            case "a directory":
                self._make_directories(path)
            case "a file":
                self._file(path, member)
            case "a symlink":
                self._symlink(path, member.target)
            case "a hard link":
                self._hard_link(path, _inside(member.target))
            case _:
                raise ArchiveError(f"is {member.kind}")

    def _make_directories(self, path: str) -> None:
        kind = self.kinds.get(path, "")
        if not path or kind == DIRECTORY:
            return
        if kind:
            raise ArchiveError(f"{path} is {kind}, and was to be a directory")
        self._make_directories(os.path.dirname(path))
        os.mkdir(f"{self.root}/{path}")
        os.chmod(f"{self.root}/{path}", 0o755)
        self.kinds[path] = DIRECTORY

    def _file(self, path: str, member: Member) -> None:
        assert member.open is not None
        with member.open() as content:
            if path in self.kinds:
                self._compare(path, content)
                return
            self.kinds[path] = FILE
            descriptor = os.open(f"{self.root}/{path}", _NEW, 0o600)
            with open(descriptor, "wb") as file:
                self._fill(file, content)
                os.fchmod(descriptor, 0o755 if member.mode & 0o100 else 0o644)
        seconds = min(max(member.mtime, 0), self._now)
        os.utime(f"{self.root}/{path}", (seconds, seconds))

    def _fill(self, file: IO[bytes], content: IO[bytes]) -> None:
        while data := content.read(_CHUNK):
            self._count(data)
            file.write(data)

    def _count(self, data: bytes) -> None:
        self._written += len(data)
        if self._written > self.most:
            raise ArchiveError(f"it unpacks to more than {self.most} bytes: too much for its size")

    def _compare(self, path: str, content: IO[bytes]) -> None:
        """An entry that is there twice does no harm if it is the same."""
        if self.kinds[path] != FILE:
            raise ArchiveError(f"is there twice: as {self.kinds[path]} and as a file")
        with open(f"{self.root}/{path}", "rb") as first:
            while data := content.read(_CHUNK):
                self._count(data)
                if first.read(len(data)) != data:
                    raise ArchiveError("is there twice, with differing content")
            if first.read(1):
                raise ArchiveError("is there twice, with differing content")

    def _symlink(self, path: str, text: str) -> None:
        if path in self.kinds and self._symlinks.get(path) != text:
            raise ArchiveError(f"is there twice: as {self.kinds[path]} and as a symlink to {text}")
        if not text or "\0" in text:
            raise ArchiveError("is a symlink to nothing")
        self.kinds[path] = SYMLINK
        self._symlinks[path] = text

    def _hard_link(self, path: str, target: str) -> None:
        kind = self.kinds.get(target)
        if kind == SYMLINK:
            self._symlink(path, self._symlinks[target])
        elif kind != FILE:
            raise ArchiveError(f"is a hard link to {target}, which is {kind or 'not in the archive before it'}")
        elif path != target:
            if path in self.kinds:
                raise ArchiveError(f"is there twice: as {self.kinds[path]} and as {LINK}")
            os.link(f"{self.root}/{target}", f"{self.root}/{path}", follow_symlinks=False)
            self.kinds[path] = FILE

    def link(self) -> None:
        """Make the symlinks, and see where each leads."""
        for path, text in self._symlinks.items():
            self.name = path
            os.symlink(text, f"{self.root}/{path}")
        root = os.path.realpath(self.root)
        for path, text in self._symlinks.items():
            self.name = path
            if not f"{os.path.realpath(f'{self.root}/{path}')}/".startswith(f"{root}/"):
                raise ArchiveError(f"is a symlink that leads out of the archive, to {text}")
        self.name = ""


def _inside(name: str) -> str:
    """A path of the archive, relative and without what means nothing.  Raises ArchiveError if it leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise ArchiveError(f"the path {name} leads out of the archive")
    if "\0" in name:
        raise ArchiveError("the name holds a NUL")
    return "/".join(parts)
