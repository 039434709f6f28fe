"""A wheel becomes a tree: checked as a whole and unpacked, as far as it is the same in every environment.

tree/purelib/…, tree/platlib/…     code, and the metadata that the wheel brings
tree/data/…, tree/headers/…        what goes elsewhere in an environment
tree/scripts/…                     programs that name no interpreter

What an environment adds (`own_half`) is told in `Unpacked.about`.  The `installer` library reads the wheel and decides what goes where.

Sources: "Binary distribution format" and "Recording installed projects" (packaging.python.org).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import stat
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.model.derived import is_derived, sources_of
from shipway.model.entry import DIRECTORY, FILE, Entry, Manifest, join, manifest_of, parent_of
from shipway.store.walk import RESERVED

if TYPE_CHECKING:
    from installer.destinations import WheelDestination
    from installer.records import RecordEntry
    from installer.sources import WheelFile
    from installer.utils import Scheme

LARGEST = 64 << 30
MOST_INFLATED = 200
"""How many times its packed size a large member may be: a zip of ordinary files hardly reaches 20."""
OURS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""What an installer writes into a `dist-info`, whatever the wheel has there."""
_SMALL = 16 << 20
_CHUNK = 1 << 20
_SCHEMES = ("purelib", "platlib", "scripts", "data", "headers")
_SHEBANG = b"#!python"


class Wheel(NamedTuple):
    """A wheel file and how it was asked for: `requested` by name, or as a dependency; `direct_url` as JSON, or ""."""

    path: str
    name: str
    version: str
    requested: bool = False
    direct_url: str = ""


class Unpacked(NamedTuple):
    """What a wheel is everywhere: the manifest of its tree, and what has to be known to complete it.

    `about` is JSON: `root` is the scheme of its root, `info` its `dist-info`, `record` the text of RECORD for the root scheme,
    `others` its rows for others ([scheme, path, hash, size]), `programs` the entry points (as `installer` reads them), `scripts` those
    that name an interpreter ([name, text as latin-1]).
    """

    manifest: Manifest
    about: dict[str, Any]


def unpack(fs: FileSystem, wheel: Wheel, tree: str, mtime: int) -> Unpacked:
    """Unpack a wheel as the directory `tree`; all files get one mtime (ns).

    Raises ShipwayError with all that is wrong with it; then nothing may have been written but below `tree`.
    """
    from installer import install

    try:
        with _opened(wheel) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse(wheel, _problems_of_zip(archive.infolist()))
            source = _source(archive)
            source.validate_record(validate_contents=False)
            writer = _Writer(fs, tree, mtime, frozenset(archive.namelist()))
            install(source, _destination(writer), {})
            return writer.unpacked()
    except (
        ValueError,
        KeyError,
        AssertionError,
        FileExistsError,
        NotADirectoryError,
        zipfile.BadZipFile,
    ) as error:
        issues = getattr(error, "issues", None) or [str(error) or type(error).__name__]
        raise refused(wheel, [str(issue) for issue in issues]) from error


class _Writer:
    """Writes files below the tree, and keeps the rows that manifest and RECORD are made of."""

    def __init__(self, fs: FileSystem, tree: str, mtime: int, members: frozenset[str]) -> None:
        self.fs = fs
        self.tree = tree
        self.mtime = mtime
        self.members = members
        self.rows: list[tuple[str, str, Entry]] = []
        self.about: dict[str, Any] = {"programs": [], "scripts": []}
        self._made: set[str] = set()

    def write(self, scheme: str, path: str, stream: _Checked, *, executable: bool) -> None:
        """One member of the wheel, to where its scheme lies."""
        if scheme == "data" and f"{path}/".startswith(f"{RESERVED}/"):
            raise ValueError(f"{path}: belongs to Shipway itself")
        first = stream.read(_CHUNK)
        if scheme == "scripts" and first.startswith(_SHEBANG):
            self.about["scripts"].append([path, (first + stream.rest()).decode("latin-1")])
            return
        parent = join(scheme, parent_of(path))
        self._make(parent)
        mode = 0o755 if executable or scheme == "scripts" else 0o644
        there = f"{self.tree}/{scheme}/{path}"
        self.fs.write_file(there, stream.pieces(first), mode, self.mtime)
        entry = Entry(path.rpartition("/")[2], FILE, mode, stream.size, self.mtime, stream.digest().hex())
        self.rows.append((scheme, path, entry))

    def is_left_out(self, scheme: str, path: str) -> bool:
        """Bytecode beside its source, and what every installer writes anew."""
        parent, _, name = path.rpartition("/")
        if parent.endswith(".dist-info") and "/" not in parent:
            return name in OURS
        return not name.endswith(".py") and is_derived(path) and any(s in self.members for s in sources_of(path))

    def unpacked(self) -> Unpacked:
        """The answer, when everything is written."""
        root = self.about["root"]
        mine = [(path, entry) for scheme, path, entry in self.rows if scheme == root]
        others = [[s, path, _hash(e), e.size] for s, path, e in self.rows if s != root]
        text = record_lines((path, _hash(entry), str(entry.size)) for path, entry in mine)
        return Unpacked(_manifest(self.rows), {**self.about, "record": text, "others": others})

    def _make(self, directory: str) -> None:
        if directory in self._made:
            return
        if directory:
            self._make(parent_of(directory))
        with suppress(FileExistsError):
            self.fs.mkdir(f"{self.tree}/{directory}" if directory else self.tree, 0o755)
        self._made.add(directory)


