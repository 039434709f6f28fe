"""Copying a staged tree into an image: what is read to be hashed is written in the same pass.

Small files are written from the very bytes that were hashed.  Longer ones, sparse ones, and all where
the file system shares data between files, are copied by the kernel and the *copy* is hashed: whoever
writes to the stage meanwhile cannot make the image differ from its manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from shipway.fs.system import FileSystem
from shipway.model.entry import join
from shipway.store import attributes
from shipway.store.image import IMAGE_MODE, ROOT_MODE, Place, close_directories, make_directories, retime
from shipway.store.paths import under
from shipway.store.read import SMALL, ChangedError, Chunk, Content, Reader, Rows, xattrs_of
from shipway.store.request import Remark, Scanned, SealRequest
from shipway.store.scan import Survey

_BLOCK = 4_096
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy(fs: FileSystem, request: SealRequest) -> Scanned:
    """Read the tree and copy it to `destination` as an image, leaving the tree as it is.

    Raises ShipwayError with every problem of the tree in its details, FileExistsError if `destination`
    exists, OSError if the copy cannot be written; in each case nothing is left of it.
    """
    survey = Survey(request)
    if survey.problems or survey.tree.problems:
        return survey.read(survey.reader())
    fs.mkdir(request.destination, ROOT_MODE)
    try:
        directories = [(path, survey.tree.entry(path)) for path in survey.tree.listings if path]
        make_directories(fs, request.destination, directories)
        scanned = survey.read(Copier(fs, request, survey.reader()))
        lost = _finish(fs, request, survey, scanned)
    except BaseException:
        fs.remove_tree(request.destination)
        raise
    return scanned._replace(warnings=(*scanned.warnings, *lost))


def _finish(fs: FileSystem, request: SealRequest, survey: Survey, scanned: Scanned) -> list[Remark]:
    """What is left to do when all files are there."""
    root, manifest = request.destination, scanned.manifest
    for names in scanned.taken.groups:
        _join_names(fs, root, [at for _, at in names])
    for path, link in survey.symlinks():
        fs.symlink(link.target, under(root, path))
        fs.utime(under(root, path), link.mtime)
    retime(fs, Place(root, manifest, moved=True), scanned.taken, request.jobs)
    directories = [(path, survey.tree.entry(path)) for path in manifest.directories if path]
    return close_directories(fs, root, directories)


def _join_names(fs: FileSystem, root: str, names: Sequence[str]) -> None:
    """Make names of one file again out of what was copied once a name."""
    first = under(root, names[0])
    for name in names[1:]:
        other = under(root, name)
        fs.unlink(other)
        fs.link(first, other)


class _NotStoredError(Exception):
    """The copy could not be written: `cause` says why.  Unlike a file that cannot be read, this ends everything."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


class Copier(Reader):
    """Reads, hashes and copies files into an image."""

    limit = -1

    def __init__(self, fs: FileSystem, request: SealRequest, reader: Reader) -> None:
        super().__init__(reader.source, reader.stages, reader.owner)
        self.fs = fs
        self.destination = request.destination
        self._clones: bool | None = None

    def read(self, chunks: Sequence[Chunk]) -> list[Rows]:
        """The rows of each chunk, when their copies are there.  Raises OSError if one cannot be written."""
        try:
            return super().read(chunks)
        except _NotStoredError as error:
            raise error.cause from None

    def _content(self, file: int, status: os.stat_result, chunk: Chunk, name: str) -> Content:
        xattrs = xattrs_of(file)
        if self._clones is False and not xattrs and not chunk.alias and not _is_long(status):
            return self._rewritten(file, status, f"{under(self.destination, chunk.at)}/{name}")
        if chunk.alias:
            return Content(*self.digest_long(file, status.st_size), xattrs)
        data = None if _is_long(status) else os.read(file, status.st_size + 1)
        if data is not None and len(data) != status.st_size:
            raise ChangedError
        path = under(self.source, join(chunk.path, name))
        target = under(self.destination, join(chunk.at, name))
        try:
            copied = self._store(path, target, status, data)
            lost = attributes.attach(self.fs, target, attributes.without_capability(xattrs))
        except OSError as error:
            if error.filename == path:
                raise
            raise _NotStoredError(error) from error
        if data is not None and not copied:
            return Content(hashlib.sha256(data).digest(), self.names_stage(data), xattrs, lost)
        return Content(*self._digest_of(target, status.st_size), xattrs, lost)

    def _rewritten(self, file: int, status: os.stat_result, target: str) -> Content:
        """The usual case: a small file without attributes, where data cannot be shared."""
        data = os.read(file, status.st_size + 1)
        if len(data) != status.st_size:
            raise ChangedError
        try:
            self.fs.write_file(target, data, status.st_mode & IMAGE_MODE, status.st_mtime_ns)
        except OSError as error:
            raise _NotStoredError(error) from error
        return Content(hashlib.sha256(data).digest(), self.names_stage(data), (), ())

    def _store(self, path: str, target: str, status: os.stat_result, data: bytes | None) -> bool:
        """Make the copy; whether the kernel copied it, rather than that `data` was written."""
        mode, mtime = status.st_mode & IMAGE_MODE, status.st_mtime_ns
        if self._clones is not False:
            self._clones = self.fs.clone_file(path, target, mode, mtime)
            if self._clones:
                return True
        if data is None:
            self.fs.copy_file(path, target, mode, mtime)
            return True
        self.fs.write_file(target, data, mode, mtime)
        return False

    def _digest_of(self, path: str, size: int) -> tuple[bytes, bool]:
        file = os.open(path, _READ)
        try:
            return self.digest_long(file, size)
        finally:
            os.close(file)


def _is_long(status: os.stat_result) -> bool:
    """Whether the kernel copies a file better: it is long, or it has holes."""
    return status.st_size > SMALL or (status.st_size > _BLOCK and status.st_blocks * 512 < status.st_size)
