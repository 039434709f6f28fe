"""Manifests: what a sealed tree holds, as values.

A manifest is a tree of directories in the manner of git: the entry of a directory carries the digest
of its listing, so two manifests are compared by descending only where digests differ.  Digests leave
out times (two builds of the same content are the same content); the image's name includes them,
because bytecode depends on them.

Paths are relative to the prefix, joined with "/", the root is "".  Names are text as `os.fsdecode`
gives it; JSON's escapes carry the lone surrogates of names that are not UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

FILE = "f"
LINK = "l"
DIRECTORY = "d"

KIND_NAMES = {FILE: "file", LINK: "symlink", DIRECTORY: "directory"}

DEEPEST = 128
"""Directories within directories that a tree may have: all that walks one may then call itself for each."""

Xattrs = tuple[tuple[str, str], ...]


class Entry(NamedTuple):
    """One name in a directory.

    `mode` is the permission bits with setuid, setgid and sticky.  `size` is in bytes (0 unless a file),
    `mtime` in nanoseconds since the epoch.  `digest` is the hex SHA-256 of a file's content or of a
    directory's listing, `target` a symlink's text.  `derived` entries may be rewritten by any program.
    `group` is not 0 where several names of one image are hard links of one file: the same number each.
    `xattrs` are (name, base64 of the value), sorted.
    """

    name: str
    kind: str
    mode: int = 0o644
    size: int = 0
    mtime: int = 0
    digest: str = ""
    target: str = ""
    derived: bool = False
    group: int = 0
    xattrs: Xattrs = ()

    @property
    def identity(self) -> tuple[str, int, str, str, Xattrs]:
        """What makes two claims on one path agree: kind, mode, content and attributes, not times."""
        return (self.kind, 0 if self.kind == LINK else self.mode, self.digest, self.target, self.xattrs)

    def same_as(self, other: Entry) -> bool:
        """Whether two claims on one path agree (I5)."""
        return self.identity == other.identity


class Directory(NamedTuple):
    """The listing of one directory: entries by name, and their digest."""

    entries: Mapping[str, Entry]
    digest: str

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Directory:
        """Sort the entries and take their digest."""
        listing = {entry.name: entry for entry in sorted(entries)}
        return cls(listing, listing_digest(listing.values()))


class Manifest(NamedTuple):
    """A whole tree: listings by path, always with the root's under ""."""

    directories: Mapping[str, Directory]

    @property
    def digest(self) -> str:
        """The digest of the root's listing: content, modes and names, no times."""
        return self.directories[""].digest

    def entry(self, path: str) -> Entry | None:
        """The entry at a path, or None; the root has none."""
        parent, _, name = path.rpartition("/")
        directory = self.directories.get(parent)
        return directory.entries.get(name) if directory else None

    def walk(self) -> Iterator[tuple[str, Entry]]:
        """Every path with its entry, a directory before what it holds, in sorted order."""
        return self._walk("")

    def _walk(self, parent: str) -> Iterator[tuple[str, Entry]]:
        for name, entry in self.directories[parent].entries.items():
            path = join(parent, name)
            yield path, entry
            if entry.kind == DIRECTORY:
                yield from self._walk(path)

    def files(self) -> Iterator[tuple[str, Entry]]:
        """Every path that is not a directory, by directory."""
        for parent, directory in self.directories.items():
            for name, entry in directory.entries.items():
                if entry.kind != DIRECTORY:
                    yield join(parent, name), entry

    def entries(self) -> Iterator[Entry]:
        """Every entry, by directory."""
        return chain.from_iterable(directory.entries.values() for directory in self.directories.values())

    def subtree(self, path: str) -> Manifest:
        """The manifest of what lies below a path, rooted there; EMPTY if there is no such directory."""
        if path not in self.directories:
            return EMPTY
        found = {"": self.directories[path]}
        waiting = [("", path)]
        while waiting:
            below, at = waiting.pop()
            for name, entry in self.directories[at].entries.items():
                if entry[1] == DIRECTORY:
                    waiting.append((join(below, name), join(at, name)))
                    found[join(below, name)] = self.directories[join(at, name)]
        return Manifest({p: found[p] for p in sorted(found)})

    def image_name(self) -> str:
        """The name of the image: a digest over everything, times included."""
        import hashlib

        total = hashlib.sha256(b"shipway image 1\n")
        for path in sorted(self.directories):
            directory = self.directories[path]
            times = [entry[4] for entry in directory.entries.values() if entry[1] != DIRECTORY]
            total.update(f'[{json.dumps(path)}, "{directory.digest}", {times}]\n'.encode())
        return total.hexdigest()


