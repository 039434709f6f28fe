"""Commands that answer: for people, and with the JSON of the contract."""

from __future__ import annotations

import re

import pytest

from tests.cli.shop import Shop

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")


@pytest.fixture
def full(shop: Shop) -> Shop:
    """gmp in two versions, and mpfr."""
    shop.merge({"bin/gmp": "1", "lib/libgmp.so": "-> libgmp.so.1", "lib/libgmp.so.1": "1"}, "gmp", "6.2.1")
    shop.merge({"bin/gmp": "2", "lib/libgmp.so": "-> libgmp.so.1", "lib/libgmp.so.1": "1"}, "gmp", "6.3.0")
    shop.merge({"lib/libmpfr.so": "mpfr"}, "mpfr", "4.2")
    return shop


def test_list_has_the_fields_of_the_contract(full: Shop) -> None:
    first, second = full("list", "--json").json
    assert {key: first[key] for key in ("name", "version", "files", "size", "transaction")} == {
        "name": "gmp",
        "version": "6.3.0",
        "files": 3,
        "size": 2,
        "transaction": 2,
    }
    assert second["name"] == "mpfr"
    assert full("list").out == "gmp   6.3.0  3 files  2 bytes\nmpfr  4.2     1 file  4 bytes\n"


def test_history_has_the_fields_of_the_contract_newest_first(full: Shop) -> None:
    full("remove", "mpfr")
    full("undo")
    found = full("history", "--json").json
    assert [past["id"] for past in found] == [5, 4, 3, 2, 1]
    assert all(TIME.match(past["time"]) for past in found)
    assert [past["state"] for past in found] == ["done"] * 5
    assert found[0]["changes"] == [{"name": "mpfr", "old": None, "new": "4.2"}]
    assert found[3]["changes"] == [{"name": "gmp", "old": "6.2.1", "new": "6.3.0"}]
    assert [past["undone"] for past in found] == [False, True, False, False, False]
    assert (found[0]["undoes"], found[0]["reason"]) == (4, "undo 4")
    assert found[1]["bytes"] > 0
    assert full("history").out.splitlines()[1].split()[3] == "undone"


def test_show_tells_where_a_package_came_from(full: Shop) -> None:
    found = full("show", "gmp", "--json").json
    assert (found["version"], found["identity"], found["transaction"]) == ("6.3.0", "pkg:generic/gmp", 2)
    assert TIME.match(found["time"])
    assert "merge gmp 6.3.0" in full("show", "pkg:generic/gmp").out


def test_files_are_one_a_line_and_relative(full: Shop) -> None:
    assert full("files", "gmp").out == "bin/gmp\nlib/libgmp.so\nlib/libgmp.so.1\n"
    assert full("files", "gmp", "-0").out == "bin/gmp\0lib/libgmp.so\0lib/libgmp.so.1\0"
    assert full("files", "gmp", "--directories").out.splitlines()[0] == "bin"
    found = {entry["path"]: entry for entry in full("files", "gmp", "--json").json}
    assert found["lib/libgmp.so"]["target"] == "libgmp.so.1"
    assert len(found["bin/gmp"]["sha256"]) == 64


def test_owner_takes_paths_as_people_have_them(full: Shop) -> None:
    for path in ("bin/gmp", str(full.root / "bin/gmp"), f"{full.root}/bin/../bin/gmp"):
        assert (full("owner", path).code, full("owner", path).out) == (0, "gmp 6.3.0\n")
    assert full("owner", "lib/libgmp.so").out == "gmp 6.3.0\n"
    assert [o["name"] for o in full("owner", "lib", "--json").json["owners"]] == ["gmp", "mpfr"]


def test_what_nobody_owns_is_1_and_what_is_elsewhere_2(full: Shop) -> None:
    (full.root / "mine").write_text("x")
    ran = full("owner", "mine")
    assert (ran.code, ran.out, ran.err) == (1, "", "nobody owns mine\n")
    assert full("owner", "mine", "--json").json == {"path": "mine", "owners": []}
    assert full("owner", "/etc/passwd").code == 2


