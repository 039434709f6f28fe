"""Projects installed by what came before wheels: distutils, and setuptools with its eggs and development installs.

| in site-packages | made by | its files |
|---|---|---|
| NAME-V-pyX.Y.egg-info/ | `pip install` of an sdist before wheels | installed-files.txt |
| NAME-V-pyX.Y.egg-info/ | `setup.py install --single-version-externally-managed`, distributions | nobody knows |
| NAME-V-pyX.Y.egg-info, a file | distutils | nobody knows |
| NAME-V-pyX.Y.egg, a directory or an archive | `setup.py install`, `easy_install` | itself, and scripts |
| NAME.egg-link | `setup.py develop`, `pip install -e` of old | elsewhere, with a line in easy-install.pth |

The line in easy-install.pth that names an egg may stay when the egg goes: `site` passes over what is not there.

Sources: "The Internal Structure of Python Eggs" (setuptools), `site` (Python library reference).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shipway.model.identity import project
from shipway.python.metadata import entry_points, stated, text_of

_NO_LIST = (
    "was installed by distutils, or by a distribution, and left no list of its files: it cannot be removed accurately"
)


class Legacy(NamedTuple):
    """A project of old: as `Distribution` tells one.  `refusal` says why it cannot be taken over, "" if it can."""

    name: str
    version: str
    info: str
    files: tuple[str, ...] = ()
    refusal: str = ""


def legacy(place: str, scripts: str) -> Iterator[Legacy]:
    """The projects of old in a directory of libraries; `scripts` is where their scripts lie."""
    try:
        names = sorted(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.startswith("~"):
            continue
        path = f"{place}/{name}"
        if name.endswith(".egg-info"):
            yield _egg_info(path)
        elif name.endswith(".egg"):
            yield from _egg(path, scripts)
        elif name.endswith(".egg-link"):
            yield _egg_link(path)


def _egg_info(path: str) -> Legacy:
    if not os.path.isdir(path):
        return _called(path, text_of(path))._replace(refusal=_NO_LIST)
    found = _called(path, text_of(f"{path}/PKG-INFO"))
    listed = text_of(f"{path}/installed-files.txt")
    if not listed:
        return found._replace(refusal=_NO_LIST)
    files = (os.path.normpath(os.path.join(path, line)) for line in listed.splitlines() if line.strip())
    return found._replace(files=tuple(files))


def _egg(path: str, scripts: str) -> Iterator[Legacy]:
    told = _told_by_directory(path) if os.path.isdir(path) else _told_by_archive(path)
    if told is not None:
        about, points, names = told
        files = tuple(f"{scripts}/{name}" for name in (*names, *entry_points(points.splitlines())))
        yield _called(path, about)._replace(files=files)


def _told_by_directory(path: str) -> tuple[str, str, list[str]] | None:
    """PKG-INFO, entry_points.txt, and the names of scripts; None if it is no egg."""
    inside = f"{path}/EGG-INFO"
    if not os.path.isdir(inside):
        return None
    names = os.listdir(f"{inside}/scripts") if os.path.isdir(f"{inside}/scripts") else []
    return text_of(f"{inside}/PKG-INFO"), text_of(f"{inside}/entry_points.txt"), sorted(names)


def _told_by_archive(path: str) -> tuple[str, str, list[str]] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            texts = [
                archive.read(name).decode("utf-8", "replace") if name in members else ""
                for name in ("EGG-INFO/PKG-INFO", "EGG-INFO/entry_points.txt")
            ]
    except (zipfile.BadZipFile, OSError):
        return None
    names = [m.rpartition("/")[2] for m in sorted(members) if m.startswith("EGG-INFO/scripts/") and not m.endswith("/")]
    return texts[0], texts[1], names


def _egg_link(path: str) -> Legacy:
    source = text_of(path).partition("\n")[0].strip()
    name = os.path.basename(path).removesuffix(".egg-link")
    infos = os.listdir(source) if os.path.isdir(source) else []
    found = next(
        (i for i in infos if i.endswith(".egg-info") and project(i.removesuffix(".egg-info")) == project(name)), ""
    )
    about = stated(text_of(f"{source}/{found}/PKG-INFO")) if found else {}
    refusal = f"is a development install of {source}, and shares easy-install.pth with others of its kind"
    return Legacy(about.get("name", name), about.get("version", "0"), path, (), refusal)


def _called(path: str, about: str) -> Legacy:
    """Name and version: as stated, else as the file name (NAME-VERSION-pyX.Y.SUFFIX) has them."""
    found = stated(about)
    name, version = _in_name(os.path.basename(path).rpartition(".")[0].split("-"))
    return Legacy(found.get("name", name), found.get("version", version), path)


def _in_name(parts: Iterable[str]) -> tuple[str, str]:
    name, *rest = parts
    return name, rest[0] if rest else "0"
