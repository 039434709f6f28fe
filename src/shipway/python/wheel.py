"""A wheel becomes a staged tree: checked as a whole, then unpacked by the `installer` library for its final place.

Sources: "Binary distribution format" and "Recording installed projects" (packaging.python.org), PEP 610 (direct_url.json).
"""

from __future__ import annotations

import os
import stat
import warnings
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from shipway.errors import ShipwayError
from shipway.python.target import Target

if TYPE_CHECKING:
    from installer.destinations import SchemeDictionaryDestination
    from installer.records import RecordEntry
    from installer.utils import Scheme

INSTALLER = b"shipway\n"
LARGEST = 64 << 30
MOST_INFLATED = 200
"""How many times its packed size a large member may be: a zip of ordinary files hardly reaches 20."""
_SMALL = 16 << 20
_SCHEMES = ("purelib", "platlib", "scripts", "data", "headers")


class Wheel(NamedTuple):
    """A wheel file and how it was asked for: `requested` by name, or as a dependency; `direct_url` as JSON, or ""."""

    path: str
    name: str
    version: str
    requested: bool = False
    direct_url: str = ""


def unpack(wheel: Wheel, target: Target, stage: str) -> None:
    """Unpack a wheel below `stage`, as a DESTDIR, for its place in a target.

    Raises ShipwayError with all that is wrong with it; then nothing may have been written but below `stage`.
    """
    from installer import install
    from installer.sources import WheelFile

    problems = list(_problems_of_zip(wheel.path))
    if problems:
        raise _refused(wheel, problems)
    destination = _destination(wheel, target, stage)
    try:
        with WheelFile.open(wheel.path) as source, warnings.catch_warnings():  # type: ignore[arg-type]
            warnings.simplefilter("ignore")
            source.validate_record()
            install(source, destination, _additional(wheel))
    except (ValueError, KeyError, AssertionError, FileExistsError, zipfile.BadZipFile) as error:
        issues = getattr(error, "issues", None) or [_words(error)]
        raise _refused(wheel, [str(issue) for issue in issues]) from error


def _destination(wheel: Wheel, target: Target, stage: str) -> SchemeDictionaryDestination:
    from installer.destinations import SchemeDictionaryDestination

    class Destination(SchemeDictionaryDestination):
        """Scripts can be run, also those that were packed where files have no such mode."""

        def write_file(
            self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
        ) -> RecordEntry:
            return super().write_file(scheme, path, stream, is_executable or scheme == "scripts")

    places = {**target.paths, "headers": os.path.join(target.paths["headers"], wheel.name)}
    return Destination(places, target.python, "posix", destdir=stage)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _additional(wheel: Wheel) -> dict[str, bytes]:
    more = {"INSTALLER": INSTALLER}
    if wheel.requested:
        more["REQUESTED"] = b""
    if wheel.direct_url:
        more["direct_url.json"] = wheel.direct_url.encode()
    return more


def _refused(wheel: Wheel, problems: list[str]) -> ShipwayError:
    return ShipwayError(
        f"{os.path.basename(wheel.path)} is not a sound wheel; nothing was changed",
        details=problems,
        hint="download it again, or tell the project that published it",
    )


def _problems_of_zip(path: str) -> Iterator[str]:
    """What the archive itself gives away, before anything is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        yield f"cannot be read: {error}"
        return
    seen: dict[str, int] = {}
    for member in members:
        yield from _problems_of_name(member.filename)
        seen[member.filename] = seen.get(member.filename, 0) + 1
        if stat.S_ISLNK(member.external_attr >> 16):
            yield f"{member.filename}: is a symlink, which wheels cannot hold"
        if member.file_size > _SMALL and member.file_size > MOST_INFLATED * max(1, member.compress_size):
            yield f"{member.filename}: {member.file_size} bytes packed into {member.compress_size}"
    yield from (f"{name}: is in it {count} times" for name, count in seen.items() if count > 1)
    if sum(member.file_size for member in members) > LARGEST:
        yield "is larger than 64 GiB unpacked"
    if not any(name.endswith(".dist-info/RECORD") and name.count("/") == 1 for name in seen):
        yield "has no RECORD"


def _problems_of_name(name: str) -> Iterator[str]:
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or "\0" in name:
        yield f"{name!r}: is not a relative path"
    elif any(part in ("", ".", "..") for part in parts):
        yield f"{name!r}: leads out of its place"
    elif parts[0].endswith(".data") and len(parts) > 1 and parts[1] not in _SCHEMES:
        yield f"{name!r}: is for a place that does not exist"
