"""The connection to a prefix's record: opened, set and closed; what SQLite says of damage becomes one sentence.

SQLite does not notice a flipped byte in what it stores.  So every row ends with a sum over its values, which is looked at whenever the row
is read (`sealed`, `opened`); sums of whole sets of rows are kept by `Database`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

from shipway.errors import CorruptError, ShipwayError
from shipway.prefix import schema

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

Handle = sqlite3.Connection
"""What a transaction of the database is written through."""

HINT = "restore it from a backup; the files are untouched"

_AWAY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says that is no damage."""

_COMPLAINTS = (sqlite3.Error, UnicodeDecodeError)
"""The second where SQLite cites what is damaged."""


class Connection:
    """One connection, for one thread.  `step` is told before each transaction ends."""

    def __init__(self, path: str, *, write: bool, step: Callable[[str, str], None]) -> None:
        self.path = path
        self._step = step
        self._copy: TemporaryDirectory[str] | None = None
        try:
            self._db = self._open_to_write() if write else self._open_to_read()
        except _COMPLAINTS as error:
            raise self._complaint("opened", error) from error

    def close(self) -> None:
        """Close the connection; a database that is closed may be opened by anybody."""
        self._db.close()
        if self._copy:
            self._copy.cleanup()

    # -- reading and writing ---------------------------------------------------------------------------------

    def rows(self, sql: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query.  Raises CorruptError if they cannot be read."""
        try:
            yield from self._db.execute(sql, values)
        except _COMPLAINTS as error:
            raise self._complaint("read", error) from error

    def row(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        found = self.rows(sql, values)
        first = next(found, None)
        found.close()  # type: ignore[attr-defined]
        return first

    def opened_rows(self, sql: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that asks for whole rows, without their sums.  Raises CorruptError where one is wrong."""
        for row in self.rows(sql, values):
            yield self.opened(row)

    def opened(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """A row without its sum.  Raises CorruptError if it is not what was written."""
        if row[-1] != checksum(row[:-1]):
            raise self.damaged("a row is not what was written")
        return row[:-1]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several queries about one state of the record, while nobody can write."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    @contextmanager
    def writing(self, what: str) -> Iterator[sqlite3.Connection]:
        """One transaction of the database; nothing is written if it raises."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._step("database", what)
            self._db.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, _COMPLAINTS):
                raise ShipwayError(f"{self.path} could not be written: {error}") from error
            raise

    def _roll_back(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except _COMPLAINTS as error:
            raise self._complaint("written", error) from error

    def damaged(self, what: str) -> CorruptError:
        """The error for a record that is not what was written."""
        return CorruptError(f"{self.path} is damaged: {what}", hint=HINT)

    def _complaint(self, verb: str, error: Exception) -> ShipwayError:
        text = f"{self.path} cannot be {verb}: {error}"
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _AWAY:
            return ShipwayError(text)
        return CorruptError(text, hint=HINT)

    # -- opening ---------------------------------------------------------------------------------------------

    def _open_to_write(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None, cached_statements=64)
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

    def _open_to_read(self) -> sqlite3.Connection:
        """Open for a reader.  A journal left by a killed writer cannot be rolled back here: then a private copy is."""
        path = self.path
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
        if 0 < version < schema.VERSION:
            raise ShipwayError(
                f"{self.path} was written before the first release of Shipway (format {version}), and cannot be read"
            )
        return version

    def _create(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        if int(db.execute("PRAGMA user_version").fetchone()[0]) == 0:
            for statement in schema.statements():
                db.execute(statement)
            db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={schema.VERSION}")
        self._step("database", "create")
        db.execute("COMMIT")

    def refuse_other_tables(self) -> None:
        """Raise CorruptError unless the tables are laid out exactly as they were made."""
        found = sorted(sql for (sql,) in self.rows("SELECT sql FROM sqlite_master") if sql is not None)
        if found != sorted(schema.statements()):
            raise self.damaged("its tables are not those of Shipway")


def checksum(values: Sequence[object]) -> int:
    """CRC-32 of a row's values and their types."""
    return crc32(ascii(values).encode())


def sealed(*values: object) -> tuple[object, ...]:
    """A row as it is written: its values, and their sum."""
    return (*values, checksum(values))


def _read_only(path: str) -> sqlite3.Connection:
    from urllib.parse import quote  # late, as it brings a good deal along

    place = quote(os.fsencode(os.path.abspath(path)))
    return sqlite3.connect(f"file://{place}?mode=ro", uri=True, timeout=60, isolation_level=None)
