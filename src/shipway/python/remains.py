"""What belongs to a project on disk, whoever put it there, and also where its record is damaged.

pip moves old files aside under names that begin with a tilde (`~jango`), then writes the new ones, their metadata and last of all
RECORD.  Killed in between, or run twice at once, it leaves any of these, and nobody knows any more what belongs to what.  Then
everything counts that lies under the project's own top-level names and that no other project lists.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from shipway.python.distributions import Distribution, installed, leftovers, normal
from shipway.python.target import Target, inside

_SCRIPTS = ("[console_scripts]", "[gui_scripts]")


class Remains(NamedTuple):
    """What there is of a project: its version, its files and metadata directories, relative to the root, and what is wrong with it."""

    version: str
    files: tuple[str, ...]
    directories: tuple[str, ...]
    damage: tuple[str, ...] = ()


def remains(target: Target, key: str, coming: Collection[str] = ()) -> Remains | None:
    """All there is of a project, by its compared name; None if there is nothing.

    `coming` are paths, relative to the root, of a version that is to take its place: its names are the best guess at the old one's.
    """
    everything = installed(target)
    infos = [each for each in everything if each.key == key]
    names = _names(infos, key, _below_libraries(target, coming))
    left = [path for path in leftovers(target) if _is_left_of(path, key, names)]
    if not infos and not left:
        return None
    damage = [f"{os.path.basename(each.info)} has no RECORD" for each in infos if each.files is None]
    damage += [f"{os.path.basename(path)} is left of an installation that was broken off" for path in left]
    if len(infos) > 1:
        damage.append(f"is there {len(infos)} times: {', '.join(each.version for each in infos)}")
    files = {path for each in infos for path in (*(each.files or ()), *_files(each.info))}
    if damage:
        guessed = {*_guessed(target, infos, names), *(f"{target.root}/{path}" for path in coming)}
        files |= guessed - {path for each in everything if each.key != key for path in each.files or ()}
    files |= {file for path in left for file in _files(path)}
    version = infos[-1].version if infos else _version_of(left)
    return Remains(version, _relative(files, target.root), _directories(infos, left, target.root), tuple(damage))


def _names(infos: Iterable[Distribution], key: str, coming: Collection[str]) -> set[str]:
    """The top-level names of modules and packages that are the project's own, as far as they can be known."""
    found = {key.replace("-", "_"), *coming}
    for each in infos:
        found |= {line.strip() for line in _lines(f"{each.info}/top_level.txt")}
    return {name for name in found if name.isidentifier()}


def _below_libraries(target: Target, coming: Collection[str]) -> set[str]:
    """The first names, without suffix, of paths in the directories of libraries."""
    places = [os.path.realpath(place)[len(target.root) + 1 :] for place in target.libraries]
    starts = [f"{place}/" if place else "" for place in places]
    tails = (path[len(start) :] for path in coming for start in starts if path.startswith(start))
    return {tail.partition("/")[0].partition(".")[0] for tail in tails if not tail.startswith("bin/")}


def _is_left_of(path: str, key: str, names: Iterable[str]) -> bool:
    """Whether a name with a tilde was one of the project's: pip replaces the first letter."""
    rest = os.path.basename(path)[1:]
    stem = rest.partition(".")[0].partition("-")[0] if ".dist-info" in rest else rest.partition(".")[0]
    return normal(stem) in {key[1:], *(normal(name)[1:] for name in names)}


def _guessed(target: Target, infos: Iterable[Distribution], names: Iterable[str]) -> Iterator[str]:
    for place in target.libraries:
        for name in names:
            yield from _files(f"{place}/{name}")
            yield f"{place}/{name}.py"
    for each in infos:
        yield from (f"{target.paths['scripts']}/{name}" for name in _entry_points(each.info))


def _entry_points(info: str) -> Iterator[str]:
    section = ""
    for line in _lines(f"{info}/entry_points.txt"):
        if line.startswith("["):
            section = line.strip()
        elif section in _SCRIPTS and "=" in line:
            yield line.partition("=")[0].strip()


def _version_of(left: Iterable[str]) -> str:
    infos = [os.path.basename(path) for path in left if path.endswith(".dist-info")]
    return infos[0].removesuffix(".dist-info").partition("-")[2] if infos else "0"


def _directories(infos: Iterable[Distribution], left: Iterable[str], root: str) -> tuple[str, ...]:
    """The directories that are there even if nothing is in them."""
    places = [*(each.info for each in infos), *(path for path in left if os.path.isdir(path))]
    return tuple(sorted(os.path.realpath(place)[len(root) + 1 :] for place in places if inside(place, root)))


def _relative(paths: Iterable[str], root: str) -> tuple[str, ...]:
    """Those that are there and lie inside the root, by their real places."""
    there = {p for p in paths if os.path.lexists(p) and inside(os.path.dirname(p), root)}
    real = {os.path.join(os.path.realpath(os.path.dirname(p)), os.path.basename(p)) for p in there}
    return tuple(sorted(p[len(root) + 1 :] for p in real if not os.path.isdir(p) or os.path.islink(p)))


def _files(path: str) -> Iterator[str]:
    """A file itself, or all files below a directory."""
    if not os.path.isdir(path) or os.path.islink(path):
        yield path
        return
    for name in sorted(os.listdir(path)):
        yield from _files(f"{path}/{name}")


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
