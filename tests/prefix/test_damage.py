"""A record that is not what was written is refused before anything is done (SQLite itself does not notice)."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from shipway.errors import CorruptError
from shipway.prefix.connection import checksum
from shipway.prefix.queries import history, owners
from shipway.prefix.records import Step
from shipway.prefix.site import Options, open_site
from tests.harness import make_tree, open_prefix, package, snapshot, versions

RECORD = "var/lib/shipway/state.sqlite"
SHARED = {"lib/both/same": "1"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prefix with two packages that share a file."""
    place = tmp_path / "prefix"
    place.mkdir()
    for name in ("one", "two"):
        tree = make_tree(tmp_path / name, {**SHARED, f"bin/{name}": name})
        with open_prefix(place) as prefix:
            prefix.merge(package(tree, "1", name))
    return place


def sql(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / RECORD, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def refused(root: Path, action: Callable[[], object]) -> None:
    before = snapshot(root)
    with pytest.raises(CorruptError):
        action()
    assert snapshot(root) == before


def remove(root: Path) -> None:
    with open_prefix(root) as prefix:
        prefix.remove(["one"])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE listing SET entries = replace(entries, '\"one\"', '\"two\"')",
        "UPDATE listing SET path = CAST('..' AS BLOB) WHERE path = CAST('bin' AS BLOB)",
        "DELETE FROM listing WHERE path = CAST('lib/both' AS BLOB) AND image = 1",
        "UPDATE fact SET value = replace(value, '\"1\"', '\"2\"')",
        "DELETE FROM fact WHERE key = CAST('pkg:generic/two' AS BLOB)",
        "UPDATE fact SET kind = 'foreign' WHERE key = CAST('pkg:generic/two' AS BLOB)",
        "UPDATE image SET name = replace(name, '1', '2')",
        "UPDATE image SET complete = complete + 1",
        "DELETE FROM tx WHERE id = 2",
        "UPDATE tx SET id = 'x' WHERE id = 2",
        "UPDATE tx SET state = 'applyed' WHERE id = 2",
        "UPDATE meta SET value = '7' WHERE key = 'last'",
        "DROP INDEX listing_path",
    ],
)
def test_a_row_that_was_changed_or_is_gone_is_noticed(root: Path, statement: str) -> None:
    sql(root, statement)
    refused(root, lambda: remove(root))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM tx WHERE id = 2",
        "DELETE FROM tx WHERE id = 1",
        "UPDATE delta SET kind = 'installe!' WHERE tx = 2",
        "UPDATE delta SET key = CAST('x' AS BLOB) WHERE tx = 2",
        "DELETE FROM delta WHERE tx = 1",
    ],
)
def test_history_hides_no_transaction_nor_what_it_changed(root: Path, statement: str) -> None:
    sql(root, statement)
    site = open_site(str(root), Options(), write=False)
    with closing(site.database), pytest.raises(CorruptError):
        history(site)


def test_a_transaction_that_is_hidden_is_not_said_never_to_have_been(root: Path) -> None:
    sql(root, "DELETE FROM tx WHERE id = 2")
    site = open_site(str(root), Options(), write=False)
    with closing(site.database), pytest.raises(CorruptError):
        site.database.transaction(2)
    with closing(open_site(str(root), Options(), write=False).database) as database:
        assert database.transaction(3) is None


def test_an_image_is_in_use_while_the_change_that_names_it_cannot_be_read(root: Path) -> None:
    sql(root, "UPDATE delta SET kind = 'installe!' WHERE tx = 2")
    with closing(open_site(str(root), Options(), write=False).database) as database, pytest.raises(CorruptError):
        database.used_images()


def test_an_image_that_passes_for_incomplete_hides_no_owner(root: Path) -> None:
    sql(root, "UPDATE image SET complete = 0")
    site = open_site(str(root), Options(), write=False)
    with closing(site.database), pytest.raises(CorruptError):
        owners(site, "lib/both/same")


