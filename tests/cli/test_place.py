"""Which prefix is meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipway.cli.place import find
from shipway.errors import UsageError
from shipway.model.config import KEYS, parse
from tests.cli.shop import Plain, Shop


def test_the_option_comes_first_and_nothing_is_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPWAY_PREFIX", "/nowhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere")
    ran = shop("list")
    assert (ran.code, ran.err) == (0, f"nothing is installed in {shop.root}\n")


def test_then_the_variable(shop: Shop, shipway: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.merge({"bin/x": "1"})
    Path("shipway.toml").write_text('prefix = "/nowhere"')
    monkeypatch.setenv("SHIPWAY_PREFIX", str(shop.root))
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere")
    assert shipway("list").err == f"prefix {shop.root} (from SHIPWAY_PREFIX)\n"


def test_then_the_nearest_file_upward(shop: Shop, shipway: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.merge({"bin/x": "1"})
    Path("deep/down").mkdir(parents=True)
    Path("shipway.toml").write_text('prefix = "../site"')
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere")
    file = Path("shipway.toml").resolve()
    monkeypatch.chdir("deep/down")
    assert shipway("list").err == f"prefix {shop.root} (from {file})\n"


def test_then_the_virtual_environment(shop: Shop, shipway: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipway.toml that names no prefix is passed over."""
    shop.merge({"bin/x": "1"})
    Path("shipway.toml").write_text("jobs = 1")
    monkeypatch.setenv("VIRTUAL_ENV", str(shop.root))
    assert shipway("list").err == f"prefix {shop.root} (from VIRTUAL_ENV)\n"
    assert shipway("-q", "list").err == ""


def test_a_prefix_is_configured_by_the_nearest_file_that_names_it_else_by_its_own(shop: Shop) -> None:
    (shop.root / "shipway.toml").write_text("jobs = 2")
    assert find(str(shop.root)).config.jobs == 2
    Path("shipway.toml").write_text('prefix = "../site"\njobs = 3')
    assert find(str(shop.root)).config.jobs == 3
    Path("shipway.toml").write_text('prefix = "../other"\njobs = 3')
    assert find(str(shop.root)).config.jobs == 2


def test_a_working_directory_that_is_gone_is_no_matter(shop: Shop) -> None:
    Path.cwd().rmdir()
    assert shop("list").code == 0


def test_a_file_that_is_wrong_stops_everything_with_2(shop: Shop) -> None:
    (shop.root / "shipway.toml").write_text("jobs = 0\nfoo = 1\n")
    ran = shop("list")
    assert (ran.code, ran.out) == (2, "")
    assert "shipway.toml has 2 problems" in ran.err
    assert "shipway.toml:1: jobs" in ran.err


def test_a_file_that_is_not_utf_8_is_told(shop: Shop) -> None:
    (shop.root / "shipway.toml").write_bytes(b'prefix = "\xff"')
    with pytest.raises(UsageError, match="not UTF-8"):
        find(str(shop.root))


@pytest.mark.parametrize("name", ["no-such-group", "\\u0000", "\\u00b2", "4294967295", "9" * 20])
def test_a_group_that_does_not_exist_is_told(shop: Shop, name: str) -> None:
    (shop.root / "shipway.toml").write_text(f'[share]\ngroup = "{name}"\n')
    ran = shop("list")
    assert ran.code == 2
    assert "share.group: there is no group" in ran.err


def test_init_writes_a_file_that_is_found_and_is_in_order(shop: Shop, shipway: Plain) -> None:
    made = shipway("init", "project", "-p", str(shop.root))
    assert made.code == 0
    assert shipway("init", "--lint", "project").code == 0
    assert shipway("init", "--lint", "project", "--json").json["prefix"] == str(shop.root)
    again = shipway("init", "project")
    assert again.code == 1
    assert "is there already" in again.err


def test_init_without_a_prefix_makes_the_directory_one(shipway: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipway("init", "--json").json["prefix"] == str(Path.cwd())
    assert find("").prefix == str(Path.cwd())


def test_every_line_that_init_writes_can_be_taken_out_of_its_comment(shipway: Plain) -> None:
    assert shipway("init").code == 0
    _, _, lines = Path("shipway.toml").read_text().partition("\n")
    text = "\n".join(line.removeprefix("# ") for line in lines.splitlines())
    config = parse(text, "shipway.toml")
    assert (config.keep, config.keep_bytes, config.link, config.umask) == (20, 10 << 30, "auto", 0o002)
    assert len(re.findall(r"^[a-z_]+ = ", text, re.MULTILINE)) == len(KEYS)


def test_lint_tells_what_is_wrong(shipway: Plain) -> None:
    assert shipway("init", "--lint").code == 2
    Path("shipway.toml").write_text("[undo]\nkeep = -1\n")
    ran = shipway("init", "--lint")
    assert ran.code == 2
    assert "shipway.toml:2: undo.keep" in ran.err


def test_what_is_configured_reaches_the_work(shop: Shop) -> None:
    (shop.root / "shipway.toml").write_text('[merge]\nlink = "copy"\non_conflict = "overwrite"\n[undo]\nkeep = 1\n')
    shop.merge({"bin/x": "1"}, "one")
    shop.merge({"bin/x": "2"}, "two")
    assert (shop.root / "bin/x").stat().st_nlink == 1
    shop.merge({"bin/x": "3"}, "two", "2")
    assert [past["undo"] for past in shop("history", "--json").json][1:] == ["collected", "collected"]
