"""What a damaged file hides: rows that one way of looking finds and another does not.  Each raises CorruptError."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.prefix.connection import Connection


def numbers(db: Connection, last: int) -> None:
    """Transactions: their numbers are those from 1 to the last one, and each index has what the table has."""
    by_row = {i for (i,) in db.rows("SELECT id FROM tx NOT INDEXED WHERE id IS NOT NULL")}
    by_index = [i for (i,) in db.rows("SELECT id FROM tx INDEXED BY tx_id WHERE id IS NOT NULL ORDER BY id")]
    if by_index != list(range(1, last + 1)) or by_row != set(by_index):
        raise db.damaged("transactions are missing")
    for column in ("state", "undo"):
        ours = f"SELECT ref, {column} FROM tx NOT INDEXED"
        if db.row(f"{ours} EXCEPT SELECT ref, {column} FROM tx INDEXED BY tx_{column}") is not None:
            raise db.damaged("transactions are hidden")


def listings(db: Connection, complete: Mapping[int, int]) -> None:
    """Listings: each image that is recorded in full has as many as it says, by either index."""
    columns = "SELECT image, path FROM listing INDEXED BY"
    by_image = list(db.rows(f"{columns} listing_image"))
    counted = dict.fromkeys(complete, 0)
    for ref, _ in by_image:
        if ref in counted:
            counted[ref] += 1
    if counted != complete or set(by_image) != set(db.rows(f"{columns} listing_path")):
        raise db.damaged("listings are missing")


def in_directory(db: Connection, path: bytes) -> None:
    """The listings of one directory."""
    by_path = "SELECT image FROM listing INDEXED BY listing_path WHERE path = ?"
    by_image = (
        "SELECT image.ref FROM image CROSS JOIN listing INDEXED BY listing_image"
        " ON listing.image = image.ref AND listing.path = ?"
    )
    if sorted(db.rows(by_path, (path,))) != sorted(db.rows(by_image, (path,))):
        raise db.damaged("listings are missing")
