"""What belongs to a project on disk, whoever put it there, and also where its record is damaged.

pip moves old files aside under names that begin with a tilde (`~jango`), then writes the new ones, their metadata and last of all
RECORD.  Killed in between, or run twice at once, it leaves any of these, and nobody knows any more what belongs to what.  Then
everything counts that lies under the project's own top-level names and that no other project lists.
"""

from __future__ import annotations

import base64
import csv
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from shipway.errors import ShipwayError
from shipway.fs.hashing import hash_file
from shipway.python.distributions import Distribution, installed, leftovers, normal
from shipway.python.metadata import entry_points, text_of
from shipway.python.target import Target, inside

_SHOWN = 3
_HASHED = "sha256="


class Remains(NamedTuple):
    """What there is of a project: its version, its files and metadata directories, relative to the root, and what is wrong with it.

    `refusal` says why it can be neither replaced nor removed, or "".  `blank`: not even metadata is left.  What healing it takes: `stale` files go, and `record` is
    the RECORD to be written, or "".
    """

    version: str
    files: tuple[str, ...]
    directories: tuple[str, ...]
    damage: tuple[str, ...] = ()
    refusal: str = ""
    blank: bool = False
    stale: tuple[str, ...] = ()
    record: str = ""

    @property
    def curable(self) -> bool:
        """Whether healing would change anything."""
        return bool(self.stale or self.record)


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
    damage = [
        *_damage(infos),
        *(f"{os.path.basename(path)} is left of an installation that was broken off" for path in left),
    ]
    files = {path for each in infos for path in (*(each.files or ()), *_files(each.info))}
    if damage:
        guessed = {*_guessed(target, infos, names), *(f"{target.root}/{path}" for path in coming)}
        files |= guessed - {path for each in everything if each.key != key for path in each.files or ()}
    right = _right(infos)
    stale = {file for path in left for file in _files(path)} | _stale(infos, right)
    info = _directories([right], (), target.root) if right and right.files is None else ()
    return Remains(
        right.version if right else _version_of(left),
        _relative(files | stale, target.root),
        _directories(infos, left, target.root),
        tuple(damage),
        next((each.refusal for each in infos if each.refusal), ""),
        right is not None and right.info.endswith(".dist-info") and not text_of(f"{right.info}/METADATA"),
        _relative(stale, target.root),
        f"{info[0]}/RECORD" if info else "",
    )


def incurable(found: Distribution) -> list[str]:
    """What is wrong with a project that only a new installation mends.  Reads all of its files."""
    untrue = _untrue(found)
    more = f" and {len(untrue) - _SHOWN} more" if len(untrue) > _SHOWN else ""
    return [f"not as its RECORD says: {', '.join(untrue[:_SHOWN])}{more}"] if untrue else []


def _damage(infos: Sequence[Distribution]) -> Iterator[str]:
    yield from (f"{os.path.basename(each.info)} has no RECORD" for each in infos if each.files is None)
    if len(infos) > 1:
        yield f"is there {len(infos)} times: {', '.join(each.version for each in infos)}"


def _right(infos: Sequence[Distribution]) -> Distribution | None:
    """The one of several that tells what lies on disk: whose RECORD proves most files, the newest of equals."""
    if len(infos) < 2:
        return infos[0] if infos else None
    return max(infos, key=lambda each: (each.files is not None, _proved(each), os.stat(each.info).st_mtime_ns))


def _stale(infos: Iterable[Distribution], right: Distribution | None) -> set[str]:
    """The metadata of the others, and what they alone list."""
    others = [each for each in infos if each is not right]
    alone = {path for each in others for path in each.files or ()} - set(right.files or () if right else ())
    own = {path for each in others for path in _files(each.info)}
    return own | (alone if right and right.files is not None else set())


def _proved(found: Distribution) -> int:
    """How many files are, by their hashes, what RECORD says."""
    return sum(hashed.startswith(_HASHED) and _is_true(path, hashed) for path, hashed in _hashes(found))


def _untrue(found: Distribution) -> list[str]:
    """The files that are missing or not what RECORD says, relative to where RECORD's are."""
    place = os.path.dirname(found.info)
    return [path[len(place) + 1 :] for path, hashed in _hashes(found) if not _is_true(path, hashed)]


def _hashes(found: Distribution) -> list[tuple[str, str]]:
    place = os.path.dirname(found.info)
    rows = csv.reader(text_of(f"{found.info}/RECORD").splitlines())
    return [(f"{place}/{row[0]}", row[1]) for row in rows if len(row) > 1]


def _is_true(path: str, stated: str) -> bool:
    if not stated.startswith(_HASHED):
        return path.endswith(".pyc") or os.path.lexists(path)
    try:
        found = base64.urlsafe_b64encode(bytes.fromhex(hash_file(path))).rstrip(b"=").decode()
    except (OSError, ShipwayError):
        return False
    return found == stated.removeprefix(_HASHED)


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
        points = entry_points(_lines(f"{each.info}/entry_points.txt"))
        yield from (f"{target.paths['scripts']}/{name}" for name in points)


def _version_of(left: Iterable[str]) -> str:
    infos = [os.path.basename(path) for path in left if path.endswith(".dist-info")]
    return infos[0].removesuffix(".dist-info").partition("-")[2] if infos else "0"


def _directories(infos: Iterable[Distribution], left: Iterable[str], root: str) -> tuple[str, ...]:
    """The directories that are there even if nothing is in them."""
    places = [path for path in (*(each.info for each in infos), *left) if os.path.isdir(path)]
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
    return text_of(path).splitlines()