def record_lines(rows: Iterable[Iterable[str]]) -> str:
    """Rows as RECORD has them."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def hash_in_record(digest: bytes) -> str:
    """A SHA-256 as RECORD has it."""
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _hash(entry: Entry) -> str:
    return hash_in_record(bytes.fromhex(entry.digest))


def _manifest(rows: Iterable[tuple[str, str, Entry]]) -> Manifest:
    listings: dict[str, dict[str, Entry]] = {"": {}}
    for scheme, path, entry in rows:
        parent = join(scheme, parent_of(path)) if "/" in path else scheme
        _enter(listings, parent)
        listings[parent][entry.name] = entry
    return manifest_of({path: listing.values() for path, listing in listings.items()})


def _enter(listings: dict[str, dict[str, Entry]], path: str) -> None:
    if path in listings:
        return
    _enter(listings, parent_of(path))
    name = path.rpartition("/")[2]
    listings[parent_of(path)][name] = Entry(name, DIRECTORY, 0o755)
    listings[path] = {}


# -- what `installer` reads and writes with ------------------------------------------------------------------


class _Checked:
    """A member's content on its way, hashed as it passes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._total = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._total.update(data)
        self.size += len(data)
        return data

    def pieces(self, first: bytes) -> Iterator[bytes]:
        """What was read first, then the rest."""
        while first:
            yield first
            first = self.read(_CHUNK)

    def rest(self) -> bytes:
        return b"".join(self.pieces(self.read(_CHUNK)))

    def digest(self) -> bytes:
        return self._total.digest()


def _source(archive: zipfile.ZipFile) -> WheelFile:
    """A reader that holds each member against RECORD while it is read, so that nothing is read twice."""
    from installer.records import RecordEntry
    from installer.sources import WheelFile

    class Source(WheelFile):
        def get_contents(self) -> Iterator[tuple[tuple[str, str, str], BinaryIO, bool]]:
            wrong = []
            for elements, stream, executable in super().get_contents():
                checked = _Checked(stream)
                yield elements, checked, executable  # type: ignore[misc]
                checked.rest()
                if not _is_as_recorded(RecordEntry.from_elements(*elements), checked, stream):
                    wrong.append(f"hash / size of {elements[0]} didn't match RECORD")
            if wrong:
                raise self.validation_error(wrong)

    return Source(archive)


def _is_as_recorded(record: RecordEntry, checked: _Checked, stream: BinaryIO) -> bool:
    """Whether content is what RECORD says; RECORD itself and signatures say nothing of themselves."""
    if record.hash_ is None:
        return True
    if record.size is not None and record.size != checked.size:
        return False
    if record.hash_.name == "sha256":
        return f"{record.hash_.name}={record.hash_.value}" == hash_in_record(checked.digest())
    stream.seek(0)
    return record.validate_stream(stream)


def _destination(writer: _Writer) -> WheelDestination:
    from installer.destinations import WheelDestination
    from installer.records import RecordEntry

    class Destination(WheelDestination):
        def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:
            writer.about["programs"].append([name, module, attr, section])
            return RecordEntry(name, None, None)

        def write_file(
            self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
        ) -> RecordEntry:
            path = os.fspath(path)
            if not writer.is_left_out(scheme, path):
                writer.write(scheme, path, stream, executable=is_executable)  # type: ignore[arg-type]
            return RecordEntry(path, None, None)

        def finalize_installation(
            self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
        ) -> None:
            writer.about |= {"root": scheme, "info": parent_of(record_file_path)}

    return Destination()


# -- what the archive gives away -----------------------------------------------------------------------------


def _opened(wheel: Wheel) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(wheel.path)
    except OSError as error:
        raise refused(wheel, [f"cannot be read: {error}"]) from error


def _refuse(wheel: Wheel, problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise refused(wheel, found)


def refused(wheel: Wheel, problems: list[str]) -> ShipwayError:
    """The error for a wheel that is not sound."""
    return ShipwayError(
        f"{os.path.basename(wheel.path)} is not a sound wheel; nothing was changed",
        details=problems,
        hint="download it again, or tell the project that published it",
    )


def _problems_of_zip(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    """What the archive itself gives away, before anything is unpacked."""
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
