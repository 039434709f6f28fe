"""All SQL of a prefix's record: `state.sqlite`.

Verbs on the outside, one short transaction each: a row a directory, a row a unit.  A connection is for one thread.

Nothing is believed unseen: each row is held against its sum when it is read, each set of rows against its count, and `check` looks
for what the file hides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from shipway.errors import CorruptError
from shipway.fs.lock import Terms
from shipway.model.entry import Directory, Manifest, checked_directory, decode_listing, encode_listing
from shipway.model.facts import (
    BACKUP,
    CONTEST,
    FOREIGN,
    INSTALLED,
    OVERRIDE,
    FactChange,
    Installed,
    decode_owners,
    reverse,
)
from shipway.prefix import hidden
from shipway.prefix.connection import Connection, Handle, OnStep, checksum, ignore, sealed
from shipway.prefix.records import MOVING, Draft, Generation, Row, State, Step, chunks
from shipway.prefix.schema import LAST, TOTAL, UNFINISHED

T = TypeVar("T")

_HIGHEST = 2**63 - 1
"""The highest number that SQLite knows (https://www.sqlite.org/datatype3.html)."""

_KINDS = (INSTALLED, OVERRIDE, CONTEST, FOREIGN)
_ROW = "ref, id, token, state, time, reason, undoes, mode, undo, bytes, inodes, message, units, deltas, changed, sum"


class StaleError(Exception):
    """Facts are no longer what a transaction was planned from."""


class Database:
    """The record of one prefix.  Whatever is asked raises CorruptError where the file is damaged, LockedError where it is held."""

    def __init__(self, path: str, terms: Terms | None = None, *, write: bool, step: OnStep = ignore) -> None:
        self.writable = write
        self._db = Connection(path, terms or Terms(path), write=write, step=step)
        self.wait, self.hurried = self._db.wait, self._db.hurried

    def close(self) -> None:
        """Close the connection; a database that is closed may be opened by anybody."""
        self._db.close()

    def check(self) -> None:
        """Raise CorruptError if the file hides rows, or finds them in one way and not in another.

        Before anything is changed: what is not found by a look-up would else pass for what is not there.
        """
        self._db.refuse_other_tables()
        try:
            self._check()
        except CorruptError:  # or somebody wrote meanwhile
            with self._db.reading():
                self._check()

    def _check(self) -> None:
        for kind in _KINDS:
            self.facts(kind)
        hidden.numbers(self._db, int(self.meta(LAST) or 0))
        hidden.listings(self._db, {ref: count for ref, _, _, count in self.images() if count})

    # -- meta ------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """One value about the prefix itself."""
        row = self._db.row("SELECT key, value, sum FROM meta WHERE key = ?", (key,))
        return str(self._db.opened(row)[1]) if row else None

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Set values about the prefix itself."""
        with self._db.writing("meta") as db:
            _put_meta(db, values)

    # -- facts -----------------------------------------------------------------------------------------------

    def facts(self, kind: str) -> dict[str, str]:
        """All facts of a kind: values by key."""
        sql = (
            "SELECT kind, key, value, sum FROM fact WHERE kind = ?"
            " UNION ALL SELECT NULL, key, value, sum FROM meta WHERE key = ?"
        )
        found, total, wanted = {}, 0, 0
        for row in self._db.rows(sql, (kind, TOTAL + kind)):
            if row[0] is None:
                wanted = int(self._db.opened(row[1:])[1])
            else:
                self._db.opened(row)
                found[os.fsdecode(row[1])] = row[2]
                total += row[3]
        if total != wanted:
            raise self._db.damaged(f"facts are missing ({kind})")
        return found

    def fact(self, kind: str, key: str) -> str | None:
        """One fact."""
        sql = "SELECT kind, key, value, sum FROM fact WHERE kind = ? AND key = ?"
        row = self._db.row(sql, (kind, os.fsencode(key)))
        return str(self._db.opened(row)[2]) if row else None

    def facts_under(self, kind: str, start: str) -> dict[str, str]:
        """The facts of a kind whose keys start with a text."""
        low = os.fsencode(start)
        high = low[:-1] + bytes([low[-1] + 1])
        sql = "SELECT kind, key, value, sum FROM fact WHERE kind = ? AND key >= ? AND key < ?"
        return {os.fsdecode(key): value for _, key, value in self._db.opened_rows(sql, (kind, low, high))}

    def installed(self) -> dict[str, Installed]:
        """What is installed, by identity."""
        return {key: Installed.decode(key, value) for key, value in self.facts(INSTALLED).items()}

    # -- images ----------------------------------------------------------------------------------------------

    def images(self, name: str = "") -> Iterable[tuple[int, str, str, int]]:
        """All images, or those of one name: (ref, name, token of the session that holds it, how many listings; 0: not all yet)."""
        where, values = (" WHERE name = ?", (name,)) if name else ("", ())
        return self._db.opened_rows(f"SELECT ref, name, token, complete, sum FROM image{where}", values)

    def claim_image(self, name: str, token: str, is_dead: Callable[[str], bool]) -> bool:
        """Have an image that is recorded in full held by a session, if no other one that lives does; whether it is."""
        held = {holder: (ref, name, token, count) for ref, _, holder, count in self.images(name) if count}
        dead = next((holder for holder in held if is_dead(holder)), None)
        if token in held or dead is None:
            return token in held
        with self._db.writing("claim image") as db:
            claim = (token, sealed(*held[dead])[-1], held[dead][0], dead)
            return bool(db.execute("UPDATE image SET token = ?, sum = ? WHERE ref = ? AND token = ?", claim).rowcount)

    def register_image(self, name: str, manifest: Manifest, token: str) -> None:
        """Record an image's listings, in chunks that never keep a committer waiting for long; outside the prefix lock."""
        rows = ((os.fsencode(p), d.digest, encode_listing(d)) for p, d in manifest.directories.items())
        ref = 0
        for chunk in chunks(rows):
            with self._db.writing("listing") as db:
                if not ref:
                    ref = int(db.execute("SELECT coalesce(max(ref), 0) + 1 FROM image").fetchone()[0])
                    db.execute("INSERT INTO image VALUES (?, ?, ?, ?, ?)", sealed(ref, name, token, 0))
                listings = ((ref, *sealed(name, *row)[1:]) for row in chunk.rows)
                db.executemany("INSERT INTO listing VALUES (?, ?, ?, ?, ?)", listings)
                if chunk.last:
                    whole = sealed(ref, name, token, len(manifest.directories))
                    db.execute("REPLACE INTO image VALUES (?, ?, ?, ?, ?)", whole)

    def manifest(self, name: str) -> Manifest:
        """The manifest of an image.  Raises CorruptError if it is not recorded or cannot be read."""
        ref, count = next(((ref, count) for ref, _, _, count in self.images(name) if count), (0, 0))
        if not count:
            raise self._db.damaged(f"image {name[:12]} is not recorded")
        sql = "SELECT ?, path, digest, entries, sum FROM listing WHERE image = ?"
        found = {}
        for _, path, digest, entries in self._db.opened_rows(sql, (name, ref)):
            at, listing = self._read(_directory, path), self._read(decode_listing, entries)
            found[at] = Directory(listing, digest)
        if len(found) != count or "" not in found:
            raise self._db.damaged(f"listings of image {name[:12]} are missing")
        return Manifest(found)

    def listings(self, directory: str, names: Collection[str]) -> dict[str, Directory]:
        """The listings of one directory in those of the named images that have it, by image."""
        sql = (
            "SELECT image.ref, image.name, image.token, image.complete, image.sum,"
            " image.name, listing.path, listing.digest, listing.entries, listing.sum"
            " FROM listing JOIN image ON image.ref = listing.image WHERE listing.path = ?"
        )
        found = {}
        for row in self._db.rows(sql, (os.fsencode(directory),)):
            _, _, _, complete = self._db.opened(row[:5])
            name, _, digest, entries = self._db.opened(row[5:])
            if complete and name in names:
                found[name] = Directory(self._read(decode_listing, entries), digest)
        return found

    def check_directory(self, directory: str) -> None:
        """Raise CorruptError if one index hides listings of a directory that the other shows."""
        hidden.in_directory(self._db, os.fsencode(directory))

    def _read(self, decode: Callable[[Any], T], value: object) -> T:
        try:
            return decode(value)
        except (ValueError, TypeError) as error:
            raise self._db.damaged(f"a listing cannot be read: {error}") from error

    def used_images(self) -> frozenset[str]:
        """The images that the record refers to: installed ones, backups, and those of transactions that can be undone."""
        sql = (
            "SELECT tx, kind, key, old, new, delta.sum FROM tx CROSS JOIN delta ON tx.ref = delta.tx"
            " WHERE undo IN ('kept', 'none') AND id IS NOT NULL AND state != 'undone'"
        )
        values = {kind: list(self.facts(kind).values()) for kind in _KINDS}
        for _, kind, _, old, new in self._db.opened_rows(sql):
            values[kind] += [value for value in (old, new) if value is not None]
        owners = [owner for value in values[CONTEST] for owner in decode_owners(value)]
        backups = {owner.removeprefix(BACKUP) for owner in owners if owner.startswith(BACKUP)}
        return frozenset({Installed.decode("", value).image for value in values[INSTALLED]} | backups)

    def forget_images(self, images: Iterable[tuple[int, str]]) -> None:
        """Drop the listings of images, (ref, token) each, unless another session has claimed one; one transaction each."""
        for ref, token in images:
            with self._db.writing("forget image") as db:
                if db.execute("DELETE FROM image WHERE ref = ? AND token = ?", (ref, token)).rowcount:
                    db.execute("DELETE FROM listing WHERE image = ?", (ref,))

    # -- transactions ----------------------------------------------------------------------------------------

    def generation(self) -> Generation:
        """Which state of the record this is."""
        undone, moving = "SELECT count(*) FROM tx WHERE state = 'undone'", "SELECT 1 FROM tx WHERE state IN (?, ?, ?)"
        sql = f"SELECT (SELECT coalesce(max(id), 0) FROM tx), ({undone}), EXISTS ({moving})"
        last, undone, moving = next(iter(self._db.rows(sql, MOVING)))
        return Generation(int(last), int(undone), bool(moving))

    def prepare(self, draft: Draft) -> int:
        """Write a transaction, its changes and its units, as `prepared`; returns its ref.  Outside the prefix lock."""
        with self._db.writing("prepare") as db:
            ref = int(db.execute("SELECT coalesce(max(ref), 0) + 1 FROM tx").fetchone()[0])
            self._put(db, Row.of(ref, draft, time.time()))
            changes = (sealed(ref, c.kind, os.fsencode(c.key), c.old, c.new) for c in draft.changes)
            db.executemany("INSERT INTO delta VALUES (?, ?, ?, ?, ?, ?)", changes)
            steps = (sealed(ref, step.seq, step.encode()) for step in draft.steps)
            db.executemany("INSERT INTO unit VALUES (?, ?, ?, ?)", steps)
        return ref

    def commit_point(self, ref: int) -> int:
        """THE commit point (I3): number the transaction, apply its changes to the facts.

        Raises StaleError, with nothing changed, if a fact is no longer what the transaction would replace.
        """
        with self._db.writing("commit point") as db:
            self._apply(db, self.changes(ref))
            number = int(self.meta(LAST) or 0) + 1
            _put_meta(db, {LAST: str(number)})
            self._put(db, self._by_ref(ref)._replace(id=number, state=State.COMMITTING, time=time.time()))
        return number

    def set_state(self, ref: int, state: State, message: str = "") -> None:
        """Move a transaction on; `undone` takes its changes of facts back in the same row's transaction."""
        with self._db.writing(state) as db:
            if state is State.UNDONE:
                self._apply(db, reverse(self.changes(ref)))
            self._put(db, self._by_ref(ref)._replace(state=state, message=message))

    def finish(self, ref: int, undo: str, size: tuple[int, int], changed: Mapping[str, str]) -> None:
        """The last step of a transaction, `done`: what its undo area takes (bytes, inodes), and what is special in it.

        `changed` says where in it files lie that somebody had changed, inside directories that were taken out, by path.
        """
        with self._db.writing(State.DONE) as db:
            row = self._by_ref(ref)._replace(state=State.DONE, undo=undo, bytes=size[0], inodes=size[1])
            self._put(db, row._replace(changed=len(changed)))
            db.execute("DELETE FROM changed WHERE tx = ?", (ref,))
            rows = (sealed(ref, os.fsencode(path), os.fsencode(place)) for path, place in changed.items())
            db.executemany("INSERT INTO changed VALUES (?, ?, ?, ?)", rows)

    def changed(self, ref: int) -> dict[str, str]:
        """Where in a transaction's undo area files lie that somebody had changed, by path."""
        with self._db.reading():
            sql = "SELECT tx, path, place, sum FROM changed WHERE tx = ?"
            rows = self._all(self._by_ref(ref).changed, sql, ref)
        return {os.fsdecode(path): os.fsdecode(place) for _, path, place in rows}

    def collected(self, refs: Iterable[int]) -> None:
        """Say that the undo areas of transactions are gone."""
        with self._db.writing("collected") as db:
            for ref in refs:
                self._put(db, self._by_ref(ref)._replace(undo="collected", bytes=0, inodes=0))

    def discard(self, refs: Iterable[int]) -> None:
        """Forget transactions that never reached their commit point."""
        with self._db.writing("discard") as db:
            for ref in refs:
                db.execute("DELETE FROM unit WHERE tx = ?", (ref,))
                db.execute("DELETE FROM delta WHERE tx = ?", (ref,))
                db.execute("DELETE FROM tx WHERE ref = ? AND id IS NULL", (ref,))

    def transactions(self, *, collected: bool = True) -> list[Row]:
        """Every transaction past its commit point, oldest first; without those `collected`, few whatever the history."""
        if not collected:
            return self._rows("undo IN ('kept', 'none') AND id IS NOT NULL ORDER BY id")
        least = int(self.meta(LAST) or 0)
        rows = self._rows("id IS NOT NULL ORDER BY id")
        if len(rows) < least or any(row.id != number for number, row in enumerate(rows, 1)):
            raise self._db.damaged("transactions are missing")
        return rows

    def transactions_after(self, number: int) -> list[Row]:
        """The transactions with higher numbers, oldest first."""
        return self._rows("id > ? ORDER BY id", (number,))

    def transaction(self, number: int) -> Row | None:
        """One transaction by its number."""
        least = int(self.meta(LAST) or 0)
        found = self._rows("id = ?", (number,)) if number <= _HIGHEST else []
        if not found and 0 < number <= least:
            raise self._db.damaged(f"transaction {number} is missing")
        return found[0] if found else None

    def transaction_of(self, token: str) -> Row | None:
        """The transaction of a session, past its commit point."""
        return next(iter(self._rows("id IS NOT NULL AND token = ?", (token,))), None)

    def unfinished(self) -> list[Row]:
        """Transactions that recovery looks at: everything past its commit point that is not done or undone."""
        return self._rows(f"{UNFINISHED} ORDER BY id")

    def prepared(self) -> list[Row]:
        """Transactions before their commit point: of living sessions, or left by dead ones."""
        return self._rows("state = ?", (State.PREPARED,))

    def _rows(self, which: str, values: Sequence[object] = ()) -> list[Row]:
        rows = self._db.opened_rows(f"SELECT {_ROW} FROM tx WHERE {which}", values)
        try:
            return [Row.decode(row) for row in rows]
        except (ValueError, TypeError) as error:
            raise self._db.damaged(f"a transaction cannot be read: {error}") from error

    def _by_ref(self, ref: int) -> Row:
        for row in self._rows("ref = ?", (ref,)):
            return row
        raise self._db.damaged("a transaction is missing")

    def _all(self, count: int, sql: str, ref: int) -> list[tuple[Any, ...]]:
        """All rows that belong to a transaction, as many as it says."""
        rows = list(self._db.opened_rows(sql, (ref,)))
        if len(rows) != count:
            raise self._db.damaged(f"of a transaction there are {len(rows)} rows, not {count}")
        return rows

    def _put(self, db: Handle, row: Row) -> None:
        values = sealed(*row.encode())
        db.execute(f"REPLACE INTO tx ({_ROW}) VALUES ({', '.join('?' * len(values))})", values)

    def changes(self, ref: int) -> tuple[FactChange, ...]:
        """What a transaction changes in the record."""
        rows = self._all(self._by_ref(ref).deltas, "SELECT tx, kind, key, old, new, sum FROM delta WHERE tx = ?", ref)
        return tuple(FactChange(kind, os.fsdecode(key), old, new) for _, kind, key, old, new in rows)

    def all_changes(self, kind: str) -> dict[int, list[FactChange]]:
        """The changes of one kind of every transaction, by ref."""
        short = "SELECT ref FROM tx WHERE deltas != (SELECT count(*) FROM delta WHERE delta.tx = tx.ref) LIMIT 1"
        if self._db.row(short) is not None:
            raise self._db.damaged("changes of a transaction are missing")
        if self._db.row(f"SELECT tx FROM delta WHERE kind NOT IN ({', '.join('?' * len(_KINDS))})", _KINDS) is not None:
            raise self._db.damaged("a change of a transaction is of no kind")
        found: dict[int, list[FactChange]] = {}
        sql = "SELECT tx, kind, key, old, new, sum FROM delta WHERE kind = ?"
        for ref, _, key, old, new in self._db.opened_rows(sql, (kind,)):
            found.setdefault(ref, []).append(FactChange(kind, os.fsdecode(key), old, new))
        return found

    def steps(self, ref: int) -> list[Step]:
        """The journal of a transaction, in order.  Raises CorruptError if it cannot be read."""
        rows = self._all(self._by_ref(ref).units, "SELECT tx, seq, data, sum FROM unit WHERE tx = ? ORDER BY seq", ref)
        try:
            return [Step.decode(seq, data) for _, seq, data in rows]
        except (ValueError, TypeError, RecursionError) as error:
            raise self._db.damaged(f"the journal of a transaction cannot be read: {error}") from error

    def _apply(self, db: Handle, changes: Sequence[FactChange]) -> None:
        more: dict[str, int] = {}
        for change in changes:
            kind, key = change.kind, os.fsencode(change.key)
            if self.fact(kind, change.key) != change.old:
                raise StaleError(f"{kind} {change.key}")
            old, new = (checksum((kind, key, v)) if v is not None else 0 for v in (change.old, change.new))
            more[kind] = more.get(kind, 0) + new - old
            db.execute("DELETE FROM fact WHERE kind = ? AND key = ?", (kind, key))
            if change.new is not None:
                db.execute("INSERT INTO fact VALUES (?, ?, ?, ?)", sealed(kind, key, change.new))
        totals = {TOTAL + kind: int(self.meta(TOTAL + kind) or 0) + add for kind, add in more.items()}
        _put_meta(db, {key: str(total) for key, total in totals.items()})


def _directory(path: bytes) -> str:
    return checked_directory(os.fsdecode(path))


def _put_meta(db: Handle, values: Mapping[str, str]) -> None:
    db.executemany("REPLACE INTO meta VALUES (?, ?, ?)", (sealed(key, value) for key, value in values.items()))
