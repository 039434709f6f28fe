"""The files of a stage, by their paths under the prefix, before anything is sealed."""

from __future__ import annotations

import os
from collections.abc import Iterator


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


def files_of_wheel(path: str, libraries: tuple[str, str]) -> Iterator[str]:
    """The modules of a wheel where they will lie: `libraries` are the places for pure and for compiled ones.

    Source: the binary distribution format (wheel), which names the directory of data NAME-VERSION.data/SCHEME.
    """
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            first, _, rest = name.partition("/")
            if not first.endswith(".data"):
                yield f"{libraries[0]}/{name}"
            elif rest.startswith(("purelib/", "platlib/")):
                scheme, _, inner = rest.partition("/")
                yield f"{libraries[scheme == 'platlib']}/{inner}"