_PLAIN = {(FILE, "", False, 0, ())}
"""What a file of the usual kind has beside name, mode, size, time and digest."""

_TYPES = (str, str, int, int, int, str, str, bool, int, tuple)
"""Of the fields of an entry."""

_FAR = 1 << 63

_TAILS: Mapping[tuple[object, ...], str] = {("", False, 0, ()): "", ("", True, 0, ()): ',"",true'}
"""What the rows of such entries, and of bytecode, have at the end."""

_PLAIN_REST = {("", False, 0, ())}
"""What entries without anything special have at the end."""

EMPTY = Manifest({"": Directory({}, "")})


def join(parent: str, name: str) -> str:
    """Join two parts of a path relative to the prefix, whose root is ""."""
    return f"{parent}/{name}" if parent else name


def parent_of(path: str) -> str:
    """The directory that holds a path; of a name in the root, and of the root itself, ""."""
    return path.rpartition("/")[0]


def listing_digest(entries: Iterable[Entry]) -> str:
    """Digest of a listing from names and identities; times, and sizes (the content says them), are left out."""
    import hashlib  # late: questions need no digests, and it takes a while to load

    listing = list(entries)
    if _are_plain(listing):
        text = ",".join([f'["{e[0]}","f",{e[2]},"{e[5]}","",[],false,0]' for e in listing])
        return hashlib.sha256(f"[{text}]".encode()).hexdigest()
    rows = [
        (name, kind, 0 if kind == LINK else mode, digest, target, xattrs, derived, group)
        for name, kind, mode, _, _, digest, target, derived, group, xattrs in listing
    ]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def _are_plain(entries: Sequence[Entry]) -> bool:
    """Whether JSON can be written by hand, several times as fast: files of the usual kind, names without escapes.

    Digests are hexadecimal, so only names could hold what JSON escapes.
    """
    return {e[1:2] + e[6:] for e in entries} <= _PLAIN and _are_simple([e[0] for e in entries])


def _are_simple(names: Sequence[str]) -> bool:
    """Whether JSON has these names as they are."""
    text = "".join(names)
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def checked_path(path: str) -> str:
    """A path that lies below what it is relative to.  Raises ValueError, or TypeError if it is no text."""
    if not isinstance(path, str):
        raise TypeError("a path that is no text")
    _refuse_names(path.split("/"))
    return path


def checked_directory(path: str) -> str:
    """The same of a directory, which may be the root, ""."""
    return checked_path(path) if path else path


def _refuse_names(names: Sequence[str]) -> None:
    """Raise ValueError if one of these cannot be a name in a directory."""
    text = "/".join(names)
    if "\0" in text or text.count("/") != len(names) - bool(names) or not {"", ".", ".."}.isdisjoint(names):
        raise ValueError("a name that cannot be")
    text.encode("utf-8", "surrogateescape")


def manifest_of(
    listings: Mapping[str, Iterable[Entry]], known: Mapping[str, Directory] = MappingProxyType({})
) -> Manifest:
    """Build a manifest from the entries of every directory, setting the digests of directories bottom up.

    Directories must be given as entries of their parents; their digests are ignored and made anew.
    Of the listings, those of the directories in `known` are complete already.
    """
    done: dict[str, Directory] = {}
    for path in sorted(listings, key=lambda p: p.count("/") + bool(p), reverse=True):
        done[path] = known.get(path) or Directory.of(
            e._replace(digest=done[join(path, e.name)].digest) if e.kind == DIRECTORY else e for e in listings[path]
        )
    return Manifest({path: done[path] for path in sorted(done)})


