"""Packages that builds use without saying so: what the paths of an image tell.

Whoever runs Python imports what lies in its site directory under the name of a standard module, be it only to see whether it is
there (`try: import queue`), and whoever builds a Python package imports what builds it.  Such a package commits when no build
runs.  The names are those of any Python: `future` brings Python 2.7 the modules of 3, and is found there; for 3 it brings none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from shipway.model.standard_names import OF_2, OF_3, OF_BOTH

_SITES = frozenset({"site-packages", "dist-packages"})
_SUFFIXES = frozenset({"py", "pyc", "pyo", "so", "pyd"})
_BUILDERS = frozenset({"pip", "setuptools", "pkg_resources", "easy_install", "wheel", "_distutils_hack"})
_AT_START = frozenset({"sitecustomize", "usercustomize"})

_STANDARD = "a standard module of"
_SAID = {
    "builds": "brings {names}, which the build of every Python package imports",
    "start": "brings {names}, which every Python imports when it starts",
    "pth": "brings {names}, which every Python obeys when it starts",
    "distutils": "brings {names}, which distutils obeys in every build",
    "2": f"brings {{names}}, named like {_STANDARD} Python 2",
    "3": f"brings {{names}}, named like {_STANDARD} Python 3",
    "both": f"brings {{names}}, named like {_STANDARD} Python 2 and 3",
}


def toolchain_reasons(paths: Iterable[str]) -> list[str]:
    """Why a package commits only when no build runs, a sentence a reason; none if it commits like others.

    `paths` are those of its files and symlinks, relative to the prefix.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in paths:
        for kind, name, directory in _told_by(path.split("/")):
            found[kind, directory].add(name)
    return [
        f"{_SAID[kind].format(names=_listed(found[kind, directory]))}, in {directory}"
        for kind, directory in sorted(found, key=lambda each: (list(_SAID).index(each[0]), each[1]))
    ]


def _told_by(parts: list[str]) -> Iterator[tuple[str, str, str]]:
    """Kind of reason, name and directory for one path."""
    place = next((number for number, part in enumerate(parts) if part in _SITES), -1)
    if place < 0:
        yield from _in_library(parts)
    elif parts[place + 1 :]:
        directory, below = "/".join(parts[: place + 1]), parts[place + 1 :]
        if len(below) == 1 and below[0].endswith(".pth"):
            yield "pth", below[0], directory
        name = _module(below, is_old=any(part.startswith("python2") for part in parts[:place]))
        if kind := _kind(name):
            yield kind, name, directory


def _in_library(parts: list[str]) -> Iterator[tuple[str, str, str]]:
    """What counts beside a site directory, in that of the standard library."""
    place = next((number for number, part in enumerate(parts) if part.startswith("python")), -1)
    below = parts[place + 1 :]
    directory = "/".join(parts[: place + 1])
    if place < 0 or not below:
        return
    if below == ["distutils", "distutils.cfg"]:
        yield "distutils", "distutils.cfg", f"{directory}/distutils"
    elif len(below) == 1 and (name := _module(below, is_old=False)) in _AT_START:
        yield "start", name, directory


def _module(below: list[str], *, is_old: bool) -> str:
    """The top-level module that a path below a site directory makes importable, or is a part of; "" for none.

    Python 2 imports directories with an `__init__` only, Python 3 also others (PEP 420).
    """
    top, last = below[0], below[-1]
    stem, _, rest = last.partition(".")
    if rest.rpartition(".")[2] not in _SUFFIXES or "__pycache__" in below[:1]:
        return ""
    if len(below) == 1:
        return stem
    if is_old and not (len(below) == 2 and stem == "__init__"):
        return ""
    return top if top.isidentifier() else ""


def _kind(name: str) -> str:
    if name in _BUILDERS:
        return "builds"
    if name in _AT_START:
        return "start"
    return "2" if name in OF_2 else "3" if name in OF_3 else "both" if name in OF_BOTH else ""


def _listed(names: set[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last
