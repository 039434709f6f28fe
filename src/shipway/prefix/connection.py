"""The connection to a prefix's record: opened, set and closed; what SQLite says of damage becomes one sentence.

SQLite does not notice a flipped byte in what it stores.  So every row ends with a sum over its values, which is looked at whenever the row
is read (`sealed`, `opened`); sums of whole sets of rows are kept by `Database`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from shipway.errors import CorruptError, ShipwayError
from shipway.fs.lock import Holder, Terms, poll, range_holders, refusal
from shipway.prefix import schema
from shipway.prefix.signals import heed

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

Handle = sqlite3.Connection
"""What a transaction of the database is written through."""

OnStep = Callable[[str, str], None]
"""Is told before each transaction ends: "database", and what is written."""

T = TypeVar("T")

_PENDING = 0x40000000
_LAST = _PENDING + 511
"""The bytes that SQLite locks (https://www.sqlite.org/fileformat.html#the_lock_byte_page), the first and the last."""

_ATTEMPT = 0.2
"""Seconds that SQLite tries by itself.  While it waits to write nobody else can begin to read, so it has to stop again."""
_BREATH = 0.1
"""Seconds between two attempts to write: whoever would read gets his turn, who tries without a break."""
_NO_BREATH = 0.01
_COPIES = 10
"""Attempts to copy the record while nobody writes."""
AT_LEAST = 2.0
"""Seconds that the record is waited for whatever was said: others hold it for moments as a matter of course."""

HINT = "restore it from a backup; the files are untouched"

_AWAY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says that is no damage."""

_COMPLAINTS = (sqlite3.Error, UnicodeDecodeError)
"""The second where SQLite cites what is damaged."""


def ignore(operation: str, path: str) -> None:
    """What hears of a step, and does nothing."""


class Connection:
    """One connection, for one thread.  `terms` say how others are waited for.

    Its locks are SQLite's own, of fcntl(2): whoever may read the file can hold one, and keep writers waiting.
    Whatever is asked or written raises LockedError, which names who does, when the time to wait is over.
    """

    def __init__(self, path: str, terms: Terms, *, write: bool, step: OnStep) -> None:
        self.path = path
        self._terms = terms
        self.wait(terms.wait)
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
            yield from self._read(lambda: self._db.execute(sql, values))
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
        """One transaction of the database; nothing is written if it raises, and once it has begun nobody is waited for."""
        try:
            self._begin(self._db)
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

    def damaged(self, what: str) -> ShipwayError:
        """The error for a record that is not what was written.

        LockedError where a dead writer left it so, and somebody else's lock hides that from SQLite, which would take it back.
        """
        if os.path.exists(f"{self.path}-journal") and (found := in_the_way(self.path)):
            return refusal(f"{self.path}, which is half written,", found)
        return CorruptError(f"{self.path} is damaged: {what}", hint=HINT)

    def _complaint(self, verb: str, error: Exception) -> ShipwayError:
        text = f"{self.path} cannot be {verb}: {error}"
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _AWAY:
            return ShipwayError(text)
        return CorruptError(text, hint=HINT)

    # -- waiting ---------------------------------------------------------------------------------------------

    def wait(self, seconds: float | None) -> None:
        """Wait so long from now on, None: for ever."""
        self._terms = self._terms._replace(wait=None if seconds is None else max(seconds, AT_LEAST))

    @contextmanager
    def hurried(self, seconds: float = 0.0) -> Iterator[None]:
        """Wait no longer than this inside: for what can be left to others."""
        before = self._terms
        self._terms = before._replace(wait=seconds if before.wait is None else min(seconds, before.wait))
        try:
            yield
        finally:
            self._terms = before

    def _begin(self, db: Handle) -> None:
        """Begin to write, alone: if somebody reads for ever, that is found out here, and not when all is written."""
        self._patiently(lambda: db.execute("BEGIN EXCLUSIVE"), _BREATH, lambda: in_the_way(self.path))

    def _read(self, act: Callable[[], T]) -> T:
        """Do what needs nobody to write."""
        return self._patiently(act, _NO_BREATH, self._writers)

    def _patiently(self, act: Callable[[], T], pause: float, find: Callable[[], list[Holder]]) -> T:
        """Do something as soon as the record is free for it; a signal ends the wait, also one that is being held back."""
        done: list[T] = []

        def attempt() -> bool:
            try:
                done.append(act())
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                heed()
            return bool(done)

        if not attempt():
            poll(attempt, self._terms, find, pause)
        return done[0]

    def _writers(self) -> list[Holder]:
        """Who keeps others from reading: writers, or whoever is in the way of one who would clear up after a dead writer."""
        return range_holders(self.path, _PENDING, _LAST, alone=True) or in_the_way(self.path)

    # -- opening ---------------------------------------------------------------------------------------------

    def _open_to_write(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_ATTEMPT, isolation_level=None, cached_statements=64)
        try:
            if self._read(lambda: self._set_up(db)) == 0:
                self._create(db)
            self._read(lambda: self._check_settings(db))
        except BaseException:
            db.close()
            raise
        return db

    def _set_up(self, db: Handle) -> int:
        """Set a connection; returns the version of the record."""
        version = self._checked_version(db)
        for name, value in schema.SETTINGS.items():
            db.execute(f"PRAGMA {name}={value}")
        return version

    def _check_settings(self, db: Handle) -> None:
        for name, value in schema.SETTINGS.items():
            found = db.execute(f"PRAGMA {name}").fetchone()[0]
            if found != value:
                raise ShipwayError(f"{self.path}: {name} is {found}, not {value}; commits would not be durable")

    def _open_to_read(self) -> sqlite3.Connection:
        """Open for a reader.  A journal left by a killed writer cannot be rolled back here: then a private copy is."""
        for _ in range(_COPIES):
            db = _read_only(self.path)
            try:
                self._read(partial(self._checked_version, db))
                return db
            except sqlite3.OperationalError:
                db.close()
            except BaseException:
                db.close()
                raise
            private = self._copied()
            if private:
                db = sqlite3.connect(private, isolation_level=None)
                self._checked_version(db)
                return db
        raise ShipwayError(f"{self.path} changes too fast to be read")

    def _copied(self) -> str:
        """A private copy of the record and its journal; "" if somebody wrote meanwhile."""
        from pathlib import Path
        from tempfile import TemporaryDirectory

        self._copy = TemporaryDirectory(prefix="shipway-")
        private = os.path.join(self._copy.name, "state.sqlite")
        before = _seen(self.path)
        try:
            for suffix in ("", "-journal") if os.path.exists(f"{self.path}-journal") else ("",):
                Path(private + suffix).write_bytes(Path(self.path + suffix).read_bytes())
        except FileNotFoundError:
            if not os.path.exists(self.path):
                raise
            return ""
        return private if _seen(self.path) == before else ""

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
        self._begin(db)
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


def in_the_way(path: str) -> list[Holder]:
    """The other processes that keep writers of a record waiting."""
    return range_holders(path, _PENDING, _LAST)


def checksum(values: Sequence[object]) -> int:
    """CRC-32 of a row's values and their types."""
    return crc32(ascii(values).encode())


def sealed(*values: object) -> tuple[object, ...]:
    """A row as it is written: its values, and their sum."""
    return (*values, checksum(values))


def _read_only(path: str) -> sqlite3.Connection:
    from urllib.parse import quote  # late, as it brings a good deal along

    place = quote(os.fsencode(os.path.abspath(path)))
    return sqlite3.connect(f"file://{place}?mode=ro", uri=True, timeout=_ATTEMPT, isolation_level=None)


def _seen(path: str) -> list[tuple[int, int, int]]:
    """What changes of the record, and its journal, whenever somebody writes."""
    found = [os.stat(name) for name in (path, f"{path}-journal") if os.path.exists(name)]
    return [(status.st_ino, status.st_size, status.st_mtime_ns) for status in found]
