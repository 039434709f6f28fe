"""The one door for every change to a disk.

Nothing else in Shipway renames, links, writes, removes or syncs.  Tests put a subclass in its place
whose `step` fails, or ends the process, at the k-th call.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from shipway.errors import ShipwayError
from shipway.fs import native, tree
from shipway.fs.ahead import SyncAhead

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR})
_NO_CLONE = native.UNSUPPORTED | {errno.EXDEV}


class RenameMode(enum.Enum):
    """Whether RENAME_EXCHANGE and RENAME_NOREPLACE are used: where they work, by force, or never."""

    AUTO = "auto"
    EXCHANGE = "exchange"
    FALLBACK = "fallback"


class FileSystem:
    """Every change to a disk, by absolute paths.  OSError is raised as the OS gives it.

    A method that fails has changed nothing, unless it says otherwise.  In the mode FALLBACK the flags
    of renameat2(2) are taken as unknown, as on NFS and many FUSE file systems; in the mode EXCHANGE
    nothing falls back.
    """

    def __init__(self, mode: RenameMode = RenameMode.AUTO) -> None:
        self.mode = mode
        self._exchange: dict[int, bool] = {}
        self._no_reflink: set[int] = set()
        self.ahead = SyncAhead()

    def step(self, operation: str, path: str) -> None:
        """Called before each single change, with the method's name and the path that is about to change."""

    # renames

    def exchange_works(self, directory: str) -> bool:
        """Whether two names in `directory` can be swapped in one step, tried out with scratch files.

        The answer is kept for the file system.  An overlay may still refuse single directories
        (EXDEV, those of a lower layer): ask `can_move`.  Raises OSError if nothing can be created
        there, ShipwayError if the mode EXCHANGE insists on what does not work.
        """
        if self.mode is RenameMode.FALLBACK:
            return False
        device = os.stat(directory).st_dev
        if device not in self._exchange:
            self._exchange[device] = self._try_exchange(directory)
        if self.mode is RenameMode.EXCHANGE and not self._exchange[device]:
            raise ShipwayError(
                f"the file system of {directory} cannot exchange two names", hint="leave the rename mode at auto"
            )
        return self._exchange[device]

    def _try_exchange(self, directory: str) -> bool:
        with self.scratch(directory) as area:
            for name in ("a", "b"):
                self.write_file(f"{area}/file-{name}", name.encode(), 0o600)
                self.mkdir(f"{area}/directory-{name}", 0o700)
            try:
                self.exchange(f"{area}/file-a", f"{area}/file-b")
                self.exchange(f"{area}/directory-a", f"{area}/directory-b")
                self.exchange(f"{area}/file-a", f"{area}/directory-a")
            except OSError as error:
                if error.errno in native.UNSUPPORTED:
                    return False
                raise
            with open(f"{area}/file-b", "rb") as swapped:
                return swapped.read() == b"a"

    @contextlib.contextmanager
    def scratch(self, directory: str) -> Iterator[str]:
        """A private directory in `directory`, removed with all it holds at the end."""
        area = f"{directory}/.shipway-{os.getpid()}-{os.urandom(4).hex()}"
        self.mkdir(area, 0o700)
        try:
            yield area
        finally:
            self.remove_tree(area)

    def place(self, source: str, target: str) -> None:
        """Give `source` the new name `target`, which must not exist: FileExistsError if it does.

        RENAME_NOREPLACE, one atomic step.  Where it is not to be had, files and symlinks are linked and
        the old name unlinked (just as exclusive, but a kill in between leaves both names); directories
        are looked up first and then renamed, which the kernel itself refuses onto anything but an
        empty directory.
        """
        self.step("place", target)
        if not self._rename_exclusively(source, target):
            self._place_by_hand(source, target)

    def _rename_exclusively(self, source: str, target: str) -> bool:
        """False where the flag is not to be had."""
        if self.mode is RenameMode.FALLBACK:
            return False
        try:
            native.rename(source, target, native.NOREPLACE)
        except OSError as error:
            if error.errno in native.UNSUPPORTED and self.mode is RenameMode.AUTO:
                return False
            raise
        return True

    def _place_by_hand(self, source: str, target: str) -> None:
        if stat.S_ISDIR(os.lstat(source).st_mode):
            _rename_if_absent(source, target)
        else:
            os.link(source, target, follow_symlinks=False)
            self.step("unlink", source)
            os.unlink(source)

    def exchange(self, a: str, b: str) -> None:
        """Swap two existing names of whatever kinds in one step (RENAME_EXCHANGE); EINVAL where it is not to be had."""
        self.step("exchange", b)
        if self.mode is RenameMode.FALLBACK:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), a, None, b)
        native.rename(a, b, native.EXCHANGE)

    def replace(self, source: str, target: str) -> None:
        """rename(2): `target` is now what `source` was, in one step, and the name `source` is gone.

        The call itself does nothing, and says so to nobody, if both are names of one file: then `source`
        is unlinked here.
        """
        self.step("replace", target)
        os.rename(source, target)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(source)

    def take(self, source: str, target: str) -> None:
        """Move `source` away to the fresh name `target` in an area of our own: FileExistsError if it is not fresh."""
        self.step("take", target)
        if not self._rename_exclusively(source, target):
            _rename_if_absent(source, target)

    def can_move(self, source: str, full_directory: str) -> OSError | None:
        """The probe: would the kernel let us rename `source` away from where it is?  None if so, else its error.

        Many things forbid a rename, and not all can be read from a stat: permissions and ACLs of the
        parent, the sticky bit, write permission on a directory that gets another parent (its ".."
        changes), immutable flags, mount points, bind mounts (same device, yet EXDEV), lower layers
        of an overlay (EXDEV), read-only mounts, security modules.  So the kernel is asked, by a rename
        that must fail: onto `full_directory`, a directory of our own that is never empty.

        rename(2) demands that a directory may replace only an empty one (ENOTEMPTY, or EEXIST) and that
        a file never replaces a directory (EISDIR).  Linux looks at permissions on both parents, mounts
        and flags before it lets the file system look into the target, so these three mean "nothing else is in
        the way", and the source has not moved; any other error is the one that the real rename would
        meet: EACCES, EPERM, EXDEV, EBUSY, EROFS, ENOENT.  It is asked on the live tree, and nobody can see it.

        For files EISDIR comes before the kernel looks for mounts, so a file that is a mount point
        is recognised by statx(2).

        That `full_directory` is one is made sure of first, as onto an empty directory the rename would
        succeed.  Should a file system move the source all the same, it is moved back and ENOTSUP is returned.
        Raises ValueError if `full_directory` is empty, OSError if it cannot be read.
        """
        with os.scandir(full_directory) as entries:
            if next(entries, None) is None:
                raise ValueError(f"{full_directory} is empty")
        try:
            os.rename(source, full_directory)
        except OSError as error:
            if error.errno == errno.EISDIR:
                return _mounted_file(source)
            return None if error.errno in _NOT_EMPTY else error
        os.rename(full_directory, source)
        return OSError(errno.ENOTSUP, "directories that are not empty can be replaced", source)

    # names

    def link(self, source: str, target: str) -> None:
        """Another name for the same file (a symlink is linked itself); FileExistsError if `target` exists."""
        self.step("link", target)
        os.link(source, target, follow_symlinks=False)

    def symlink(self, text: str, target: str) -> None:
        """A new symlink `target` that holds `text`."""
        self.step("symlink", target)
        os.symlink(text, target)

    def mkdir(self, path: str, mode: int) -> None:
        """A new directory with exactly this mode, whatever the umask and the parent's setgid bit say."""
        self.step("mkdir", path)
        os.mkdir(path, mode & 0o777)
        os.chmod(path, mode)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self.step("rmdir", path)
        os.rmdir(path)

    def unlink(self, path: str) -> None:
        """Remove a name that is not a directory's."""
        self.step("unlink", path)
        os.unlink(path)

    # attributes

    def chmod(self, path: str, mode: int) -> None:
        """Set the mode; a symlink is refused (ELOOP), not followed."""
        self.step("chmod", path)
        handle = os.open(path, _HANDLE)
        try:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            native.change_mode(handle, mode)
        finally:
            os.close(handle)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Set owner and group (-1: as it is), of a symlink itself.

        The kernel clears setuid, setgid and capabilities: set these afterwards.
        """
        self.step("chown", path)
        os.chown(path, uid, gid, follow_symlinks=False)

    def utime(self, path: str, mtime_ns: int) -> None:
        """Set the modification (and access) time in nanoseconds since the epoch, of a symlink itself."""
        self.step("utime", path)
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set an extended attribute, of a symlink itself; also where the owner has no write permission."""
        self.step("set_xattr", path)
        with _writable(path):
            os.setxattr(path, name, value, follow_symlinks=False)

    def remove_xattr(self, path: str, name: str) -> None:
        """Remove an extended attribute; ENODATA if it is not there."""
        self.step("remove_xattr", path)
        with _writable(path):
            os.removexattr(path, name, follow_symlinks=False)

    # content

    def write_file(self, path: str, data: bytes | Iterable[bytes], mode: int, mtime_ns: int | None = None) -> None:
        """A new file with this content, exactly this mode, and this time if given; FileExistsError if it exists."""
        self.step("write_file", path)
        self._make_file(path, mode, mtime_ns, partial(native.write_all, data=data))

    def copy_file(self, source: str, target: str, mode: int, mtime_ns: int) -> None:
        """A new file with the content of `source`, exactly this mode and time; FileExistsError if `target` exists.

        Shares the data where the file system can (reflink), else copies within the kernel; holes stay holes.
        Extended attributes and owner are not copied.
        """
        self.step("copy_file", target)
        origin = os.open(source, _READ)
        try:
            self._make_file(target, mode, mtime_ns, partial(self._copy, origin))
        finally:
            os.close(origin)

    def clone_file(self, source: str, target: str, mode: int, mtime_ns: int) -> bool:
        """The same by reflink only.  False, and nothing left, where source and target cannot share data."""
        self.step("clone_file", target)
        origin = os.open(source, _READ)
        try:
            if os.fstat(origin).st_dev in self._no_reflink:
                return False
            self._make_file(target, mode, mtime_ns, partial(self._clone_or_raise, origin))
        except _NotClonedError:
            return False
        finally:
            os.close(origin)
        return True

    def _copy(self, origin: int, copy: int) -> None:
        status = os.fstat(origin)
        if not self._clone(origin, copy, status.st_dev):
            native.copy_data(origin, copy, status.st_size, status.st_blocks)

    def _clone_or_raise(self, origin: int, copy: int) -> None:
        if not self._clone(origin, copy, os.fstat(origin).st_dev):
            raise _NotClonedError

    def _clone(self, origin: int, copy: int, device: int) -> bool:
        """Share the data, and remember file systems that cannot: EOPNOTSUPP is said only when both lie on one."""
        if device in self._no_reflink:
            return False
        try:
            native.clone(origin, copy)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY):
                self._no_reflink.add(device)
            return False
        return True

    def _make_file(self, path: str, mode: int, mtime_ns: int | None, fill: Callable[[int], None]) -> None:
        """A new file, filled, then given its mode and time; on any error it is removed again."""
        descriptor = os.open(path, _NEW, mode & 0o777)
        try:
            try:
                self.step("fill", path)
                fill(descriptor)
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                    os.fchmod(descriptor, mode)
                if mtime_ns is not None:
                    os.utime(descriptor, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(descriptor)
        except BaseException:
            os.unlink(path)
            raise

    # trees

    def remove_tree(self, path: str, spare: Callable[[str], bool] | None = None) -> None:
        """Remove whatever lies at `path`, if anything does.  What vanishes meanwhile is as good as removed.

        Symlinks are removed, never followed, and mount points are not entered (EBUSY): what is mounted
        there is somebody else's.  Directories without write permission are made writable.  It goes on
        after an error; a single one is raised as it is, several as an ExceptionGroup of OSErrors.
        `spare` is asked about all but directories: what it names stays, as does a file that somebody creates meanwhile.
        """
        tree.remove(path, self.step, spare)

    # durability

    def open_for_sync(self, path: str) -> int:
        """A descriptor for `sync`.  Open it before anything is written, or earlier errors go unreported."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def sync(self, descriptor: int) -> None:
        """Have the whole file system of the descriptor on disk (syncfs(2)); its error is raised."""
        self.step("sync", "")
        self.ahead.settle()
        native.syncfs(descriptor)

    def flush(self, path: str) -> None:
        """Have one file or directory on disk (fsync(2)), where syncfs does not report errors."""
        self.step("flush", path)
        descriptor = os.open(path, _READ)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _NotClonedError(Exception):
    """Leaves the block of a new file, so that it is removed."""


def _rename_if_absent(source: str, target: str) -> None:
    """Rename onto a name that nobody has, as well as that can be done without RENAME_NOREPLACE."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in _TAKEN and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target) from error
        raise


def _mounted_file(path: str) -> OSError | None:
    status = native.status(path)
    if status and status.attributes & native.MOUNT_ROOT:
        return OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
    return None


@contextlib.contextmanager
def _writable(path: str) -> Iterator[None]:
    """The owner of a file without write permission may change its mode, but not its user attributes."""
    status = os.lstat(path)
    locked = os.geteuid() == status.st_uid != 0 and not status.st_mode & 0o200 and not stat.S_ISLNK(status.st_mode)
    if locked:
        os.chmod(path, stat.S_IMODE(status.st_mode) | 0o200)
    try:
        yield
    finally:
        if locked:
            os.chmod(path, stat.S_IMODE(status.st_mode))
