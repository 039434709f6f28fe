"""All SQL of a prefix's record: `state.sqlite`.

Verbs on the outside, one short transaction each.  A connection is for one thread.  Writers are few and brief (a row
a directory, a row a unit); whoever finds the file locked waits for a minute at most.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shipway.errors import CorruptError, ShipwayError
from shipway.model.entry import Directory, Manifest, decode_listing, encode_listing
from shipway.model.facts import BACKUP, CONTEST, INSTALLED, FactChange, Installed, decode_owners, reverse
from shipway.prefix import schema
from shipway.prefix.records import MOVING, UNFINISHED, Draft, Generation, Row, State, Step

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

CHUNK = 64 * 1024 * 1024 // 16
"""Characters of listings that go into one transaction, so that a committer never waits long behind one."""

_ROW = "ref, coalesce(id, 0), token, state, time, reason, undoes, mode, undo, bytes, inodes, message"


class StaleError(Exception):
    """Facts are no longer what a transaction was planned from."""


class Database:
    """The record of one prefix."""

    def __init__(self, path: str, *, write: bool, step: Callable[[str, str], None] | None = None) -> None:
        self.path = path
        self.writable = write
        self._step = step or (lambda operation, path: None)
        self._copy: TemporaryDirectory[str] | None = None
        try:
            self._db = self._open(path, write=write)
        except sqlite3.OperationalError as error:
            raise ShipwayError(f"{path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise CorruptError(f"{path}: {error}", hint="restore it from a backup; the files are untouched") from error

    def close(self) -> None:
        """Close the connection; a database that is closed may be opened by anybody."""
        self._db.close()
        if self._copy:
            self._copy.cleanup()

    # -- opening ---------------------------------------------------------------------------------------------

    def _open(self, path: str, *, write: bool) -> sqlite3.Connection:
        if not write:
            return self._open_to_read(path)
        db = sqlite3.connect(path, timeout=60, isolation_level=None, cached_statements=64)
        try:
            self._set_up(db)
        except BaseException:
            db.close()
            raise
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        version = self._checked_version(db)
        for name, value in schema.SETTINGS.items():
            db.execute(f"PRAGMA {name}={value}")
        if version == 0:
            self._create(db)
        for name, value in schema.SETTINGS.items():
            found = db.execute(f"PRAGMA {name}").fetchone()[0]
            if found != value:
                raise ShipwayError(f"{self.path}: {name} is {found}, not {value}; commits would not be durable")

    def _open_to_read(self, path: str) -> sqlite3.Connection:
        """Open for a reader.  A journal left by a killed writer cannot be rolled back here: then a private copy is."""
        db = _read_only(path)
        try:
            self._checked_version(db)
            return db
        except sqlite3.OperationalError:
            db.close()
        from pathlib import Path
        from tempfile import TemporaryDirectory

        self._copy = TemporaryDirectory(prefix="shipway-")
        private = os.path.join(self._copy.name, "state.sqlite")
        for suffix in ("", "-journal"):
            if os.path.exists(path + suffix):
                Path(private + suffix).write_bytes(Path(path + suffix).read_bytes())
        db = sqlite3.connect(private, isolation_level=None)
        self._checked_version(db)
        return db

    def _checked_version(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > schema.VERSION:
            raise ShipwayError(
                f"{self.path} was written by a newer Shipway (format {version}, this one knows {schema.VERSION})",
                hint="use that version of shipway",
            )
        return version

    def _create(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        if int(db.execute("PRAGMA user_version").fetchone()[0]) == 0:
            for statement in schema.TABLES.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={schema.VERSION}")
        self._step("database", "create")
        db.execute("COMMIT")

    @contextmanager
    def _writing(self, what: str) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._step("database", what)
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise ShipwayError(f"{self.path} could not be written: {error}") from error
            raise

    # -- meta ------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """One value about the prefix itself."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Set values about the prefix itself."""
        with self._writing("meta") as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    # -- facts -----------------------------------------------------------------------------------------------

    def facts(self, kind: str) -> dict[str, str]:
        """All facts of a kind: values by key."""
        rows = self._db.execute("SELECT key, value FROM fact WHERE kind = ?", (kind,))
        return {os.fsdecode(key): value for key, value in rows}

    def fact(self, kind: str, key: str) -> str | None:
        """One fact."""
        sql = "SELECT value FROM fact WHERE kind = ? AND key = ?"
        row = self._db.execute(sql, (kind, os.fsencode(key))).fetchone()
        return row[0] if row else None

    def facts_under(self, kind: str, start: str) -> dict[str, str]:
        """The facts of a kind whose keys start with a text."""
        low = os.fsencode(start)
        high = low[:-1] + bytes([low[-1] + 1])
        sql = "SELECT key, value FROM fact WHERE kind = ? AND key >= ? AND key < ?"
        return {os.fsdecode(key): value for key, value in self._db.execute(sql, (kind, low, high))}

    def installed(self) -> dict[str, Installed]:
        """What is installed, by identity."""
        return {key: Installed.decode(key, value) for key, value in self.facts(INSTALLED).items()}

    # -- images ----------------------------------------------------------------------------------------------

    def has_image(self, name: str) -> bool:
        """Whether an image's listings are recorded in full."""
        sql = "SELECT 1 FROM image WHERE name = ? AND complete"
        return self._db.execute(sql, (name,)).fetchone() is not None

    def register_image(self, name: str, manifest: Manifest, token: str) -> None:
        """Record an image's listings, in chunks that never keep a committer waiting for long; outside the prefix lock."""
        rows = ((os.fsencode(p), d.digest, encode_listing(d)) for p, d in manifest.directories.items())
        ref = 0
        for chunk in _chunks(rows):
            with self._writing("listing") as db:
                if not ref:
                    sql = "INSERT INTO image (name, token, complete) VALUES (?, ?, 0)"
                    ref = int(db.execute(sql, (name, token)).lastrowid or 0)
                db.executemany("INSERT INTO listing VALUES (?, ?, ?, ?)", ((ref, *row) for row in chunk.rows))
                if chunk.last:
                    db.execute("UPDATE image SET complete = 1 WHERE ref = ?", (ref,))

    def manifest(self, name: str) -> Manifest:
        """The manifest of an image.  Raises CorruptError if it is not recorded or cannot be read."""
        sql = (
            "SELECT path, digest, entries FROM listing WHERE image ="
            " (SELECT ref FROM image WHERE name = ? AND complete LIMIT 1)"
        )
        try:
            rows = {os.fsdecode(p): Directory(decode_listing(e), d) for p, d, e in self._db.execute(sql, (name,))}
        except (ValueError, TypeError) as error:
            raise CorruptError(f"{self.path}: the listing of image {name[:12]} cannot be read: {error}") from error
        if "" not in rows:
            raise CorruptError(f"{self.path}: image {name[:12]} is not recorded")
        return Manifest(rows)

    def listings(self, directory: str, names: Collection[str]) -> dict[str, Directory]:
        """The listings of one directory in those of the named images that have it, by image."""
        sql = (
            "SELECT image.name, listing.digest, listing.entries FROM listing JOIN image ON image.ref = listing.image"
            " WHERE listing.path = ? AND image.complete"
        )
        rows = self._db.execute(sql, (os.fsencode(directory),))
        return {name: Directory(decode_listing(text), digest) for name, digest, text in rows if name in names}

    def images(self) -> list[tuple[int, str, str, bool]]:
        """All images: (ref, name, token of the session that made it, complete)."""
        rows = self._db.execute("SELECT ref, name, token, complete FROM image")
        return [(ref, name, token, bool(complete)) for ref, name, token, complete in rows]

    def used_images(self) -> frozenset[str]:
        """The images that the record refers to: installed ones, backups, and those of transactions that can be undone."""
        kept = (
            "FROM tx CROSS JOIN delta ON tx.ref = delta.tx"
            " WHERE undo IN ('kept', 'none') AND id IS NOT NULL AND state != 'undone'"
        )
        sql = (
            "SELECT kind, value FROM fact WHERE kind IN ('installed', 'contest')"
            f" UNION ALL SELECT kind, old {kept} AND old IS NOT NULL"
            f" UNION ALL SELECT kind, new {kept} AND new IS NOT NULL"
        )
        used: set[str] = set()
        for kind, value in self._db.execute(sql):
            if kind == INSTALLED:
                used.add(Installed.decode("", value).image)
            elif kind == CONTEST:
                used |= {o.removeprefix(BACKUP) for o in decode_owners(value) if o.startswith(BACKUP)}
        return frozenset(used)

    def forget_images(self, refs: Iterable[int]) -> None:
        """Drop the listings of images that nothing refers to, one transaction each."""
        for ref in refs:
            with self._writing("forget image") as db:
                db.execute("DELETE FROM listing WHERE image = ?", (ref,))
                db.execute("DELETE FROM image WHERE ref = ?", (ref,))

    # -- transactions ----------------------------------------------------------------------------------------

    def generation(self) -> Generation:
        """Which state of the record this is."""
        undone, moving = "SELECT count(*) FROM tx WHERE state = 'undone'", "SELECT 1 FROM tx WHERE state IN (?, ?, ?)"
        sql = f"SELECT (SELECT coalesce(max(id), 0) FROM tx), ({undone}), EXISTS ({moving})"
        last, undone, moving = self._db.execute(sql, MOVING).fetchone()
        return Generation(int(last), int(undone), bool(moving))

    def prepare(self, draft: Draft) -> int:
        """Write a transaction, its changes and its units, as `prepared`; returns its ref.  Outside the prefix lock."""
        with self._writing("prepare") as db:
            sql = "INSERT INTO tx (token, state, time, reason, undoes, mode) VALUES (?, ?, ?, ?, ?, ?)"
            values = (draft.token, State.PREPARED, time.time(), draft.reason, draft.undoes, draft.mode)
            ref = int(db.execute(sql, values).lastrowid or 0)
            changes = ((ref, c.kind, os.fsencode(c.key), c.old, c.new) for c in draft.changes)
            db.executemany("INSERT INTO delta VALUES (?, ?, ?, ?, ?)", changes)
            steps = ((ref, step.seq, step.encode()) for step in draft.steps)
            db.executemany("INSERT INTO unit VALUES (?, ?, ?)", steps)
        return ref

    def commit_point(self, ref: int) -> int:
        """THE commit point (I3): number the transaction, apply its changes to the facts.

        Raises StaleError, with nothing changed, if a fact is no longer what the transaction would replace.
        """
        with self._writing("commit point") as db:
            self._apply(db, self.changes(ref))
            sql = "UPDATE tx SET id = (SELECT coalesce(max(id), 0) + 1 FROM tx), state = ?, time = ? WHERE ref = ?"
            db.execute(sql, (State.COMMITTING, time.time(), ref))
            return int(db.execute("SELECT id FROM tx WHERE ref = ?", (ref,)).fetchone()[0])

    def set_state(self, ref: int, state: State, message: str = "") -> None:
        """Move a transaction on; `undone` takes its changes of facts back in the same row's transaction."""
        with self._writing(state) as db:
            if state is State.UNDONE:
                self._apply(db, reverse(self.changes(ref)))
            db.execute("UPDATE tx SET state = ?, message = ? WHERE ref = ?", (state, message, ref))

    def finish(self, ref: int, undo: str, size: tuple[int, int], changed: Mapping[str, str]) -> None:
        """The last step of a transaction, `done`: what its undo area takes (bytes, inodes), and what is special in it.

        `changed` says where in it files lie that somebody had changed, inside directories that were taken out, by path.
        """
        with self._writing(State.DONE) as db:
            values = (State.DONE, undo, *size, ref)
            db.execute("UPDATE tx SET state = ?, undo = ?, bytes = ?, inodes = ? WHERE ref = ?", values)
            db.execute("DELETE FROM changed WHERE tx = ?", (ref,))
            rows = ((ref, os.fsencode(path), os.fsencode(place)) for path, place in changed.items())
            db.executemany("INSERT INTO changed VALUES (?, ?, ?)", rows)

    def changed(self, ref: int) -> dict[str, str]:
        """Where in a transaction's undo area files lie that somebody had changed, by path."""
        rows = self._db.execute("SELECT path, place FROM changed WHERE tx = ?", (ref,))
        return {os.fsdecode(path): os.fsdecode(place) for path, place in rows}

    def collected(self, refs: Iterable[int]) -> None:
        """Say that the undo areas of transactions are gone."""
        with self._writing("collected") as db:
            rows = ((ref,) for ref in refs)
            db.executemany("UPDATE tx SET undo = 'collected', bytes = 0, inodes = 0 WHERE ref = ?", rows)

    def discard(self, refs: Iterable[int]) -> None:
        """Forget transactions that never reached their commit point."""
        with self._writing("discard") as db:
            for ref in refs:
                db.execute("DELETE FROM unit WHERE tx = ?", (ref,))
                db.execute("DELETE FROM delta WHERE tx = ?", (ref,))
                db.execute("DELETE FROM tx WHERE ref = ? AND id IS NULL", (ref,))

    def transactions(self, *, collected: bool = True) -> list[Row]:
        """Every transaction past its commit point, oldest first; without those `collected`, few whatever the history."""
        which = "" if collected else "undo IN ('kept', 'none') AND"
        rows = self._db.execute(f"SELECT {_ROW} FROM tx WHERE {which} id IS NOT NULL ORDER BY id")
        return [_row(row) for row in rows]

    def transactions_after(self, number: int) -> list[Row]:
        """The transactions with higher numbers, oldest first."""
        rows = self._db.execute(f"SELECT {_ROW} FROM tx WHERE id > ? ORDER BY id", (number,))
        return [_row(row) for row in rows]

    def transaction(self, number: int) -> Row | None:
        """One transaction by its number."""
        row = self._db.execute(f"SELECT {_ROW} FROM tx WHERE id = ?", (number,)).fetchone()
        return _row(row) if row else None

    def unfinished(self) -> list[Row]:
        """Transactions that recovery looks at: everything past its commit point that is not done or undone."""
        marks = ", ".join("?" * len(UNFINISHED))
        rows = self._db.execute(f"SELECT {_ROW} FROM tx WHERE state IN ({marks}) ORDER BY id", UNFINISHED)
        return [_row(row) for row in rows]

    def prepared(self) -> list[Row]:
        """Transactions before their commit point: of living sessions, or left by dead ones."""
        return [_row(r) for r in self._db.execute(f"SELECT {_ROW} FROM tx WHERE state = ?", (State.PREPARED,))]

    def changes(self, ref: int) -> tuple[FactChange, ...]:
        """What a transaction changes in the record."""
        rows = self._db.execute("SELECT kind, key, old, new FROM delta WHERE tx = ?", (ref,))
        return tuple(FactChange(kind, os.fsdecode(key), old, new) for kind, key, old, new in rows)

    def all_changes(self, kind: str) -> dict[int, list[FactChange]]:
        """The changes of one kind of every transaction, by ref."""
        found: dict[int, list[FactChange]] = {}
        for ref, key, old, new in self._db.execute("SELECT tx, key, old, new FROM delta WHERE kind = ?", (kind,)):
            found.setdefault(ref, []).append(FactChange(kind, os.fsdecode(key), old, new))
        return found

    def steps(self, ref: int) -> list[Step]:
        """The journal of a transaction, in order.  Raises CorruptError if it cannot be read."""
        rows = self._db.execute("SELECT seq, data FROM unit WHERE tx = ? ORDER BY seq", (ref,))
        try:
            return [Step.decode(seq, data) for seq, data in rows]
        except (ValueError, TypeError) as error:
            raise CorruptError(f"{self.path}: the journal of a transaction cannot be read: {error}") from error

    def _apply(self, db: sqlite3.Connection, changes: Sequence[FactChange]) -> None:
        for change in changes:
            key = os.fsencode(change.key)
            if self.fact(change.kind, change.key) != change.old:
                raise StaleError(f"{change.kind} {change.key}")
            if change.new is None:
                db.execute("DELETE FROM fact WHERE kind = ? AND key = ?", (change.kind, key))
            else:
                db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (change.kind, key, change.new))


class _Chunk:
    __slots__ = ("last", "rows")

    def __init__(self) -> None:
        self.rows: list[tuple[bytes, str, str]] = []
        self.last = False


def _chunks(rows: Iterable[tuple[bytes, str, str]]) -> Iterator[_Chunk]:
    chunk, size = _Chunk(), 0
    for row in rows:
        if size > CHUNK:
            yield chunk
            chunk, size = _Chunk(), 0
        chunk.rows.append(row)
        size += len(row[2])
    chunk.last = True
    yield chunk


def _read_only(path: str) -> sqlite3.Connection:
    from urllib.parse import quote  # late, as it brings a good deal along

    place = quote(os.fsencode(os.path.abspath(path)))
    return sqlite3.connect(f"file://{place}?mode=ro", uri=True, timeout=60, isolation_level=None)


def _row(row: tuple[int, int, str, str, float, str, int, str, str, int, int, str]) -> Row:
    return Row(row[0], row[1], row[2], State(row[3]), *row[4:])
