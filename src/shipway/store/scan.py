"""Scanning: one walk over a staged tree that reads every file once and answers with its manifest.

    walk      every directory, the names in it by kind                      (walk)
    sift      what is left out                                              (sieve)
    read      digest, mode, times and attributes of each file, in parallel  (read)
    collect   entries, times by the rules (times), hard links (inodes)      (here)

Problems are gathered to the last; then all are raised as one error.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.model.entry import FILE, LINK, Directory, Entry, join
from shipway.store import attributes, times
from shipway.store.inodes import Inodes
from shipway.store.paths import under
from shipway.store.read import Chunk, Odd, Reader, Rows
from shipway.store.request import DUPLICATE, Dropped, Remark, Scanned, SealRequest, Shelf, Taken
from shipway.store.sieve import Sieve
from shipway.store.tree import Tree
from shipway.store.walk import Listing, Symlink, Walk
from shipway.store.workers import in_batches, shared_out

BATCH = 256
"""Files that are handed to a process at a time: some milliseconds of work."""

_SETID = 0o6000


def scan(fs: FileSystem, request: SealRequest) -> Scanned:
    """Read the tree in place, changing nothing.

    Raises ShipwayError with every problem of the tree in its details ("path: what"), OSError if `source` itself
    cannot be read.
    """
    del fs
    survey = Survey(request)
    return survey.read(survey.reader())


class Survey:
    """A tree whose names are known, to be read by a `Reader`; what the reader does besides is its own affair."""

    def __init__(self, request: SealRequest) -> None:
        walk = Walk(request.source, request.redirects, (request.longest, request.deepest))
        self.request = request
        self.listings: list[Listing] = sorted(walk.listings, key=lambda each: each.path != each.at)
        self.problems = walk.problems
        self.tree = Tree()
        self._stages = tuple(path for stage in request.stage_paths if (path := stage.rstrip("/")))
        self._dropped: list[Dropped] = []
        self._emptied: list[str] = []
        self._files: list[tuple[Listing, list[str]]] = []
        self._shelves: list[Shelf] = []
        self._warnings: list[Remark] = []
        self._stripped: list[str] = []
        self._inodes = Inodes()
        self._bytes = 0
        self._modes: dict[int, int] = {}
        self._sift()

    def reader(self) -> Reader:
        """The reader that reads and no more."""
        return Reader(self.request.source, self._stages, os.geteuid())

    def read(self, reader: Reader) -> Scanned:
        """Read all files and answer; ShipwayError with all problems if there are any."""
        batches = list(in_batches(((chunk, len(chunk.names)) for chunk in self._chunks()), BATCH))
        with shared_out(reader.read, batches, self.request.jobs) as results:
            for batch, answers in zip(batches, results, strict=True):
                for chunk, rows in zip(batch, answers, strict=True):
                    self._collect(chunk, rows)
        self._inodes.finish(
            self.tree, [under(self.request.source, each.path) for each in self._dropped], self._settle_names
        )
        self._check_redirects()
        self._raise_problems()
        return self._scanned()

    def _check_redirects(self) -> None:
        """Nothing may come to lie where a directory is that is redirected itself: redirections lead to the end of the way."""
        for listing in self.listings:
            if listing.path != listing.at and self.tree.find(listing.path) is not None:
                self.problems.append(f"{listing.path}: goes to {listing.at or '.'}, yet something else goes to it")

    def _raise_problems(self) -> None:
        problems = sorted([*self.problems, *self.tree.problems])
        if problems:
            count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
            raise ShipwayError(
                f"{self.request.source} cannot be sealed: {count}",
                hint="change the build so that it does not stage these, or remove them from the tree",
                details=problems,
            )

    def symlinks(self) -> Iterator[tuple[str, Entry]]:
        """The symlinks that are in the manifest, by their paths there."""
        for listing in self.listings:
            for link in listing.links:
                at = join(listing.at, link.name)
                entry = self.tree.listings.get(listing.at, {}).get(link.name)
                if entry is not None and entry.kind == LINK and self.tree.holds(join(listing.path, link.name), at):
                    yield at, entry

    # names

    def _sift(self) -> None:
        """Enter directories and symlinks, and note which files are to be read."""
        sieve = Sieve(self.listings, keep_libtool=self.request.keep_libtool)
        for listing in self.listings:
            dropped = sieve.dropped(listing)
            self._dropped += [Dropped(join(listing.path, name), why) for name, why in dropped.items()]
            if sieve.empties(listing, dropped):
                self._emptied.append(listing.path)
                continue
            self.tree.add_directory(listing.path, listing.at, listing.status.st_mode & 0o7777, listing.xattrs)
            links = [link for link in listing.links if link.name not in dropped]
            self.tree.add(listing.path, listing.at, self._entries_of_links(listing, links))
            files = [name for name in listing.files if name not in dropped] if dropped else listing.files
            self._files.append((listing, files))

    def _entries_of_links(self, listing: Listing, links: Sequence[Symlink]) -> dict[str, Entry]:
        entries = {}
        for link in links:
            if any(link.target == stage or link.target.startswith(stage + "/") for stage in self._stages):
                self.problems.append(f"{join(listing.path, link.name)}: points into the stage: {link.target}")
            entries[link.name] = Entry(link.name, LINK, 0o777, mtime=link.mtime, target=link.target)
        old = self._reference(listing.at)
        if links:
            self._settle(old, entries)
            self._shelves.append(_shelf_of_links(listing, links, retimed=old is not None))
        return entries

    def _chunks(self) -> Iterator[Chunk]:
        seen: dict[str, set[str]] = {}
        for listing, files in self._files:
            names, aliases = files, []
            if self.request.redirects:
                taken = seen.setdefault(listing.at, set(self.tree.listings[listing.at]))
                names, aliases = [n for n in files if n not in taken], [n for n in files if n in taken]
                taken.update(names)
            for some, alias in ((names, False), (aliases, True)):
                for start in range(0, len(some), BATCH):
                    whole = len(some) <= BATCH and not alias and not self.tree.listings[listing.at]
                    yield Chunk(listing.path, listing.at, some[start : start + BATCH], alias, whole)

    # files

    def _collect(self, chunk: Chunk, rows: Rows) -> None:
        """Make entries of a chunk's rows; what is odd about some of them comes after."""
        old = self._reference(chunk.at)
        entries = self._entries(chunk.names, rows, old.entries if old else {})
        for odd in rows.odd:
            self._note(chunk, odd, rows, entries)
        if max(rows.modes) > 0o1777:
            self._stripped += [join(chunk.path, n) for n, e in entries.items() if e.mode & _SETID]
        vague = bool(self.request.constant_times) or min(rows.mtimes) // times.NANOSECONDS <= times.LAST_CONSTANT
        retimed = False
        if old is not None or vague:
            self._settle(old, entries)
            retimed = [entry.mtime for entry in entries.values()] != rows.mtimes.tolist()
        self.tree.add(chunk.path, chunk.at, entries, rows.listing)
        self._bytes += sum(rows.sizes)
        shelf = Shelf(chunk.path, chunk.at, chunk.names, rows.inodes, rows.ctimes, rows.mtimes, retimed)
        self._shelves.append(shelf)

    def _entries(self, names: Sequence[str], rows: Rows, before: Mapping[str, Entry]) -> dict[str, Entry]:
        """A row each; what is as `before` has its mtime already, the common case of `_settle`."""
        text = rows.digests.hex()
        known = self._modes
        modes = [known.setdefault(mode, mode) for mode in rows.modes]
        digests = [text[start : start + 64] for start in range(0, len(text), 64)]
        mtimes: Sequence[int] = rows.mtimes
        if before:
            found = zip(map(before.get, names), digests, modes, mtimes, strict=True)
            mtimes = [o.mtime if o is not None and _is_same(o, digest, mode) else own for o, digest, mode, own in found]
        columns = zip(
            names,
            repeat(FILE),
            modes,
            rows.sizes,
            mtimes,
            digests,
            repeat(""),
            repeat(False),
            repeat(0),
            repeat(()),
        )
        return dict(zip(names, map(tuple.__new__, repeat(Entry), columns), strict=True))

    def _note(self, chunk: Chunk, odd: Odd, rows: Rows, entries: dict[str, Entry]) -> None:
        name = chunk.names[odd.number]
        path = join(chunk.path, name)
        if odd.problem:
            self.problems.append(f"{path}: {odd.problem}")
            del entries[name]
            return
        if odd.staged:
            self._warnings.append(Remark(path, "names the stage in its text"))
        self._warnings += [Remark(path, attributes.refusal(name)) for name in odd.lost]
        if odd.xattrs:
            entries[name] = entries[name]._replace(xattrs=odd.xattrs, mtime=rows.mtimes[odd.number])
        private = odd.foreign or attributes.has_capability(odd.xattrs)
        if odd.links != 1 or private:
            key = (odd.device, rows.inodes[odd.number])
            self._inodes.note(key, (odd.links, private), path, join(chunk.at, name))

    # times

    def _reference(self, at: str) -> Directory | None:
        return self.request.reference.directories.get(at) if self.request.reference else None

    def _settle(self, old: Directory | None, entries: dict[str, Entry]) -> None:
        """Give entries the mtimes that the rules want."""
        constants = self.request.constant_times
        before = old.entries if old else {}
        for name, entry in entries.items():
            other = before.get(name)
            if other is None and not times.is_source(name):
                continue
            if other is not None and other.mtime == entry.mtime and other.digest == entry.digest:
                continue
            mtime = times.settled((entry,), (other,), constants)
            if mtime != entry.mtime:
                entries[name] = entry._replace(mtime=mtime)

    def _settle_names(self, names: Sequence[tuple[str, Entry]]) -> int:
        reference = self.request.reference
        old = [reference.entry(at) if reference else None for at, _ in names]
        return times.settled([entry for _, entry in names], old, self.request.constant_times)

    # the answer

    def _scanned(self) -> Scanned:
        dropped = [*self._dropped, *(Dropped(path, DUPLICATE) for path in self.tree.duplicates)]
        return Scanned(
            manifest=self.tree.manifest(),
            dropped=tuple(sorted(dropped)),
            warnings=tuple(sorted(self._warnings)),
            bytes=self._bytes - self._inodes.doubled,
            taken=self._taken(dropped),
        )

    def _taken(self, dropped: Sequence[Dropped]) -> Taken:
        private = set().union(*self._inodes.private) if self._inodes.private else set()
        root = self.listings[0].status
        moved = [each for each in self.listings if each.path != each.at]
        paths = {each.path for each in self.listings}
        gone = [*self._emptied, *(each.path for each in moved if each.path not in self.tree.listings)]
        return Taken(
            root=(root.st_ino, root.st_mtime_ns, root.st_mode & 0o7777),
            shelves=(*self._shelves, _shelf_of_directories(self.listings[1:])),
            private=tuple(self._inodes.private),
            stripped=tuple(path for path in self._stripped if path not in private),
            groups=tuple(self._inodes.groups),
            made=tuple(at for at in self.tree.listings if at not in paths),
            redirected=tuple(self._redirected(moved)),
            dropped=tuple(each.path for each in dropped),
            emptied=tuple(sorted(set(gone), reverse=True)),
            closed={e.path: e.status.st_mode & 0o7777 for e in self.listings[1:] if ~e.status.st_mode & 0o300},
            alien=self._alien(),
        )

    def _redirected(self, moved: Sequence[Listing]) -> Iterator[tuple[str, str]]:
        """Every file and symlink that has to move, unless it is left out."""
        out = {path for path, _ in self._dropped}
        for listing in moved:
            for name in (*listing.files, *(link.name for link in listing.links)):
                path, at = join(listing.path, name), join(listing.at, name)
                if path not in out and self.tree.holds(path, at):
                    yield path, at

    def _alien(self) -> str:
        device, owner = self.listings[0].status.st_dev, os.geteuid()
        for listing in self.listings:
            if listing.status.st_dev != device:
                return f"{listing.path} is a file system of its own"
            if listing.status.st_uid != owner:
                return f"{listing.path or '.'} belongs to another user"
        return ""


def _is_same(old: Entry, digest: str, mode: int) -> bool:
    return old.digest == digest and old.mode == mode and old.kind == FILE and not old.xattrs


def _shelf_of_links(listing: Listing, links: Sequence[Symlink], *, retimed: bool) -> Shelf:
    return Shelf(
        listing.path,
        listing.at,
        [link.name for link in links],
        array("Q", [link.inode for link in links]),
        array("q", [link.ctime for link in links]),
        array("q", [link.mtime for link in links]),
        retimed,
    )


def _shelf_of_directories(listings: Sequence[Listing]) -> Shelf:
    return Shelf(
        "",
        "",
        [listing.path for listing in listings],
        array("Q", [listing.status.st_ino for listing in listings]),
        array("q", [listing.status.st_ctime_ns for listing in listings]),
        array("q", [listing.status.st_mtime_ns for listing in listings]),
    )
