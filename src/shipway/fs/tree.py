"""Trees: removing one, by directory descriptors, so that no symlink can lead it elsewhere, and making what leads to one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from shipway.fs import native

Step = Callable[[str, str], None]
Spare = Callable[[str], bool]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def remove(path: str, step: Step, spare: Spare | None = None) -> None:
    """Remove a tree as `FileSystem.remove_tree` describes it; `step` is called before each single removal."""
    parent, name = os.path.split(path.rstrip("/"))
    removal = _Removal(step, spare)
    with removal.collect(path), _opened(parent, _PATH) as descriptor:
        removal.remove(name, descriptor, path)
    if len(removal.errors) == 1:
        raise removal.errors[0]
    if removal.errors:
        raise ExceptionGroup(f"{path} could not be removed wholly", removal.errors)


def make_directories(path: str, mode: int, make: Callable[[str, int], None]) -> None:
    """Make a directory and those above it that are missing, with `make` (such as `FileSystem.mkdir`)."""
    if os.path.isdir(path):
        return
    make_directories(os.path.dirname(path), mode, make)
    with contextlib.suppress(FileExistsError):
        make(path, mode)


class _Removal:
    """Goes on after an error, and keeps it."""

    def __init__(self, step: Step, spare: Spare | None) -> None:
        self.step = step
        self.spare = spare
        self.errors: list[OSError] = []

    @contextlib.contextmanager
    def collect(self, path: str) -> Iterator[None]:
        """Keep errors, with the whole path.  What is missing is as good as removed."""
        try:
            yield
        except FileNotFoundError:
            return
        except OSError as error:
            error.filename = path
            self.errors.append(error)

    def remove(self, name: str, parent: int, path: str) -> None:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            self.remove_directory(name, parent, path)
        else:
            self.step("unlink", path)
            os.unlink(name, dir_fd=parent)

    def remove_directory(self, name: str, parent: int, path: str) -> None:
        known = len(self.errors)
        with _opened_for_removal(name, parent) as descriptor:
            self.empty(descriptor, path)
        if len(self.errors) == known:
            self.step("rmdir", path)
            self.remove_empty(name, parent)

    def remove_empty(self, name: str, parent: int) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if self.spare is None or error.errno != errno.ENOTEMPTY:
                raise

    def empty(self, descriptor: int, path: str) -> None:
        with os.scandir(descriptor) as entries:
            listing = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in listing:
            full = f"{path}/{name}"
            with self.collect(full):
                if is_directory:
                    self.remove_directory(name, descriptor, full)
                elif self.spare is None or not self.spare(full):
                    self.step("unlink", full)
                    os.unlink(name, dir_fd=descriptor)


@contextlib.contextmanager
def _opened(name: str, flags: int, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened_for_removal(name: str, parent: int) -> Iterator[int]:
    """A directory that may be read and written; EBUSY if it is a mount point: what is mounted is not ours."""
    try:
        opened = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        with _opened(name, _PATH | os.O_NOFOLLOW, parent) as handle:
            _refuse_mount_point(handle, parent)
            native.change_mode(handle, 0o700)
        opened = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        _refuse_mount_point(opened, parent)
        _make_writable(opened)
        yield opened
    finally:
        os.close(opened)


def _refuse_mount_point(descriptor: int, parent: int) -> None:
    status = native.descriptor_status(descriptor)
    if status is None:
        mounted = os.fstat(descriptor).st_dev != os.fstat(parent).st_dev
    else:
        mounted = bool(status.attributes & native.MOUNT_ROOT)
    if mounted:
        raise OSError(errno.EBUSY, "Is a mount point")


def _make_writable(descriptor: int) -> None:
    """Where we may; if not, removing what is in it will say so."""
    if os.fstat(descriptor).st_mode & 0o300 != 0o300:
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, 0o700)
