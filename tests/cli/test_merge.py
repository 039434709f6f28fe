"""`merge`, and what a transaction says of itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from shipway.errors import CONFLICT
from tests.cli.shop import Shop
from tests.prefix.strangers import as_nobody, needs_root, open_place


def test_success_is_one_sentence_on_stdout(shop: Shop) -> None:
    ran = shop.merge({"bin/x": "1", "lib/y": "1"})
    assert ran.out.startswith(f"gmp 6.3.0 is in {shop.root} (transaction 1: 2 units, 2 files, committed in ")
    assert ran.out.endswith(" ms)\n")
    assert ran.err == ""


def test_an_upgrade_says_instead_of_what(shop: Shop) -> None:
    shop.merge({"bin/x": "1"})
    assert (
        f"gmp 6.3.1 is in {shop.root} instead of 6.3.0 (transaction 2: "
        in shop.merge({"bin/x": "2"}, version="6.3.1").out
    )


def test_the_same_again_is_nothing_to_do(shop: Shop) -> None:
    tree = str(shop.stage({"bin/x": "1"}))
    for out in ("(transaction 1:", "already; there was nothing to do"):
        ran = shop("merge", tree, "--name", "gmp", "--version", "1")
        assert (ran.code, out in ran.out) == (0, True)
    assert shop("merge", tree, "--name", "gmp", "--version", "1", "--json").json["transaction"] is None
    assert len(shop("history", "--json").json) == 1


def test_quiet_says_nothing_at_all(shop: Shop) -> None:
    ran = shop.merge({"bin/x": "1"}, "gmp", "1", "-q")
    assert (ran.out, ran.err) == ("", "")


def test_json_is_one_document_with_the_times(shop: Shop) -> None:
    ran = shop.merge({"bin/x": "1", "lib/a.la": "x"}, "gmp", "1", "--json")
    assert (ran.json["transaction"], ran.json["units"], ran.err) == (1, 2, "")
    assert ran.json["changes"] == [{"name": "gmp", "old": None, "new": "1"}]
    assert [(note["kind"], note["path"]) for note in ran.json["notes"]] == [("dropped", "lib/a.la")]
    assert set(ran.json["timings"]) >= {"lock_ms", "database_ms", "total_ms"}
    assert 0 < ran.json["timings"]["lock_ms"] < ran.json["timings"]["total_ms"]


def test_a_dry_run_prints_the_plan_and_changes_nothing(shop: Shop) -> None:
    shop.merge({"bin/x": "1"})
    tree = shop.stage({"bin/x": "2", "share/doc/": ""})
    ran = shop("merge", str(tree), "--name", "gmp", "--version", "2", "--dry-run")
    assert ran.code == 0
    assert {line.split()[0] for line in ran.out.splitlines()} == {"place", "swap"}
    assert "nothing was changed" in ran.err
    assert (shop.root / "bin/x").read_text() == "1"
    assert (tree / "bin/x").exists()
    assert len(shop("history", "--json").json) == 1


def test_explain_says_why_and_is_a_dry_run_too(shop: Shop) -> None:
    (shop.root / "lib").mkdir()
    tree = str(shop.stage({"lib/x": "1"}))
    ran = shop("merge", tree, "--name", "gmp", "--version", "2", "--explain")
    assert ran.out == "place   lib/x  (lib/ did not go as one: it was there before)\n"
    assert shop("list", "--json").json == []


def test_a_plan_as_json_has_units_and_conflicts_and_the_code_of_a_conflict(shop: Shop) -> None:
    shop.merge({"bin/x": "1"}, "one")
    tree = str(shop.stage({"bin/x": "2", "lib/y": "2"}))
    ran = shop("merge", tree, "--name", "two", "--version", "2", "--dry-run", "--json")
    assert ran.code == CONFLICT
    assert [(u["verb"], u["path"], u["kind"]) for u in ran.json["units"]] == [("place", "lib", "d")]
    assert all(u["why"] for u in ran.json["units"])
    (conflict,) = ran.json["conflicts"]
    assert conflict["path"] == "bin/x"
    assert conflict["settled_by"] == ["backup", "overwrite"]


def test_a_conflict_is_3_with_every_path_and_the_way_out(shop: Shop) -> None:
    shop.merge({"bin/x": "1", "bin/y": "1"}, "one")
    ran = shop("merge", str(shop.stage({"bin/x": "2", "bin/y": "2"})), "--name", "two", "--version", "2")
    assert (ran.code, ran.out) == (3, "")
    assert "error: 2 paths in conflict; nothing was changed" in ran.err
    assert "  bin/x: differing content" in ran.err
    assert "--on-conflict backup" in ran.err


def test_backup_settles_it_and_removal_gives_back(shop: Shop) -> None:
    shop.merge({"bin/x": "1"}, "one")
    shop.merge({"bin/x": "2"}, "two", "1", "--on-conflict", "backup")
    assert (shop.root / "bin/x").read_text() == "2"
    assert shop("remove", "two").code == 0
    assert (shop.root / "bin/x").read_text() == "1"


def test_move_takes_the_tree(shop: Shop) -> None:
    tree = shop.stage({"bin/x": "1"})
    assert shop("merge", str(tree), "--name", "gmp", "--version", "1", "--move").code == 0
    assert not tree.exists()
    assert (shop.root / "bin/x").read_text() == "1"


def test_a_destdir_is_entered_and_what_lies_beside_is_an_error_or_named(shop: Shop) -> None:
    inside = str(shop.root / "bin/x")[1:]
    tree = str(shop.stage({inside: "1", "etc/passwd": "mine"}))
    refused = shop("merge", tree, "--name", "gmp", "--version", "1", "--destdir")
    assert refused.code == 1
    assert "/etc" in refused.err
    assert "--ignore-outside" in refused.err
    taken = shop("merge", tree, "--name", "gmp", "--version", "1", "--destdir", "--ignore-outside")
    assert taken.code == 0
    assert "/etc: is not under the prefix, left out" in taken.err
    assert shop("files", "gmp").out == "bin/x\n"


def test_python_compiles_none_does_not(shop: Shop) -> None:
    shop.merge({"lib/python/a.py": "x = 1\n"}, "one", "1", "--python", sys.executable)
    shop.merge({"lib/python/b.py": "x = 1\n"}, "two", "1", "--python", "none")
    cached = sorted(path.name.partition(".")[0] for path in shop.root.glob("lib/python/__pycache__/*"))
    assert cached == ["a"]
    assert shop("show", "one", "--json").json["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")


def test_libtool_archives_are_left_out_unless_kept(shop: Shop) -> None:
    ran = shop.merge({"lib/x.la": "x", "lib/x.so": "x"}, "one")
    assert ran.err.startswith("note: left out: 1 file (")
    assert not (shop.root / "lib/x.la").exists()
    shop.merge({"lib/y.la": "y"}, "two", "1", "--keep-la")
    assert (shop.root / "lib/y.la").exists()


def test_stage_paths_are_told_unless_allowed(shop: Shop) -> None:
    def with_path(number: int) -> str:
        tree = shop.stage({f"share/{number}": "x"})
        (tree / f"share/{number}").write_text(f"built in {tree}\n")
        return str(tree)

    assert "note: share/1: " in shop("merge", with_path(1), "--name", "one", "--version", "1").err
    assert shop("merge", with_path(2), "--name", "two", "--version", "1", "--allow-stage-paths").err == ""


def test_many_notes_of_one_kind_are_cut_short_unless_verbose(shop: Shop) -> None:
    tree = shop.stage({f"share/{number}": "x" for number in range(9)})
    for number in range(9):
        (tree / f"share/{number}").write_text(f"built in {tree}\n")
    short = shop("merge", str(tree), "--name", "one", "--version", "1").err.splitlines()
    assert len(short) == 6
    assert short[-1] == "note: … and 4 more like these (-v shows all)"
    (tree / "share/9").write_text("x")
    long = shop("-v", "merge", str(tree), "--name", "one", "--version", "2").err
    assert len([line for line in long.splitlines() if line.startswith("note: share/")]) == 9


@pytest.mark.parametrize(("options", "linked"), [(["--link-mode", "hardlink"], True), (["--link-mode", "copy"], False)])
def test_link_mode_says_how_files_share(shop: Shop, options: list[str], linked: bool) -> None:
    shop.merge({"bin/x": "1"}, "gmp", "1", *options)
    assert ((shop.root / "bin/x").stat().st_nlink > 1) is linked


def test_paths_that_are_named_are_copied(shop: Shop) -> None:
    shop.merge({"bin/x": "1", "bin/y": "1"}, "gmp", "1", "--link-mode", "hardlink", "--copy", "bin/y")
    assert (shop.root / "bin/x").stat().st_nlink > 1
    assert (shop.root / "bin/y").stat().st_nlink == 1


def test_no_undo_keeps_nothing_of_this_transaction_alone(shop: Shop) -> None:
    shop.merge({"bin/x": "1"})
    shop.merge({"bin/x": "2"}, "gmp", "2")
    shop.merge({"bin/x": "3"}, "gmp", "3", "--no-undo")
    assert [past["undo"] for past in shop("history", "--json").json] == ["collected", "kept", "none"]
    ran = shop("undo")
    assert ran.code == 3
    assert "beyond the undo horizon" in ran.err


def test_control_characters_in_names_do_not_reach_the_terminal(shop: Shop) -> None:
    shop.merge({"share/a\x1b[31m\nb": "1"}, "one")
    ran = shop("merge", str(shop.stage({"share/a\x1b[31m\nb": "2"})), "--name", "two", "--version", "1")
    assert "  share/a\\x1b[31m\\nb: differing content" in ran.err


@pytest.mark.parametrize("target", ["lib", "a" * 4000, "nowhere"])
def test_a_symlink_in_place_of_lib_may_lead_nowhere(shop: Shop, target: str) -> None:
    tree = shop.stage({"bin/x": "1"})
    (tree / "lib").symlink_to(target)
    assert shop("merge", str(tree), "--name", "odd", "--version", "1").code == 0
    assert os.readlink(shop.root / "lib") == target


@pytest.mark.parametrize("name", ["a b", "-x", "pkg:pypi", "ü"])
def test_names_and_versions_are_checked(shop: Shop, name: str) -> None:
    tree = str(shop.stage({"bin/x": "1"}))
    assert shop("merge", tree, f"--name={name}", "--version", "1").code == 2
    assert shop("merge", tree, "--name", "gmp", "--version", "1 2").code == 2


def test_both_rename_modes_do_the_same(shop: Shop) -> None:
    for number, mode in enumerate(("exchange", "fallback", "auto")):
        shop.merge({"lib/p/x": str(number)}, "gmp", str(number), "--rename-mode", mode)
        assert (shop.root / "lib/p/x").read_text() == str(number)
    assert "--rename-mode" not in shop("merge", "--help").out


@needs_root
def test_who_may_not_write_still_gets_answers_and_is_told_what_else_he_cannot(tmp_path: Path) -> None:
    with open_place() as place:
        (place / "site").mkdir()
        (place / "stages").mkdir()
        shop = Shop(place / "site", place / "stages")
        shop.merge({"bin/x": "1"})
        tree = str(shop.stage({"bin/x": "2"}))

        assert as_nobody(lambda: len(shop("list", "--json").json)) == 1
        assert as_nobody(lambda: shop("verify").code) == 0
        assert as_nobody(lambda: shop("merge", tree, "--name", "gmp", "--version", "2").code) == 1
        assert as_nobody(lambda: int("may not write" in shop("remove", "gmp").err)) == 1
        assert as_nobody(lambda: int("hint: " in shop("exec", "true").err)) == 1
