"""The judge of `make proof-peers` tells old, new and broken apart, and counts what a careless tool does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proof.peers.__main__ import tried
from proof.peers.attacks import kills
from proof.peers.case import NEW, OLD, Case
from proof.peers.files import Copy
from proof.peers.judge import HOLES, MIXED, judge, of_record
from proof.peers.payload import NEIGHBOURS, SITE, move_in, paths, stage
from proof.peers.result import Row, read_json, table, write_json
from proof.peers.tool import words
from proof.peers.wheels import wheel
from proof.scene import Scene, run


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "place", full=False, seed=1, shipway="shipway", python=sys.executable)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return stage(OLD, move_in(tmp_path / "root"))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return stage(NEW, tmp_path / "new")


def test_a_whole_version_is_told(old: Path, new: Path) -> None:
    assert judge(old, leaves_old=False).state == OLD
    assert judge(move_in(new), leaves_old=False).state == NEW


def test_some_files_old_and_some_new_are_mixed(old: Path, new: Path) -> None:
    path = f"{SITE}/parcel/part3/module4.py"
    (old / path).write_bytes((new / path).read_bytes())

    verdict = judge(old, leaves_old=False)

    assert (verdict.state, verdict.broken) == (MIXED, True)
    assert "version 1: 303 of 304" in verdict.why and "version 2: 1 of 304" in verdict.why


@pytest.mark.parametrize("held", [None, b"", b": parcel 1 bin"])
def test_a_file_that_is_missing_or_cut_off_is_a_hole(old: Path, held: bytes | None) -> None:
    path = old / "bin/parcel-3"
    path.unlink()
    if held is not None:
        path.write_bytes(held)

    verdict = judge(old, leaves_old=False)

    assert (verdict.state, verdict.broken) == (HOLES, True)
    assert "bin/parcel-3" in verdict.why


def test_a_file_of_others_that_changed_is_a_hole(old: Path) -> None:
    (old / next(iter(NEIGHBOURS))).write_text("ours now")

    assert judge(old, leaves_old=False).state == HOLES


def test_old_files_are_held_against_those_alone_who_take_them_away_else(old: Path) -> None:
    stage(NEW, old)

    assert (judge(old, leaves_old=False).state, judge(old, leaves_old=False).surplus) == (MIXED, NEW)
    assert judge(old, leaves_old=True).state == NEW


def test_a_record_that_says_something_else_is_told(old: Path) -> None:
    whole = judge(old, leaves_old=False)

    assert not of_record(whole, (OLD,))
    assert not of_record(whole, None)
    assert "says 2 is installed" in of_record(whole, (NEW,))
    assert "says 1 and 2 is installed" in of_record(whole, (OLD, NEW))
    assert "says nothing is installed" in of_record(whole, ())


class Absent(Copy):
    name = "absent"
    installed_by = "apt-get install absent"
    needs = ("a-program-that-nobody-has",)


def test_a_tool_that_is_missing_is_told_with_the_command_that_would_install_it(scene: Scene) -> None:
    row = tried(Absent(scene, scene.place), scene, 1)

    assert row.skipped == "a-program-that-nobody-has is not here; apt-get install absent"
    assert f"absent: not tried: {row.skipped}" in table([row])


class Half(Copy):
    """Says that it is done when half is."""

    name = "half"

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        return super().upgrade(here, old, new) if new == OLD else words(f"cp -Rp {here}/stage{new}/bin {here}/root")


def test_a_tool_that_does_not_work_undisturbed_is_told(scene: Scene) -> None:
    row = tried(Half(scene, scene.place), scene, 1)

    assert row.skipped.startswith(f"does not work here: after an undisturbed upgrade to {NEW}: version 1: 280 of 304")


class RecordFirst(Copy):
    """Writes its record first, and asked again believes it."""

    name = "record first"

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        parts = [f"cp -Rp {here}/stage{new}/{part} {here}/root" for part in ("bin", "lib", "share")]
        return words(f"test -e {here}/is{new} || {{ touch {here}/is{new}; {'; sleep 0.2; '.join(parts)}; }}")


def test_success_over_a_broken_tree_is_counted(scene: Scene) -> None:
    result = kills(Case(RecordFirst(scene, scene.place), scene.room("record-first")), 3)

    assert 1 <= result.claimed == result.broken <= result.landed <= 3
    assert result.refused == 0
    assert result.beyond == result.broken


def test_rows_are_kept_as_they_were(tmp_path: Path) -> None:
    rows = [Row("cp", "cp 9.1", left=14), Row("uv", skipped="not here")]
    write_json(tmp_path / "out.json", rows, tmp_path, 3.0)

    assert read_json(tmp_path / "out.json")[1] == rows


def test_pip_takes_the_wheel_that_is_made_by_hand(tmp_path: Path) -> None:
    made = wheel(NEW, tmp_path / "wheels")
    pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--no-deps", "--no-compile", "--quiet"]
    done = run([*pip, "--root", str(tmp_path / "root"), "--prefix", "/opt", str(made)])

    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "root/opt" / path).is_file() for path in paths(NEW))
