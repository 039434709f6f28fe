"""What the file system under a directory can do, tried out rather than looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shipway.fs import mount, native
from shipway.fs.system import FileSystem


class Capabilities(NamedTuple):
    """The answers for one directory.

    `type` is the file system's ("ext4").  `exchange` and `noreplace` are flags of renameat2(2), `reflink`
    means files that share data, `xattr` attributes in the user's name space, `births` that files have
    a time of birth, `syncfs` that it reports failed writes.  `lock_scope` says why locks do not reach
    other hosts, "" if nothing tells so.
    """

    directory: str
    type: str
    exchange: bool
    noreplace: bool
    reflink: bool
    hardlink: bool
    symlink: bool
    xattr: bool
    births: bool
    syncfs: bool
    folds_case: bool
    lock_scope: str


def probe(directory: str) -> Capabilities:
    """Try everything out in a scratch directory, which is removed again.

    Raises OSError if nothing can be created in `directory`.
    """
    fs = FileSystem()
    with fs.scratch(directory) as area:
        file = f"{area}/Name"
        fs.write_file(file, b"content", 0o600)
        fs.write_file(f"{area}/other", b"", 0o600)
        status = native.status(file)
        return Capabilities(
            directory=directory,
            type=mount.file_system(directory).type,
            exchange=fs.exchange_works(area),
            noreplace=_noreplace_works(f"{area}/other"),
            reflink=fs.clone_file(file, f"{area}/clone", 0o600, 0),
            hardlink=_works(lambda: fs.link(file, f"{area}/link")),
            symlink=_works(lambda: fs.symlink("Name", f"{area}/symlink")),
            xattr=_works(lambda: fs.set_xattr(file, "user.shipway", b"1")),
            births=bool(status and status.born),
            syncfs=mount.syncfs_reports_errors(directory),
            folds_case=mount.folds_case(area),
            lock_scope=mount.lock_scope(directory),
        )


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _noreplace_works(source: str) -> bool:
    """Onto a free name: onto one that is taken the kernel itself answers, whatever the file system knows."""
    return _works(lambda: native.rename(source, f"{source}-placed", native.NOREPLACE))
