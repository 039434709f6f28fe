"""What is no longer needed and cannot be removed: it is told in one line, with the reason and the remedy, and tried again later.

Immutable files, files of another owner and mounts may lie in what a commit took out.  They are no reason for a command
to fail: whatever can go goes, the rest waits in `undo/` for the next collection.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import shlex
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from shipway.fs.found import everything
from shipway.fs.mount import mount_points
from shipway.fs.space import flags
from shipway.fs.system import FileSystem
from shipway.prefix.layout import LEFT, Layout

if TYPE_CHECKING:
    from shipway.prefix.database import Database
    from shipway.prefix.records import Row

IN_THE_WAY = frozenset({errno.EPERM, errno.EACCES, errno.EROFS, errno.EBUSY, errno.ENOTEMPTY, errno.EXDEV})
"""Errors that say why something of ours cannot go, not that the disk is ill."""

AGAIN = "`shipway gc`"

_PUT_BY = re.compile(LEFT + r"([0-9a-f]{16})-\d+\Z")


class Leftover(NamedTuple):
    """Something that is no longer needed and still there: its path, what keeps it there, and what to do."""

    path: str
    problem: str
    hint: str

    @property
    def text(self) -> str:
        """All but the path."""
        return f"could not be removed: {self.problem}; {self.hint}"

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


def remove(fs: FileSystem, path: str, spare: Callable[[str], bool] | None = None) -> Leftover | None:
    """Remove a tree as far as that can be done; what is left of it, None if nothing is.  Raises OSError where the disk is ill."""
    try:
        fs.remove_tree(path, spare)
    except (OSError, ExceptionGroup) as error:
        errors = [each for each in _each(error) if isinstance(each, OSError)]
        if any(each.errno not in IN_THE_WAY for each in errors):
            raise
        return explain(errors, path)
    return None


def discard(fs: FileSystem, layout: Layout, path: str, token: str) -> Leftover | None:
    """Remove something of a session's area.  What cannot be removed is put by in `undo/`, where a collection tries again."""
    left = remove(fs, path)
    for number in count() if left else ():
        there = layout.put_by(token, number)
        try:
            fs.take(path, there)
        except FileExistsError:
            continue
        except OSError:
            break
        return remove(fs, there)
    return left


def explain(errors: Sequence[OSError], top: str) -> Leftover:
    """Why something below `top` could not be removed, by the first of the errors."""
    first = errors[0]
    path = os.fsdecode(first.filename or top)
    problem, remedy = _reason(path, first, top if len(errors) > 1 else "")
    more = f", nor {len(errors) - 1} more" if len(errors) > 1 else ""
    return Leftover(path, problem + more, remedy)


def given_up(layout: Layout, database: Database) -> list[tuple[str, Row | None]]:
    """What lies in `undo/` and is of no use to anybody, with the transaction that it belongs to, if to any."""
    found = []
    for name in sorted(os.listdir(layout.undo)) if os.path.isdir(layout.undo) else ():
        row = database.transaction(int(name)) if name.isdecimal() else None
        put_by = _PUT_BY.match(name)
        if put_by:
            found.append((f"{layout.undo}/{name}", database.transaction_of(put_by[1])))
        elif row is not None and row.undo == "collected":
            found.append((f"{layout.undo}/{name}", row))
    return found


def expected(top: str) -> Leftover:
    """What will keep a tree that is still there from being removed, as far as a look can tell."""
    mounted = mount_points(top)
    try:
        for path in everything(top):
            code = errno.EBUSY if path in mounted else _obstacle(path)
            if code:
                return explain([OSError(code, "", path)], top)
    except OSError as error:
        return explain([error], top)
    return Leftover(top, "the collection that gave it up did not come to its end", f"{AGAIN} removes it")


def _obstacle(path: str) -> int:
    if _marked(path):
        return errno.EPERM
    return 0 if os.access(os.path.dirname(path), os.W_OK | os.X_OK) else errno.EACCES


def _each(error: BaseException) -> list[BaseException]:
    return [leaf for each in error.exceptions for leaf in _each(each)] if isinstance(error, ExceptionGroup) else [error]


def _reason(path: str, error: OSError, several: str) -> tuple[str, str]:
    """The problem and the remedy; `several` is the tree where there is more than one thing in the way."""
    if error.errno == errno.EBUSY:
        return "it is a mount point", f"`umount {shlex.quote(path)}`, then {AGAIN}"
    for at in (path, os.path.dirname(path)):
        letter = _marked(at)
        if letter and error.errno == errno.EPERM:
            said = {"i": "immutable", "a": "append-only"}[letter]
            what = f"-R -{letter} {shlex.quote(several)}" if several else f"-{letter} {shlex.quote(at)}"
            return f"{'it' if at == path else at} is {said}", f"`chattr {what}`, then {AGAIN}"
    if error.errno in (errno.EPERM, errno.EACCES):
        at = path if os.access(os.path.dirname(path), os.W_OK | os.X_OK) else os.path.dirname(path)
        return f"{'it' if at == path else at} belongs to {owner(at)}", f"{AGAIN} {as_owner(at)} removes it"
    if error.errno == errno.ENOTEMPTY:
        return "something new lies in it", f"{AGAIN} tries again"
    return os.strerror(error.errno or 0).lower(), f"{AGAIN} tries again"


def _marked(path: str) -> str:
    """The letter of chattr(1) that holds something fast, "" if none does."""
    try:
        marked = flags(path)
    except OSError:
        return ""
    return "i" if marked.immutable else "a" if marked.append_only else ""


def as_owner(path: str) -> str:
    """Who may do something about it, as a hint says it."""
    return "as root" if owner(path) == "root" else f"as {owner(path)} or root"


def owner(path: str) -> str:
    """Whom something belongs to, as people say it."""
    try:
        uid = os.lstat(path).st_uid
    except OSError:
        return "somebody else"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
