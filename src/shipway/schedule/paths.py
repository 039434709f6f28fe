"""The files of a stage, by their paths under the prefix, before anything is sealed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from shipway.errors import ShipwayError
from shipway.model.derived import is_derived


def files_below(tree: str, directory: str = "") -> Iterator[str]:
    """All files and symlinks of a tree, relative to it; nothing where there is none."""
    if not directory and not os.path.isdir(tree):
        return
    with os.scandir(f"{tree}/{directory}") as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(tree, f"{directory}{entry.name}/")
            else:
                yield f"{directory}{entry.name}"


def summary(tree: str) -> str:
    """A digest of what lies in a tree, by paths, sizes and targets, without bytecode; "" where there is no tree."""
    if not os.path.isdir(tree):
        return ""
    total = hashlib.sha256()
    for path in sorted(path for path in files_below(tree) if not is_derived(path)):
        status = os.lstat(f"{tree}/{path}")
        target = os.readlink(f"{tree}/{path}") if stat.S_ISLNK(status.st_mode) else ""
        total.update(os.fsencode(f"{path}\0{status.st_size}\0{target}\0"))
    return total.hexdigest()


def files_of_wheel(path: str, libraries: tuple[str, str]) -> Iterator[str]:
    """The modules of a wheel where they will lie: `libraries` are the places for pure and for compiled ones.

    Raises ShipwayError if it is none.  Source: the binary distribution format (wheel), which names the directory of data NAME-VERSION.data/SCHEME.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ShipwayError(f"{path} is no wheel: {error}") from error
    for name in names:
        first, _, rest = name.partition("/")
        if not first.endswith(".data"):
            yield f"{libraries[0]}/{name}"
        elif rest.startswith(("purelib/", "platlib/")):
            scheme, _, inner = rest.partition("/")
            yield f"{libraries[scheme == 'platlib']}/{inner}"
