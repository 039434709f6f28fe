"""Going back and forth: remove, undo, redo, gc, recover, detach."""

from __future__ import annotations

import pytest

from shipway.prefix.database import Database
from shipway.prefix.layout import Layout
from shipway.prefix.records import Draft, State
from tests.cli.shop import Shop


@pytest.fixture
def full(shop: Shop) -> Shop:
    shop.merge({"bin/x": "1"}, "gmp", "1")
    shop.merge({"bin/x": "2"}, "gmp", "2")
    shop.merge({"lib/y": "1"}, "mpfr", "1")
    return shop


def text(shop: Shop) -> str:
    return (shop.root / "bin/x").read_text()


def test_remove_takes_several_in_one_transaction(full: Shop) -> None:
    ran = full("remove", "mpfr", "gmp")
    assert ran.out.startswith(f"mpfr 1 and gmp 2 are gone from {full.root} (transaction 4: ")
    assert full("list", "--json").json == []


def test_one_name_that_is_wrong_and_nothing_is_removed(full: Shop) -> None:
    assert full("remove", "gmp", "bogus").code == 1
    assert len(full("list", "--json").json) == 2


def test_undo_goes_back_step_by_step_and_redo_forward(full: Shop) -> None:
    assert full("undo").out.startswith("transaction 3 is undone: mpfr 1 removed (transaction 4: ")
    assert full("undo").out.startswith("transaction 2 is undone: gmp 2 → 1 (transaction 5: ")
    assert text(full) == "1"
    assert full("redo").out.startswith("the last undo is taken back: gmp 1 → 2 (transaction 6: ")
    assert text(full) == "2"
    assert full("undo", "--json").json["changes"] == [{"name": "gmp", "old": "2", "new": "1"}]


def test_undo_of_an_earlier_one_is_refused_with_reasons_where_later_ones_are_in_the_way(full: Shop) -> None:
    ran = full("undo", "1")
    assert ran.code == 3
    assert "changed again by transaction 2" in ran.err
    assert full("undo", "2").code == 0
    assert text(full) == "1"


def test_what_cannot_be_undone_says_so(full: Shop) -> None:
    assert full("undo", "99").code == 1
    assert full("redo").code == 3
    assert full("gc", "--keep", "0").code == 0
    assert full("undo").code == 3


def test_a_number_that_no_transaction_can_have_is_none_of_them(full: Shop) -> None:
    number = "9" * 30
    (full.root / f"var/lib/shipway/undo/{number}").mkdir()
    assert "there is no finished transaction" in full("undo", number).err
    assert full("undo", number).code == 1
    assert full("gc").code == 0


def test_gc_says_what_it_gave_up(full: Shop) -> None:
    ran = full("gc", "--keep", "1", "--json")
    assert ran.json["transactions"] == [1, 2] or ran.json["transactions"] == [2, 1]
    assert full("gc", "--keep", "1").out == "nothing was left to give up\n"
    assert full("gc", "--keep", "0").out.startswith("gave up the undo of 1 transaction (3) and ")


def leave_unfinished(shop: Shop, state: State) -> None:
    database = Database(Layout(str(shop.root)).database, write=True)
    ref = database.prepare(Draft("ab" * 8, "merge gmp 3", "exchange", 0, (), ()))
    database.commit_point(ref)
    database.set_state(ref, state, "bin/x: neither old nor new")
    database.close()
    (shop.root / "var/lib/shipway/work" / ("ab" * 8)).mkdir(mode=0o700)


def test_recover_says_what_it_did_and_once(full: Shop) -> None:
    leave_unfinished(full, State.COMMITTING)
    ran = full("recover")
    assert (ran.code, ran.err) == (0, "")
    assert "transaction 4 (merge gmp 3) was interrupted; it is finished now" in ran.out
    assert full("recover").out == "nothing was left to recover\n"
    assert full("recover", "--json").json == {"recovered": []}


def test_any_command_heals_and_says_in_one_line_what_it_did(full: Shop) -> None:
    leave_unfinished(full, State.COMMITTING)
    ran = full("list", "--json")
    assert len(ran.json) == 2
    assert ran.err == "transaction 4 (merge gmp 3) was interrupted; it is finished now\n"
    assert full("list").err == ""


def test_a_stuck_transaction_lets_questions_be_answered(full: Shop) -> None:
    leave_unfinished(full, State.STUCK)
    ran = full("list", "--json")
    assert (ran.code, len(ran.json)) == (0, 2)
    assert "can be neither finished nor taken back" in ran.err
    assert full("doctor").code == 1
    refused = full("remove", "mpfr")
    assert refused.code == 1
    assert "bin/x: neither old nor new" in refused.err


def test_detach_forgets_and_keeps_the_files(full: Shop) -> None:
    ran = full("detach", "gmp")
    assert ran.out.startswith("gmp 2 is forgotten (transaction 4)")
    assert text(full) == "2"
    assert full("owner", "bin/x").code == 1
    assert full("undo").code == 0
    assert full("owner", "bin/x").out == "gmp 2\n"


def test_detach_all_leaves_directories_that_hold_something_else(full: Shop) -> None:
    (full.root / "var/lib/mine").write_text("mine")
    assert full("detach", "--all").code == 0
    assert [path.name for path in (full.root / "var/lib").iterdir()] == ["mine"]


def test_detach_all_leaves_a_directory_that_was_there_before(shop: Shop) -> None:
    (shop.root / "var").mkdir()
    shop.merge({"bin/x": "1"})
    assert shop("detach", "--all").code == 0
    assert list((shop.root / "var").iterdir()) == []


def test_detach_all_leaves_a_plain_tree(full: Shop) -> None:
    ran = full("detach", "--all", "--json")
    assert ran.json["detached"] == ["gmp", "mpfr"]
    assert not (full.root / "var").exists()
    assert text(full) == "2"
