"""Taking a staged tree over as an image: one rename, then only what has to be altered.

Before anything is altered, and out of reach of whoever built the tree, every inode is compared
with what it was when it was read.  What cannot be had back goes last, so that a tree can be given back
after nearly every failure as it was.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from shipway.errors import ShipwayError
from shipway.fs.found import look
from shipway.fs.hashing import hash_file
from shipway.fs.system import FileSystem
from shipway.model.entry import Entry, Manifest, join, parent_of
from shipway.store import attributes
from shipway.store.copying import copy
from shipway.store.image import IMAGE_MODE, OWNER, ROOT_MODE, Place, close_directories, make_directories, retime
from shipway.store.paths import under
from shipway.store.request import Remark, Scanned, SealRequest, Shelf, Taken
from shipway.store.workers import do_all, in_batches, shared_out

_BATCH = 512
_COPIES = 32
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS})


def adopt(fs: FileSystem, request: SealRequest, scanned: Scanned) -> Scanned:
    """Make the tree that was scanned the image at `destination`; `source` is gone afterwards.

    The tree is renamed; where that cannot be, it is copied and removed.  Raises ShipwayError if it is not what was
    scanned any longer (with the paths), or may not be taken; FileExistsError if `destination` exists; OSError.
    In each case the tree is back at `source`, though it may lack what an image leaves out.
    """
    if scanned.taken.alien or not _take(fs, request, scanned.taken):
        return _adopt_copy(fs, request, scanned)
    try:
        _check(request, scanned.taken)
        lost = _Adoption(fs, request, scanned).run()
    except BaseException:
        give_back(fs, request, scanned)
        raise
    return scanned._replace(warnings=(*scanned.warnings, *lost))


def give_back(fs: FileSystem, request: SealRequest, scanned: Scanned | None = None) -> None:
    """After a failure: put the tree that was adopted back where it was.  Nothing happens if there is none.

    With `scanned`, files get their setuid and setgid back too.  What the image leaves out is gone, capabilities as
    well, and what was redirected stays where it went: sealed again, the tree gives the same image.
    Raises FileExistsError if there is something at `source` again: both are left as they are.
    """
    if look(request.destination) is None:
        return
    try:
        fs.place(request.destination, request.source)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_back(fs, request)
    if scanned is not None:
        _restore_modes(fs, request.source, scanned)


def _restore_modes(fs: FileSystem, source: str, scanned: Scanned) -> None:
    place = dict(scanned.taken.redirected)
    modes = {"": scanned.taken.root[2]}
    for path in scanned.taken.stripped:
        at = place.get(path, path)
        entry = scanned.manifest.entry(at)
        if entry is not None:
            modes |= {path: entry.mode, at: entry.mode}
    for path, mode in modes.items():
        found = look(under(source, path))
        if found is not None and found.mode != mode:
            fs.chmod(under(source, path), mode)


def _copy_back(fs: FileSystem, request: SealRequest) -> None:
    back = request._replace(source=request.destination, destination=request.source, redirects={}, reference=None)
    copy(fs, back._replace(stage_paths=(), keep_libtool=True))
    fs.remove_tree(request.destination)


def _take(fs: FileSystem, request: SealRequest, taken: Taken) -> bool:
    """Rename the tree; False if it has to be copied because it lies on another file system."""
    mode = taken.root[2]
    closed = mode & OWNER != OWNER
    if closed:
        fs.chmod(request.source, mode | OWNER)
    try:
        fs.place(request.source, request.destination)
    except OSError as error:
        if closed:
            fs.chmod(request.source, mode)
        if error.errno in _REFUSED:
            raise _not_to_be_taken(request, error) from error
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _not_to_be_taken(request: SealRequest, error: OSError) -> ShipwayError:
    return ShipwayError(
        f"{request.source} cannot be moved: {error.strerror}",
        hint="merge it without --move: then it is copied and stays where it is",
    )


def _adopt_copy(fs: FileSystem, request: SealRequest, scanned: Scanned) -> Scanned:
    copied = copy(fs, request)
    if copied.manifest != scanned.manifest:
        fs.remove_tree(request.destination)
        _refuse_changed(request.source, _differences(scanned.manifest, copied.manifest))
    try:
        fs.remove_tree(request.source)
    except (OSError, ExceptionGroup) as error:
        left = Remark(request.source, f"was copied, but could not be removed: {error}")
        return copied._replace(warnings=(*copied.warnings, left))
    return copied


def _differences(before: Manifest, after: Manifest) -> list[str]:
    one, two = dict(before.walk()), dict(after.walk())
    return sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path))


def _refuse_changed(source: str, paths: Sequence[str]) -> NoReturn:
    raise ShipwayError(
        f"{source} changed after it was read",
        hint="run the command again when nothing writes there",
        details=[f"{path or '.'}: changed" for path in paths],
    )


def _check(request: SealRequest, taken: Taken) -> None:
    """Compare every inode with what was read; ShipwayError lists what changed since."""
    status = os.lstat(request.destination)
    changed = [] if (status.st_ino, status.st_mtime_ns) == taken.root[:2] else [""]
    batches = list(in_batches(((shelf, len(shelf.names)) for shelf in taken.shelves), _BATCH))
    with shared_out(_Checker(request.destination).check, batches, request.jobs) as results:
        for paths in results:
            changed += paths
    if changed:
        _refuse_changed(request.source, sorted(changed))


class _Checker:
    def __init__(self, root: str) -> None:
        self.root = root

    def check(self, shelves: Sequence[Shelf]) -> list[str]:
        return [join(shelf.path, name) for shelf in shelves for name in self._changed(shelf)]

    def _changed(self, shelf: Shelf) -> Sequence[str]:
        changed = []
        try:
            directory = os.open(under(self.root, shelf.path), _HANDLE)
        except OSError:
            return shelf.names
        try:
            for name, inode, ctime, mtime in zip(*shelf[2:6], strict=True):
                try:
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                except OSError:
                    changed.append(name)
                    continue
                if status.st_ctime_ns != ctime or status.st_mtime_ns != mtime or status.st_ino != inode:
                    changed.append(name)
        finally:
            os.close(directory)
        return changed


class _Adoption:
    """The alterations of a tree that was taken."""

    def __init__(self, fs: FileSystem, request: SealRequest, scanned: Scanned) -> None:
        self.fs = fs
        self.root = request.destination
        self.source = request.source
        self.jobs = request.jobs
        self.manifest = scanned.manifest
        self.taken = scanned.taken
        self.place = dict(scanned.taken.redirected)

    def run(self) -> list[Remark]:
        """Alter everything, what cannot be had back last; what was refused."""
        for path, mode in self.taken.closed.items():
            self.fs.chmod(under(self.root, path), mode | OWNER)
        self._make_private()
        self._strip()
        retime(self.fs, Place(self.root, self.manifest, moved=False), self.taken, self.jobs)
        made = self._redirect()
        for path in self.taken.dropped:
            self.fs.unlink(under(self.root, path))
        for path in self.taken.emptied:
            self.fs.rmdir(under(self.root, path))
        again = [(path, entry) for path in self.taken.closed if (entry := self.manifest.entry(path)) is not None]
        lost = close_directories(self.fs, self.root, [*made, *again])
        self.fs.chmod(self.root, ROOT_MODE)
        return lost

    def _entry(self, path: str) -> Entry:
        entry = self.manifest.entry(self.place.get(path, path))
        if entry is None:
            raise ValueError(f"{path} is not in the manifest")
        return entry

    def _make_private(self) -> None:
        """Put copies of our own in the place of files that others own or hold, or that carry capabilities."""
        batches = list(in_batches(((names, 1) for names in self.taken.private), _COPIES))
        do_all(self._copy_all, batches, self.jobs)

    def _copy_all(self, files: Sequence[Sequence[str]]) -> None:
        for names in files:
            self._copy_one(names)

    def _copy_one(self, names: Sequence[str]) -> None:
        entry = self._entry(names[0])
        first = under(self.root, names[0])
        scratch = f"{under(self.root, parent_of(names[0]))}/.shipway-{os.getpid()}"
        self.fs.copy_file(first, scratch, entry.mode & IMAGE_MODE, entry.mtime)
        attributes.attach(self.fs, scratch, attributes.without_capability(entry.xattrs))
        if hash_file(scratch) != entry.digest:
            self.fs.unlink(scratch)
            _refuse_changed(self.source, names[:1])
        self.fs.replace(scratch, first)
        for name in names[1:]:
            self.fs.link(first, scratch)
            self.fs.replace(scratch, under(self.root, name))

    def _strip(self) -> None:
        for path in self.taken.stripped:
            self.fs.chmod(under(self.root, path), self._entry(path).mode & IMAGE_MODE)

    def _redirect(self) -> list[tuple[str, Entry]]:
        """Move what lies elsewhere in truth; the directories that were made for it."""
        made = [(path, self._entry(path)) for path in self.taken.made]
        make_directories(self.fs, self.root, made)
        for path, at in self.taken.redirected:
            self.fs.place(under(self.root, path), under(self.root, at))
        return made
