"""Rows of a journal altered by SQL, with and without the sums that belong to them; notes and names that nobody of ours wrote."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from proof.calls import called
from proof.damage import RECORD, Arrangement
from proof.scene import leave
from proof.world import STATE, Snapshot, make_tree, snapshot
from shipway.prefix.connection import checksum

PATHS: tuple[object, ...] = (
    "../outside/kept", "../../outside/kept", "/outside", "", ".", "..", "bin/../../outside/kept", "bin//second", "bin/second",
    "lib/second", "lib/both/same.py", "a\0b", f"{STATE}/images", "lib", 7, None, [],
)  # fmt: skip
STATES = ("prepared", "committing", "applied", "done", "undoing", "undone", "stuck", "no such state", "")
TOKENS = ("..", "../..", "/", "", "x" * 300, "0" * 16, "../../../../outside")

Alteration = Callable[[sqlite3.Connection, random.Random], str]


def altered_tries(place: Arrangement, chance: random.Random, tries: int) -> Iterator[tuple[str, bool]]:
    """Alter the record of an interrupted prefix, and say what was done; whether with the right sums comes beside."""
    for number in range(tries):
        forged = bool(number % 2)
        place.restore(place.record, place.journal)
        with closing(sqlite3.connect(place.root / RECORD, isolation_level=None)) as db:
            what = chance.choice(ALTERATIONS)(db, chance)
            if forged:
                _sum_again(db)
        yield f"{what}{', with its sum' if forged else ''}", forged


def _unit(db: sqlite3.Connection, chance: random.Random) -> str:
    ref, seq, data = chance.choice(db.execute("SELECT tx, seq, data FROM unit ORDER BY tx DESC LIMIT 4").fetchall())
    unit = json.loads(data)
    what = chance.choice(("path", "verb", "kind", "source", "identity", "content", "shape"))
    _ALTER[what](unit, chance)
    text = json.dumps(unit) if what != "shape" else chance.choice(["", "[]", "null", "[[[]]]", data[:-3], "[" * 5000])
    db.execute("UPDATE unit SET data = ? WHERE tx = ? AND seq = ?", (text, ref, seq))
    return f"{what} of unit {seq}: {text[:60]}"


def _path(unit: Any, chance: random.Random) -> None:
    unit[0][1] = chance.choice(PATHS)


def _verb(unit: Any, chance: random.Random) -> None:
    unit[0][0] = chance.choice(("place", "swap", "retire", "rmdir", "delete", None))


def _kind(unit: Any, chance: random.Random) -> None:
    unit[0][2] = chance.choice(("f", "l", "d", "x", 3))


def _source(unit: Any, chance: random.Random) -> None:
    images = ("0" * 64, "../../..", "", 5)
    unit[0][chance.choice((3, 4))] = [
        [chance.choice(images), chance.choice(PATHS), chance.choice(("", "../../outside", "1/u0"))]
    ]


def _identity(unit: Any, chance: random.Random) -> None:
    unit[chance.choice((1, 2))] = chance.choice((None, [0, 0, 0, "f"], [1, 2], "x", {}))


def _content(unit: Any, chance: random.Random) -> None:
    unit[chance.choice((3, 4))] = chance.choice(("", "0" * 64, "-> x", None, 9))


_ALTER: dict[str, Callable[[Any, random.Random], None]] = {
    "path": _path, "verb": _verb, "kind": _kind, "source": _source, "identity": _identity, "content": _content,
    "shape": lambda unit, chance: None,
}  # fmt: skip


def _state(db: sqlite3.Connection, chance: random.Random) -> str:
    state = chance.choice(STATES)
    db.execute("UPDATE tx SET state = ? WHERE ref = (SELECT max(ref) FROM tx)", (state,))
    return f"state {state!r}"


def _token(db: sqlite3.Connection, chance: random.Random) -> str:
    token = chance.choice(TOKENS)
    db.execute("UPDATE tx SET token = ? WHERE ref = (SELECT max(ref) FROM tx)", (token,))
    return f"token {token[:30]!r}"


def _gone(db: sqlite3.Connection, chance: random.Random) -> str:
    table = chance.choice(("unit", "delta"))
    db.execute(f"DELETE FROM {table} WHERE tx = (SELECT max(ref) FROM tx)" + chance.choice(("", " AND seq = 0")).replace(
        " AND seq = 0", " AND seq = 0" if table == "unit" else ""))  # fmt: skip
    return f"rows of {table} gone"


def _number(db: sqlite3.Connection, chance: random.Random) -> str:
    column, value = chance.choice(("id", "undoes", "ref")), chance.choice((-1, 0, 1 << 40, "x", 1.5))
    try:
        db.execute(f"UPDATE tx SET {column} = ? WHERE ref = (SELECT max(ref) FROM tx)", (value,))
    except sqlite3.Error as error:
        return f"{column} {value!r} refused by SQLite: {error}"
    return f"{column} {value!r}"


ALTERATIONS: tuple[Alteration, ...] = (_unit, _unit, _unit, _unit, _state, _token, _gone, _number)


def _sum_again(db: sqlite3.Connection) -> None:
    """Give the rows of transactions and units the sums that belong to what they hold now."""
    for table in ("tx", "unit"):
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
        db.execute(f"DELETE FROM {table}")
        marks = ", ".join("?" * len(rows[0])) if rows else ""
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", [(*row[:-1], checksum(row[:-1])) for row in rows])


def surroundings(place: Arrangement) -> Snapshot:
    """What lies beside the prefix, where nothing may come or go: something to be met by paths that lead out."""
    outside = place.room / "outside"
    leave(outside)
    make_tree(outside, {"kept": "mine\n", "deep/kept": "mine\n"})
    return snapshot(outside)


# -- notes and leftovers -----------------------------------------------------------------------------------------

DEAD = "00000000deadbeef"
NAMES = (
    ".lock", "..lock", "...lock", "x", "a b", "-rf", "x\ny", "x.lock", b"\xff\xfe".decode(errors="surrogateescape"),
    "0" * 16, "u0", f"{DEAD}.lease", f"{DEAD}.intent", "CACHEDIR.TAG.lock", "9" * 30, "1", "mutex.lock", "0.lease",
)  # fmt: skip


def garbage(chance: random.Random, outside: Path) -> bytes:
    """What somebody may have written into a file of ours."""
    kept = str(outside / "kept")
    texts: tuple[object, ...] = (
        [str(outside / "new"), kept], [kept, kept], [kept], [], {}, None, 5, "x", [5, 6], ["a\0b", "c"], [kept, None], [[kept]],
        {"token": DEAD, "kind": "lease", "packages": "x", "exclusive": 1, "command": 5, "ancestors": 7, "number": "n", "ahead_of": None},
        {"token": "../..", "kind": "intent", "packages": ["*"], "exclusive": True, "command": "c", "ancestors": [], "number": 1e400,
         "ahead_of": []},
    )  # fmt: skip
    whole = json.dumps(chance.choice(texts)).encode()
    cut = whole[: chance.randrange(len(whole) + 1)]
    return chance.choice([whole, cut, chance.randbytes(50), b"", b"[" * 100_000, b"\xff" + whole, b"9" * 5000])


def littered(place: Arrangement, chance: random.Random) -> str:
    """Leave files and directories of strange names, and notes that cannot be read, in the state directory."""
    state = place.root / STATE
    told = []
    for _ in range(chance.randrange(1, 4)):
        where = chance.choice(("work", "undo", "images", "leases", f"work/{DEAD}"))
        likely = NAMES[:3] if where == "work" and chance.random() < 0.5 else NAMES
        name = "origin" if where.endswith(DEAD) else chance.choice(likely)
        (state / where).mkdir(exist_ok=True)
        path = state / where / name
        if path.exists():
            continue
        if name != "origin" and chance.random() < 0.4:
            make_tree(path, {"in it": "x\n"})
        else:
            path.write_bytes(garbage(chance, place.room / "outside"))
        told.append(f"{where}/{name!r}")
    return ", ".join(told)


def wrong_now(place: Arrangement, outside: Snapshot, allowed: tuple[Snapshot, Snapshot]) -> list[str]:
    """What lies otherwise than it may, in the prefix and beside it."""
    now = snapshot(place.root)
    before, after = allowed
    paths = sorted(now.keys() | before.keys() | after.keys())
    wrong = [p for p in paths if now.get(p) not in (before.get(p), after.get(p))]
    beside = [] if snapshot(place.room / "outside") == outside else ["something beside the prefix changed"]
    return beside + ([f"wrong on disk: {wrong[:4]}"] if wrong else [])


def altered(place: Arrangement, chance: random.Random, tries: int) -> tuple[list[str], int]:
    """Recover after each alteration: what broke, and how often it was refused."""
    outside = surroundings(place)
    place.restore(place.record, place.journal)
    before = snapshot(place.root)
    called(*place.words(("recover",)))
    allowed = _back(place, before), snapshot(place.root)
    broken, refused = [], 0
    for what, _ in altered_tries(place, chance, tries):
        ended = called(*place.words(("recover",)))
        refused += bool(ended.code)
        problems = ([ended.trouble] if ended.trouble else []) + wrong_now(place, outside, allowed)
        broken += [f"{what}: {problem}" for problem in problems]
    return broken, refused


def _back(place: Arrangement, halfway: Snapshot) -> Snapshot:
    """The prefix before the transaction: what is there still, and the whole trees of its packages."""
    return {**snapshot(place.room / "first"), **snapshot(place.room / "better"), **halfway}
