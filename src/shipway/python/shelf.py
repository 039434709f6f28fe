"""Directories of wheels, where no index is asked: which file pip would take for a version that is pinned.

pip takes the highest version, of it the wheel whose tags suit the interpreter best, of these the highest build number, and a wheel
rather than a source distribution.  Source: "Binary distribution format" (packaging.python.org).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shipway.python.distributions import normal

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.utils import BuildTag
    from packaging.version import Version

_PAGES = (".html", ".htm", ".xhtml")
_SOURCES = (".tar.gz", ".zip")
_OTHER_SOURCES = (".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma")


class UnclearError(ValueError):
    """pip may take something else."""


class Shelved(NamedTuple):
    """A wheel that suits; the greatest is the best."""

    version: Version
    fitness: int
    build: BuildTag
    path: str


class Shelf:
    """What lies in directories, looked at once.  `tags` are those of the interpreter, best first."""

    def __init__(self, directories: Iterable[str], tags: Sequence[str]) -> None:
        self._fitness = {tag: -number for number, tag in enumerate(tags)}
        self._files: dict[str, list[str]] = {}
        for directory in dict.fromkeys(directories):
            for name in sorted(os.listdir(directory)):
                if name.endswith(_PAGES):
                    raise UnclearError(f"{directory}/{name} may name more")
                self._files.setdefault(normal(name.partition("-")[0]), []).append(f"{directory}/{name}")

    def best(self, requirement: Requirement) -> str:
        """The wheel for a pinned requirement.  Raises UnclearError where pip might take something else."""
        found = [each for path in self._files.get(normal(requirement.name), ()) for each in self._suiting(path)]
        found = [each for each in found if requirement.specifier.contains(each.version, prereleases=True)]
        if not found:
            raise UnclearError(f"no wheel of {requirement}")
        best = max(found, key=lambda each: each[:3])
        if [each[:3] for each in found].count(best[:3]) > 1:
            raise UnclearError(f"several wheels of {requirement}")
        if any(version != best.version for version in self._sources(requirement)):
            raise UnclearError(f"a source distribution of {requirement}")
        return best.path

    def _suiting(self, path: str) -> list[Shelved]:
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename

        if not path.endswith(".whl"):
            return []
        try:
            _, version, build, tags = parse_wheel_filename(os.path.basename(path))
        except InvalidWheelFilename as error:
            raise UnclearError(str(error)) from error
        known = [self._fitness[str(tag)] for tag in tags if str(tag) in self._fitness]
        return [Shelved(version, max(known), build, path)] if known else []

    def _sources(self, requirement: Requirement) -> list[Version]:
        """The versions of source distributions that meet the requirement; a name may hold hyphens."""
        from packaging.utils import InvalidSdistFilename, parse_sdist_filename

        key, found = normal(requirement.name), []
        files = [path for paths in self._files.values() for path in paths]
        for name in (os.path.basename(path) for path in files if not path.endswith(".whl")):
            if not normal(name).startswith(f"{key}-"):
                continue
            if name.endswith(_OTHER_SOURCES):
                raise UnclearError(name)
            try:
                project, version = parse_sdist_filename(name)
            except InvalidSdistFilename:
                continue
            if project == key and requirement.specifier.contains(version, prereleases=True):
                found.append(version)
        return found