def test_a_row_that_the_index_hides_is_noticed(root: Path) -> None:
    """A look-up would say that nobody else claims what both have."""
    data = (root / RECORD).read_bytes()
    kept = shutil.copytree(root, root.parent / "kept")
    noticed = 0
    for at in (at for at in range(len(data)) if data.startswith(b"lib/both", at)):
        (root / RECORD).write_bytes(data[: at + 4] + b"n" + data[at + 5 :])
        try:
            remove(root)
        except CorruptError:
            noticed += 1
        assert (root / "lib/both/same").exists()
        shutil.rmtree(root)
        shutil.copytree(kept, root)
    assert noticed == 4  # two rows, each in two indexes; their paths in the table itself are never read


@pytest.mark.parametrize("path", ["../outside", "/outside", "bin/../../outside", "", ".", "bin//x"])
def test_a_journal_never_leads_out_of_the_prefix(root: Path, path: str) -> None:
    """Not even where its sums are right."""
    (root.parent / "outside").write_text("mine")
    with closing(sqlite3.connect(root / RECORD, isolation_level=None)) as db:
        ref, seq, data, _ = db.execute("SELECT * FROM unit WHERE tx = 2 AND seq = 0").fetchone()
        unit = json.loads(data)
        unit[0][:2] = ["retire", path]
        row = (ref, seq, json.dumps(unit))
        db.execute("REPLACE INTO unit VALUES (?, ?, ?, ?)", (*row, checksum(row)))
        (*old, _) = db.execute("SELECT * FROM tx WHERE ref = 2").fetchone()
        old[3] = "committing"
        db.execute(f"REPLACE INTO tx VALUES ({', '.join('?' * 16)})", (*old, checksum(tuple(old))))
    refused(root, lambda: remove(root))
    assert (root.parent / "outside").read_text() == "mine"


@pytest.mark.parametrize(
    "source",
    [
        [5, "", "1/u0"],
        ["0" * 64, 5, ""],
        ["../..", "x", ""],
        ["0" * 64, "../x", ""],
        ["", "x", "../../x"],
        ["", "x", "/x"],
    ],
)
def test_a_source_of_a_unit_that_could_lead_elsewhere_is_refused(source: list[object]) -> None:
    unit = ["retire", "x", "d", [], [source], False, "", ""]
    with pytest.raises((ValueError, TypeError)):
        Step.decode(0, json.dumps([unit, None, None, "", ""]))


def test_an_empty_record_beside_images_is_not_taken_for_a_new_prefix(root: Path) -> None:
    (root / RECORD).write_bytes(b"")
    refused(root, lambda: remove(root))
    (root / RECORD).unlink()
    refused(root, lambda: remove(root))


def test_names_in_work_that_are_no_sessions_are_left_alone(root: Path) -> None:
    """ "..lock" would be the lock of the session ".": all of the staging areas, and "...lock" that of the state directory."""
    work = root / "var/lib/shipway/work"
    for name in (".lock", "..lock", "...lock", "strange"):
        (work / name).write_text("mine")
    (work / "kept").mkdir()
    with open_prefix(root) as prefix:
        prefix.recover()
        prefix.gc(0)
        prefix.remove(["one"])
    assert {path.name for path in work.iterdir()} == {".lock", "..lock", "...lock", "strange", "kept"}
    assert versions(root) == {"two": "1"}


@pytest.mark.parametrize("note", ["{}", "[]", "null", "[5, 6]", '["a\\u0000", "b"]', "[" * 100_000, "x"])
def test_a_note_of_a_taken_tree_that_cannot_be_read_is_told_in_a_sentence(root: Path, note: str) -> None:
    from shipway.errors import ShipwayError

    area = root / "var/lib/shipway/work" / ("ab" * 8)
    area.mkdir()
    (area / "origin").write_text(note)
    with pytest.raises(ShipwayError, match="origin cannot be read"):
        remove(root)


def test_a_note_gives_back_only_what_lies_in_the_store(root: Path) -> None:
    (root.parent / "mine").write_text("mine")
    area = root / "var/lib/shipway/work" / ("ab" * 8)
    area.mkdir()
    (area / "origin").write_text(json.dumps([str(root.parent / "there"), str(root.parent / "mine")]))
    remove(root)
    assert (root.parent / "mine").exists()
    assert not (root.parent / "there").exists()
