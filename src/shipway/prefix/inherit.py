"""What new files take over from the directory they are placed in (I1): its group where it is setgid, its default ACL, its label.

A staging area lies elsewhere, so the kernel would have them take over something else.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from shipway.fs.found import everything
from shipway.fs.system import FileSystem

DEFAULT_ACL = "system.posix_acl_default"
LABEL = "security.selinux"
_NONE = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP})


class Inheritance(NamedTuple):
    """What the destination passes on; None or b"" where nothing is to be set."""

    gid: int | None
    acl: bytes
    label: bytes

    @property
    def needs_copies(self) -> bool:
        """Whether files must be made anew in a directory that passes the ACL on."""
        return bool(self.acl)


def inherited(directory: str, group: int | None = None) -> Inheritance:
    """What a live directory passes on to what is created in it; `group` is that of a shared prefix."""
    status = os.stat(directory)
    gid = status.st_gid if status.st_mode & 0o2000 else group
    return Inheritance(gid, _attribute(directory, DEFAULT_ACL), _attribute(directory, LABEL))


def prepare(fs: FileSystem, holder: str, given: Inheritance) -> None:
    """Have a staging directory pass on what the destination would."""
    if given.gid is not None:
        fs.chown(holder, -1, given.gid)
    if given.acl:
        fs.set_xattr(holder, DEFAULT_ACL, given.acl)


def finish(fs: FileSystem, path: str, given: Inheritance) -> None:
    """Set the label, and the setgid bit of directories, on everything staged at a path."""
    if not given.label and given.gid is None:
        return
    for name in everything(path):
        _finish_one(fs, name, given, directory=os.path.isdir(name) and not os.path.islink(name))


def _finish_one(fs: FileSystem, path: str, given: Inheritance, *, directory: bool) -> None:
    if given.gid is not None:
        status = os.lstat(path)
        if status.st_gid != given.gid:
            fs.chown(path, -1, given.gid)
            if status.st_mode & 0o6000 and not os.path.islink(path):
                fs.chmod(path, status.st_mode & 0o7777)
        if directory:
            fs.chmod(path, (status.st_mode & 0o7777) | 0o2000)
    if given.label:
        fs.set_xattr(path, LABEL, given.label)


def _attribute(path: str, name: str) -> bytes:
    if not hasattr(os, "getxattr"):
        return b""
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno in _NONE:
            return b""
        raise
