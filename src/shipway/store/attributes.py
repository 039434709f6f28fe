"""Extended attributes worth keeping: those of users, capabilities and access lists (xattr(7)).

Labels of security modules belong to the place, not to the file, and an overlay's bookkeeping to the
overlay: neither is kept.  Values are base64, so that a manifest can hold them.
"""

from __future__ import annotations

import base64
import errno
import os
from collections.abc import Iterable

from shipway.fs.system import FileSystem
from shipway.model.entry import Xattrs

CAPABILITY = "security.capability"

UNKNOWN = frozenset({errno.ENOTSUP, errno.ENOSYS})
"""What file systems answer that know no attributes."""

_REFUSED = frozenset({errno.ENOTSUP, errno.EPERM, errno.E2BIG})
_KEPT = {CAPABILITY, "system.posix_acl_access", "system.posix_acl_default"}
_OVERLAY = ("user.overlay.", "trusted.overlay.")


def kept(file: int | str, names: Iterable[str]) -> Xattrs:
    """The attributes of these names that are worth keeping, sorted; `file` is a descriptor or a path, not followed.

    Those of trusted.* only root can see and set.  Raises OSError as the OS gives it.
    """
    wanted = sorted(name for name in names if _is_kept(name))
    return tuple((name, base64.b64encode(_value(file, name)).decode("ascii")) for name in wanted)


def of_path(path: str) -> Xattrs:
    """The attributes of what lies at a path (not followed) that are worth keeping; none where there can be none."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in UNKNOWN:
            return ()
        raise
    return kept(path, names)


def decoded(value: str) -> bytes:
    """The bytes of a value as a manifest holds it."""
    return base64.b64decode(value, validate=True)


def attach(fs: FileSystem, path: str, xattrs: Xattrs) -> tuple[str, ...]:
    """Set attributes, and answer with the names of those that this file system, or this user, cannot set."""
    lost = []
    for name, value in xattrs:
        try:
            fs.set_xattr(path, name, decoded(value))
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            lost.append(name)
    return tuple(lost)


def refusal(name: str) -> str:
    """What to tell of an attribute that was refused."""
    return f"its extended attribute {name} cannot be set here"


def has_capability(xattrs: Xattrs) -> bool:
    """Whether a program has capabilities of its own (capabilities(7))."""
    return any(name == CAPABILITY for name, _ in xattrs)


def without_capability(xattrs: Xattrs) -> Xattrs:
    """What an image's file may carry of a manifest's attributes (I11)."""
    return tuple(pair for pair in xattrs if pair[0] != CAPABILITY)


def may_be_kept(name: str) -> bool:
    """Whether an attribute of this name is worth keeping, for a user who can see it."""
    return not name.startswith(_OVERLAY) and (name.startswith(("user.", "trusted.")) or name in _KEPT)


def _is_kept(name: str) -> bool:
    return may_be_kept(name) and (os.geteuid() == 0 or not name.startswith("trusted."))


def _value(file: int | str, name: str) -> bytes:
    return os.getxattr(file, name) if isinstance(file, int) else os.getxattr(file, name, follow_symlinks=False)
