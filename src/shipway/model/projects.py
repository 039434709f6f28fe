"""Which Python project a tree is, told by its metadata: a package has one identity, whatever way it comes in.

A tree that is staged under a plain name, and holds the metadata of one Python project of that name, is that project: what a recipe
built is upgraded by `pip install`, and the other way round.  A tree of several projects, or of a library that brings Python
bindings under another name, keeps the name it was given.
"""

from __future__ import annotations

from shipway.model.entry import DIRECTORY, Manifest
from shipway.model.identity import project

_INTERPRETERS = ("bin/python3", "bin/python2", "bin/python")
_PLAIN = "pkg:generic/"
_PYPI = "pkg:pypi/"
_LIBRARIES = ("site-packages", "dist-packages")
_PREFIXES = ("py-", "python-", "python3-")
_INFO = ".dist-info"


def brings_interpreter(manifest: Manifest) -> bool:
    """Whether a tree has a Python of its own, where a prefix has it."""
    return any(manifest.entry(name) for name in _INTERPRETERS)


def projects_in(manifest: Manifest) -> set[str]:
    """The identities of the Python projects whose metadata a tree brings into its directories of libraries."""
    return {
        _PYPI + project(entry.name.partition("-")[0])
        for path, directory in manifest.directories.items()
        if path.rpartition("/")[2] in _LIBRARIES
        for entry in directory.entries.values()
        if entry.kind == DIRECTORY and entry.name.endswith(_INFO)
    }


def identity_in(manifest: Manifest, identity: str) -> str:
    """The identity of a tree that was staged under one: that of the Python project it is, else the one given."""
    name = identity.removeprefix(_PLAIN)
    found = projects_in(manifest) if name != identity else set()
    return found.pop() if len(found) == 1 and found <= names_of(name) else identity


def names_of(name: str) -> set[str]:
    """The Python projects that a plain name may stand for: `py-foo` and `python3-foo` are what others call `foo`."""
    key = project(name)
    return {_PYPI + stem for stem in (key, *(key.removeprefix(prefix) for prefix in _PREFIXES)) if stem}
