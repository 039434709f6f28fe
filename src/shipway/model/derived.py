"""Derived files: what interpreters and test tools write beside Python sources, told by name alone.

A derived file is owned with its source, may be rewritten by any program at any time, and is never a
conflict (I6).  The names known here:

    x.pyc, x.pyo                      beside x.py: Python 2, `compileall -b`
    __pycache__/x.TAG.pyc             PEP 3147, and x.TAG.pyo before Python 3.5
    __pycache__/x.TAG.opt-N.pyc       PEP 488
    __pycache__/x.TAG-pytest-V.pyc    pytest's rewritten modules
    __pycache__/x.f-12.py311.nbi      numba's index of a cached function, its data in *.nbc
    ….pyc.NNN, ….nbi.tmp.HEX          scratch names of the above, left when their writer was killed
    x$py.class                        Jython

A name says what a file may be; whether it is depends on its source being there (a `.pyc` without
one is an ordinary module).  So the test for "bytecode of something in this tree" is
`any(source in tree for source in sources_of(path))`.

Nothing here touches a disk.  Paths are relative to the prefix, as in manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shipway.model.entry import join

CACHE_DIRECTORY = "__pycache__"

_ENDINGS = (".pyc", ".pyo", "$py.class")
_NUMBA = (".nbi", ".nbc")
_SCRATCH = re.compile(r"(?<=\.py[co])\.\d+\Z|(?<=\.nb[ic])\.tmp\.[0-9a-f]+\Z")
_TAGGED = re.compile(r"(.+?)\.(?:[^.]+-pytest-\d.*|[^.]+(?:\.opt-[A-Za-z0-9]+)?)\.py[co]", re.DOTALL)
_HEXADECIMAL = frozenset("0123456789abcdef")


def is_derived(path: str) -> bool:
    """Whether a file of this name is one that a program may write at any time beside a source."""
    if path.endswith(_ENDINGS):
        return True
    if path.endswith(_NUMBA):
        return _in_cache(path)
    if path[-1:] not in _HEXADECIMAL:
        return False
    whole = _SCRATCH.sub("", path)
    return whole != path and (whole.endswith(_ENDINGS) or _in_cache(whole))


def is_cache_directory(path: str) -> bool:
    """Whether a directory of this name exists for derived files only (PEP 3147)."""
    return path == CACHE_DIRECTORY or path.endswith("/" + CACHE_DIRECTORY)


def sources_of(path: str) -> tuple[str, ...]:
    """The sources a derived file may have come from; empty if the name is not a derived file's."""
    parent, _, name = path.rpartition("/")
    name = _SCRATCH.sub("", name)
    if not is_cache_directory(parent):
        stem = _stem_beside(name)
        return (join(parent, stem + ".py"),) if stem else ()
    above = parent.rpartition("/")[0]
    stem = _stem_cached(name)
    return (join(above, stem + ".py"),) if stem else ()


def by_source(directory: str, beside: Iterable[str], cached: Iterable[str]) -> dict[str, list[str]]:
    """The derived files of one directory, grouped by the source they may have come from.

    `beside` are the names in the directory itself, `cached` those in its `__pycache__`; both may
    hold other names, which are left out.  Keys and values are paths; a source need not exist.
    """
    cache = join(directory, CACHE_DIRECTORY)
    found: dict[str, list[str]] = {}
    paths = [join(directory, name) for name in beside] + [join(cache, name) for name in cached]
    for path in filter(is_derived, paths):
        for source in sources_of(path):
            found.setdefault(source, []).append(path)
    return found


def bytecode_of(source: str, beside: Iterable[str], cached: Iterable[str]) -> list[str]:
    """The paths among a directory's names that are derived from one source, whichever program wrote them.

    For many sources of one directory call `by_source` once.
    """
    parent, _, name = source.rpartition("/")
    stem = name.removesuffix(".py")
    close = [n for n in beside if n.startswith(stem)]
    kept = [n for n in cached if n.startswith(stem)]
    return by_source(parent, close, kept).get(source, [])


def _in_cache(path: str) -> bool:
    """Whether a file's directory is a `__pycache__`; elsewhere numba's endings are anybody's."""
    return is_cache_directory(path.rpartition("/")[0])


def _stem_beside(name: str) -> str:
    for ending in _ENDINGS:
        if name.endswith(ending):
            return name[: -len(ending)]
    return ""


def _stem_cached(name: str) -> str:
    if name.endswith(_NUMBA):
        return name.partition(".")[0]
    tagged = _TAGGED.fullmatch(name)
    return tagged.group(1) if tagged else ""
