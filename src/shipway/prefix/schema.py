"""The database's tables, and how a connection must be set.

`tx.ref` names a transaction from the moment it is prepared; `tx.id`, the number people see, is given at the commit
point, so that numbers follow the order of commits.  Listings are kept a directory a row: twenty thousand files in
two hundred directories are two hundred rows, and the owner of a path is found through the one row of its directory.

`sum` is a sum over the other values of its row, and `complete`, `units`, `deltas` and `changed` count the rows that
belong to one: a byte that flipped in the file, or a row that it hides, is noticed when it is read.

DELETE + EXTRA: with FULL alone a committed row can be lost at a power cut, because the directory is not synced after the
journal was deleted (https://www.sqlite.org/pragma.html#pragma_synchronous).  WAL is not used: after a clean close, users
without write permission could no longer read.
"""

from __future__ import annotations

VERSION = 2
APPLICATION_ID = 0x53485057

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE fact (
  kind TEXT NOT NULL, key BLOB NOT NULL, value TEXT NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;

CREATE TABLE image (
  ref INTEGER PRIMARY KEY, name TEXT NOT NULL, token TEXT NOT NULL, complete INTEGER NOT NULL, sum INTEGER NOT NULL
);
CREATE INDEX image_name ON image (name);

CREATE TABLE listing (
  image INTEGER NOT NULL REFERENCES image (ref), path BLOB NOT NULL, digest TEXT NOT NULL, entries TEXT NOT NULL,
  sum INTEGER NOT NULL
);
CREATE INDEX listing_image ON listing (image, path);
CREATE INDEX listing_path ON listing (path, image);

CREATE TABLE tx (
  ref INTEGER PRIMARY KEY, id INTEGER, token TEXT NOT NULL, state TEXT NOT NULL, time REAL NOT NULL,
  reason TEXT NOT NULL, undoes INTEGER NOT NULL, mode TEXT NOT NULL, undo TEXT NOT NULL, bytes INTEGER NOT NULL,
  inodes INTEGER NOT NULL, message TEXT NOT NULL, units INTEGER NOT NULL, deltas INTEGER NOT NULL,
  changed INTEGER NOT NULL, sum INTEGER NOT NULL
);
CREATE UNIQUE INDEX tx_id ON tx (id);
CREATE INDEX tx_state ON tx (state);
CREATE INDEX tx_undo ON tx (undo);
CREATE TABLE delta (
  tx INTEGER NOT NULL REFERENCES tx (ref), kind TEXT NOT NULL, key BLOB NOT NULL, old TEXT, new TEXT,
  sum INTEGER NOT NULL
);
CREATE INDEX delta_tx ON delta (tx);

CREATE TABLE changed (
  tx INTEGER NOT NULL REFERENCES tx (ref), path BLOB NOT NULL, place BLOB NOT NULL, sum INTEGER NOT NULL
);
CREATE INDEX changed_tx ON changed (tx);

CREATE TABLE unit (
  tx INTEGER NOT NULL REFERENCES tx (ref), seq INTEGER NOT NULL, data TEXT NOT NULL, sum INTEGER NOT NULL,
  PRIMARY KEY (tx, seq)
) WITHOUT ROWID;
"""

SETTINGS = {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 0}

LAST = "last"
"""The value of `meta` that holds the highest number of a transaction."""

TOTAL = "total "
"""With a kind: the value of `meta` that holds the total of the sums of all its facts."""

UNFINISHED = (
    "(state < 'done' OR (state > 'done' AND state < 'prepared')"
    " OR (state > 'prepared' AND state < 'undone') OR state > 'undone')"
)
"""What is not one of these states, be it none at all: from the index, whatever the history."""


def statements() -> list[str]:
    """The statements that make the tables, one by one, as SQLite keeps them."""
    return [statement.strip() for statement in TABLES.split(";\n") if statement.strip()]
