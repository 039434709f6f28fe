"""One part of an image being materialised: the work behind `link`, shared out between processes in pieces."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from shipway.fs.found import look
from shipway.fs.hashing import hash_file
from shipway.fs.system import FileSystem
from shipway.model.entry import DIRECTORY, FILE, LINK, Entry, Manifest, join, parent_of
from shipway.store import attributes
from shipway.store.image import IMAGE_MODE, OWNER, ROOT_MODE, close_directories, make_directories
from shipway.store.mode import LinkMode
from shipway.store.paths import under

_PIECE = 256
_SETID = 0o6000
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_UNLINKABLE = frozenset({errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EACCES, errno.ENOTSUP})
"""Not ours (protected_hardlinks, proc(5)), too many names, another file system, none that knows hard links."""


class LinkRequest(NamedTuple):
    """What of an image goes where.

    `tree` is the image's directory, `path` the part of it that is wanted: a directory, a single file or symlink, or ""
    for all.  `destination` becomes that part; it must not exist.  `copied` says which paths are never linked.
    Unless the image is `trusted`, because it was sealed a moment ago, size, mtime and mode of each of its files are
    compared with the manifest first; where they differ the content decides, and if that is right the file is copied.
    `gid` is the group for everything made.  With `for_image` the destination is an image itself: files get neither
    setuid nor capabilities.  `jobs` is the number of processes.
    """

    tree: str
    manifest: Manifest
    path: str
    destination: str
    how: LinkMode = LinkMode.AUTO
    copied: Callable[[str], bool] | None = None
    trusted: bool = False
    gid: int | None = None
    jobs: int = 1
    for_image: bool = False


class Piece(NamedTuple):
    """Some names of one directory, relative to the destination, of one linker."""

    linker: int
    path: str
    start: int
    stop: int


class Done:
    """What was made, and what was not: hard links, `deferred` until all else is there, and `damaged` files.

    `worn` are files whose content is right, but not their mode or time.
    """

    def __init__(self) -> None:
        self.files: int = 0
        self.linked: int = 0
        self.copied: int = 0
        self.bytes_copied: int = 0
        self.cloned: int = 0
        self.lost: list[str] = []
        self.deferred: list[str] = []
        self.worn: list[str] = []
        self.damaged: list[str] = []

    def add(self, other: Done) -> None:
        """Count what another process did."""
        self.files += other.files
        self.linked += other.linked
        self.copied += other.copied
        self.bytes_copied += other.bytes_copied
        self.cloned += other.cloned
        self.lost += other.lost
        self.deferred += other.deferred
        self.worn += other.worn
        self.damaged += other.damaged


class _File(NamedTuple):
    """One file or symlink on its way; `path` is that in the manifest."""

    entry: Entry
    path: str
    source: str
    target: str

    @classmethod
    def of(cls, entry: Entry, path: str, places: tuple[str, str]) -> _File:
        """A name in the directory `path`, which lies in both places: in the image, and where it is made."""
        return cls(entry, join(path, entry.name), join(places[0], entry.name), join(places[1], entry.name))


class Linker:
    """Materialises one request.  Begin it; make the directories of all groups, then fill all pieces (in any process); finish it."""

    def __init__(self, fs: FileSystem, request: LinkRequest) -> None:
        self.fs = fs
        self.request = request
        self.manifest = request.manifest
        self.done = Done()
        self._directories: list[tuple[str, Entry]] = []
        self._worn: set[str] = set()
        self._mask = IMAGE_MODE if request.for_image else 0o7777
        self._clones = request.how in (LinkMode.AUTO, LinkMode.REFLINK)
        self._links = request.how in (LinkMode.AUTO, LinkMode.HARDLINK)

    # the frame

    def begin(self) -> None:
        """Take the destination.  Raises FileExistsError, FileNotFoundError if the image has no such path."""
        path, destination = self.request.path, self.request.destination
        if path in self.manifest.directories:
            own = self.manifest.entry(path) or Entry("", DIRECTORY, ROOT_MODE)
            self._directories = [("", own), *self._below()]
            self.fs.mkdir(destination, own.mode | OWNER)
        elif self.manifest.entry(path) is None:
            raise FileNotFoundError(errno.ENOENT, "is not in the image", path)
        elif look(destination) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)

    def groups(self) -> Iterator[list[tuple[str, Entry]]]:
        """The directories below the destination, those together that have one of its own directories above them."""
        groups: dict[str, list[tuple[str, Entry]]] = {}
        for each in self._directories[1:]:
            groups.setdefault(each[0].partition("/")[0], []).append(each)
        yield from groups.values()

    def make_directories(self, group: list[tuple[str, Entry]]) -> None:
        """Make the directories of a group."""
        make_directories(self.fs, self.request.destination, group)

    def pieces(self, linker: int) -> Iterator[Piece]:
        """The work, to be handed back to `fill`; `linker` says whose it is."""
        for path, _ in self._directories:
            names = len(self.manifest.directories[self._in_manifest(path)].entries)
            for start in range(0, names, _PIECE):
                yield Piece(linker, path, start, min(start + _PIECE, names))
        if not self._directories:
            yield Piece(linker, "", 0, 1)

    def finish(self) -> Done:
        """Join hard links and close directories."""
        self._worn.update(self.done.worn)
        groups: dict[int, list[_File]] = {}
        for path in sorted(self.done.deferred):
            file = self._file(path)
            groups.setdefault(file.entry.group, []).append(file)
        for files in groups.values():
            self._put_group(files)
        for path, entry in self._directories:
            self._own(under(self.request.destination, path), entry.mode)
        refused = close_directories(self.fs, self.request.destination, self._directories)
        self.done.lost += [f"{join(self.request.path, path)}: {text}" for path, text in refused]
        return self.done

    def _below(self) -> Iterator[tuple[str, Entry]]:
        """All directories below the destination, relative to it."""
        waiting = [""]
        while waiting:
            path = waiting.pop()
            for entry in self.manifest.directories[self._in_manifest(path)].entries.values():
                if entry.kind == DIRECTORY:
                    waiting.append(join(path, entry.name))
                    yield waiting[-1], entry

    def _in_manifest(self, relative: str) -> str:
        return join(self.request.path, relative) if relative else self.request.path

    def _file(self, path: str) -> _File:
        """A file by its path in the manifest."""
        entry = self.manifest.entry(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "is not in the image", path)
        whole = path == self.request.path
        relative = path[len(self.request.path) :].lstrip("/")
        target = self.request.destination if whole else under(self.request.destination, relative)
        return _File(entry, path, under(self.request.tree, path), target)

    # files

    def fill(self, piece: Piece) -> Done:
        """Make the files and symlinks of a piece."""
        done = Done()
        if not self._directories:
            file = self._file(self.request.path)
            for _ in self._sound([file.entry], parent_of(file.path), done):
                self._put(file, done)
            return done
        path = self._in_manifest(piece.path)
        listing = self.manifest.directories[path].entries.values()
        entries = self._sound(list(islice(listing, piece.start, piece.stop)), path, done)
        places = (under(self.request.tree, path), under(self.request.destination, piece.path))
        for entry in self._link_quickly(entries, path, places, done):
            self._put(_File.of(entry, path, places), done)
        return done

    def _link_quickly(self, entries: list[Entry], path: str, places: tuple[str, str], done: Done) -> Sequence[Entry]:
        """Hard-link the files that need no more than that; the rest.  The first file tells whether data can be shared."""
        first = next((entry for entry in entries if entry.kind == FILE), None)
        if self._clones and first is not None:
            self._put(_File.of(first, path, places), done)
            entries.remove(first)
        if self._clones or not self._links or self.request.gid is not None or _is_configuration(path):
            return entries
        rest = []
        source, target = places
        link = self.fs.link
        copied = self._is_copied if self._worn else self.request.copied
        for entry in entries:
            name, kind, mode, _, _, _, _, _, group, xattrs = entry
            if kind != FILE or group or xattrs or mode & _SETID or (copied and copied(join(path, name))):
                rest.append(entry)
                continue
            try:
                link(f"{source}/{name}", f"{target}/{name}")
            except OSError:
                rest.append(entry)  # tried again there, and told apart
        done.files += len(entries) - len(rest)
        done.linked += len(entries) - len(rest)
        return rest

    def _sound(self, entries: list[Entry], path: str, done: Done) -> list[Entry]:
        """Entries without those whose files in the image are not what was sealed."""
        if self.request.trusted:
            return entries
        suspects = self._suspects(entries, path)
        sound = [entry for entry in entries if entry.name not in suspects]
        for entry in entries if suspects else ():
            if entry.name in suspects and self._holds_still(entry, path):
                done.worn.append(join(path, entry.name))
                sound.append(entry)
            elif entry.name in suspects:
                done.damaged.append(join(path, entry.name))
        self._worn.update(done.worn)
        return sound

    def _suspects(self, entries: Sequence[Entry], path: str) -> set[str]:
        """Names of files that stat says are not what was sealed."""
        try:
            directory = os.open(under(self.request.tree, path), _HANDLE)
        except (FileNotFoundError, NotADirectoryError):
            return {entry.name for entry in entries if entry.kind == FILE}
        try:
            return {entry.name for entry in entries if entry.kind == FILE and not _is_sound(entry, directory)}
        finally:
            os.close(directory)

    def _holds_still(self, entry: Entry, path: str) -> bool:
        """Whether a file whose mode or time somebody changed, through a link in the live tree, still has its content."""
        name = under(self.request.tree, join(path, entry.name))
        found = look(name)
        return found is not None and found.kind == FILE and found.size == entry.size and hash_file(name) == entry.digest

    def _put(self, file: _File, done: Done) -> None:
        entry = file.entry
        if entry.kind == LINK:
            self.fs.symlink(entry.target, file.target)
            self.fs.utime(file.target, entry.mtime)
            self._own(file.target, 0)
            done.files += 1
        elif entry.kind == FILE and entry.group:
            done.deferred.append(file.path)
        elif entry.kind == FILE:
            self._put_file(file, done, linkable=self._may_link(file))

    def _put_group(self, files: Sequence[_File]) -> None:
        """Several names of one file: made once."""
        first = files[0]
        self._put_file(first, self.done, linkable=all(map(self._may_link, files)))
        for file in files[1:]:
            self.fs.link(first.target, file.target)
            self.done.files += 1

    def _put_file(self, file: _File, done: Done, *, linkable: bool) -> None:
        entry = file.entry
        mode = entry.mode & self._mask
        done.files += 1
        if self._clones and self._clone(file, mode):
            done.cloned += 1
        elif linkable and self._link(file):
            done.linked += 1
            return self._own(file.target, 0)
        else:
            self.fs.copy_file(file.source, file.target, mode, entry.mtime)
            done.copied += 1
            done.bytes_copied += entry.size
        self._own(file.target, mode)
        if entry.xattrs:
            self._attach(file, mode, done)
        return None

    def _attach(self, file: _File, mode: int, done: Done) -> None:
        xattrs = file.entry.xattrs
        wanted = attributes.without_capability(xattrs) if self.request.for_image else xattrs
        lost = attributes.attach(self.fs, file.target, wanted)
        done.lost += [f"{file.path}: {attributes.refusal(name)}" for name in lost]
        if mode & _SETID:
            self.fs.chmod(file.target, mode)

    def _may_link(self, file: _File) -> bool:
        """Whether a file may share its inode with the image."""
        entry = file.entry
        if not self._links or entry.mode & _SETID or attributes.has_capability(entry.xattrs):
            return False
        return not _is_configuration(file.path) and not self._is_copied(file.path)

    def _is_copied(self, path: str) -> bool:
        """Whether somebody wants a copy, or has changed the mode or time of the image's own file."""
        return path in self._worn or bool(self.request.copied and self.request.copied(path))

    def _clone(self, file: _File, mode: int) -> bool:
        self._clones = self.fs.clone_file(file.source, file.target, mode, file.entry.mtime)
        return self._clones

    def _link(self, file: _File) -> bool:
        """False where the kernel refuses a link, but not a copy."""
        try:
            self.fs.link(file.source, file.target)
        except OSError as error:
            if error.errno not in _UNLINKABLE:
                raise
            return False
        return True

    def _own(self, path: str, mode: int) -> None:
        """Set the group that was asked for, and the bits that the kernel clears when it is set."""
        gid = self.request.gid
        if gid is not None and os.lstat(path).st_gid != gid:
            self.fs.chown(path, -1, gid)
            if mode & _SETID:
                self.fs.chmod(path, mode)


def _is_configuration(path: str) -> bool:
    """Whether people edit what lies here, perhaps in place."""
    return path == "etc" or path.startswith("etc/")


def _is_sound(entry: Entry, directory: int) -> bool:
    try:
        status = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    found = (status.st_size, status.st_mtime_ns, status.st_mode & IMAGE_MODE)
    return stat.S_ISREG(status.st_mode) and found == (entry.size, entry.mtime, entry.mode & IMAGE_MODE)