def encode_listing(directory: Directory) -> str:
    """One directory's entries as text (see docs/formats.md): a JSON array of arrays, defaults at the end left out."""
    entries = list(directory.entries.values())
    tails = {e[6:] for e in entries}
    if tails <= _TAILS.keys() and _are_simple([e[0] for e in entries]):
        rows = [f'["{e[0]}","{e[1]}",{e[2]},{e[3]},{e[4]},"{e[5]}"{_TAILS[e[6:]]}]' for e in entries]
        return f"[{','.join(rows)}]"
    return json.dumps([_row(e) for e in entries], separators=(",", ":"))


def decode_listing(text: str) -> dict[str, Entry]:
    """The inverse of `encode_listing`.  Raises ValueError or TypeError on anything else."""
    try:
        rows = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return listing_of(rows)


def listing_of(rows: object) -> dict[str, Entry]:
    """The same of an array that was read already."""
    if not isinstance(rows, list):
        raise TypeError("not an array")
    entries = [entry if not entry.xattrs else _with_tuples(entry) for entry in [Entry(*row) for row in rows]]
    return checked_listing(entries)


def _with_tuples(entry: Entry) -> Entry:
    return entry._replace(xattrs=tuple((name, value) for name, value in entry.xattrs))


def checked_listing(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Entries by name.  Raises ValueError or TypeError if they cannot be those of one directory."""
    shown = [entry[:6] for entry in entries] if {entry[6:] for entry in entries} == _PLAIN_REST else entries
    columns = list(zip(*shown, strict=True))
    for column, kind in zip(columns, _TYPES, strict=False):
        if set(map(type, column)) != {kind}:
            raise TypeError(f"what should be {kind.__name__} is not")
    if entries:
        _refuse_values(*columns)
    found = {entry.name: entry for entry in entries}
    if len(found) != len(entries):
        raise ValueError("the same name twice")
    return found


def _refuse_values(*columns: tuple[Any, ...]) -> None:
    names, kinds, modes, sizes, mtimes, digests, *rest = columns
    _refuse_names(names)
    if (
        min(modes) < 0
        or max(modes) > 0o7777
        or min(sizes) < 0
        or min(mtimes) < -_FAR
        or max(*sizes, *mtimes, 0) >= _FAR
    ):
        raise ValueError("a number that cannot be")
    if not set(kinds) <= KIND_NAMES.keys():
        raise ValueError("a kind that cannot be")
    whole = "".join(digests)
    if not set(map(len, digests)) <= {0, 64} or bytes.fromhex(whole).hex() != whole:
        raise ValueError("a digest that cannot be")
    if rest:
        _refuse_rest(*rest)


def _refuse_rest(
    targets: Sequence[str], derived: Sequence[bool], groups: Sequence[int], xattrs: Sequence[Xattrs]
) -> None:
    if min(groups) < 0 or max(groups) >= _FAR:
        raise ValueError("a number that cannot be")
    text = "".join(targets) + "".join(part for pairs in xattrs for pair in pairs for part in pair)
    if "\0" in text:
        raise ValueError("a text that cannot be")
    text.encode("utf-8", "surrogateescape")


def _row(entry: Entry) -> tuple[object, ...]:
    if entry.xattrs:
        return entry
    if entry.group:
        return entry[:9]
    if entry.derived:
        return entry[:8]
    return entry[:7] if entry.target else entry[:6]


def with_entries(manifest: Manifest, added: Mapping[str, Entry]) -> Manifest:
    """A manifest with more entries, by path; directories among them begin empty, and digests follow."""
    if not added:
        return manifest
    listings = {path: dict(directory.entries) for path, directory in manifest.directories.items()}
    for path, entry in sorted(added.items()):
        listings[parent_of(path)][entry.name] = entry
        if entry.kind == DIRECTORY:
            listings.setdefault(path, {})
    return manifest_of({path: listing.values() for path, listing in listings.items()})