def test_a_name_that_is_not_installed_is_1_with_a_guess(full: Shop) -> None:
    for question in ("show", "files", "remove", "verify", "repair", "detach"):
        ran = full(question, "mpf")
        assert (ran.code, ran.out) == (1, "")
        assert "error: mpf is not installed" in ran.err
        assert "did you mean mpfr?" in ran.err


def test_verify_has_the_fields_of_the_contract(full: Shop) -> None:
    assert full("verify", "--json").json == {"ok": True, "problems": []}
    (full.root / "bin/gmp").write_text("longer")
    (full.root / "lib/libgmp.so").unlink()
    (full.root / "lib/libgmp.so").symlink_to("elsewhere")
    (full.root / "lib/libmpfr.so").unlink()
    ran = full("verify", "--json")
    assert (ran.code, ran.json["ok"]) == (1, False)
    assert [(p["path"], p["package"], p["problem"]) for p in ran.json["problems"]] == [
        ("bin/gmp", "gmp", "modified"),
        ("lib/libgmp.so", "gmp", "target"),
        ("lib/libmpfr.so", "mpfr", "missing"),
    ]
    assert full("verify", "mpfr", "--quick").out == "lib/libmpfr.so: missing (mpfr)\n"


def test_changed_metadata_is_one_line_a_package_and_can_be_accepted(full: Shop) -> None:
    for path in ("bin/gmp", "lib/libgmp.so.1"):
        (full.root / path).chmod(0o775)
    ran = full("verify")
    assert ran.code == 1
    assert ran.out.startswith("gmp: 2 paths with changed metadata")
    assert len(ran.out.splitlines()) == 1
    assert len(full("verify", "-v").out.splitlines()) >= 2
    assert full("verify", "--accept").code == 0
    assert full("verify").code == 0
    assert full("undo").code == 0
    assert full("verify").code == 1


def test_repair_puts_back_and_says_so(full: Shop) -> None:
    assert "nothing to do" in full("repair").out
    (full.root / "lib/libmpfr.so").unlink()
    ran = full("repair", "mpfr")
    assert (ran.code, "1 path put back" in ran.out) == (0, True)
    assert full("verify").code == 0


def test_du_counts_and_sums(full: Shop) -> None:
    found = full("du", "--json").json
    total = found.pop("total")
    assert set(found) == {"live", "images", "undo", "other"}
    assert total["bytes"] == sum(part["bytes"] for part in found.values())
    assert full("du").out.splitlines()[-1].startswith("total")


def test_env_prints_what_a_shell_needs_and_nothing_else(full: Shop) -> None:
    ran = full("env")
    assert f"{full.root}/bin" in ran.out
    assert "LD_LIBRARY_PATH" not in ran.out
    assert full("env", "--json", "--libraries").json["LD_LIBRARY_PATH"] == [f"{full.root}/lib"]
    assert full("env", "--shell", "lmod").out.startswith("whatis(")
    assert full("env", "--shell", "tcl").code == 2


def test_doctor_answers_and_its_code_is_that_of_its_worst_finding(full: Shop) -> None:
    ran = full("doctor", "--json")
    assert (ran.code, ran.json["ok"]) == (0, True)
    assert {"renames", "locks", "space", "record"} <= {finding["check"] for finding in ran.json["findings"]}
    (full.root / "var/lib/shipway/state.sqlite").write_bytes(b"nonsense" * 600)
    broken = full("doctor")
    assert broken.code == 1
    assert "fail  record: " in broken.out


def test_rehome_lists_what_names_the_old_place(shop: Shop) -> None:
    shop.merge({"bin/x": f"#!{shop.root}/bin/python\n"})
    assert shop("rehome").out == ""
    there = shop.root.with_name("there")
    shop.root.rename(there)
    moved = Shop(there, shop.stages)
    ran = moved("rehome")
    assert ran.out == "bin/x: text (gmp)\n"
    assert "moved from" in ran.err
    assert moved("rehome", "--json").json == {"was": str(there), "now": str(there), "copied": False, "mentions": []}
