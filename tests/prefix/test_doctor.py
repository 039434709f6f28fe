"""Findings: each is provoked, and named."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from shipway.fs.apart import probe
from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.prefix.database import Database
from shipway.prefix.doctor import Finding, Level, examine
from shipway.prefix.layout import Layout
from shipway.prefix.records import Draft, State
from tests.harness import make_tree, open_prefix, package
from tests.prefix.strangers import as_nobody, needs_root, open_place
from tests.record import ALONE, Holder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    return tmp_path / "prefix"


@pytest.fixture
def layout(root: Path, tmp_path: Path) -> Layout:
    """A prefix in which something is installed."""
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(tmp_path / "stage", {"bin/x": "1"}), "1"))
    return Layout(str(root))


def found(root: Path | str, check: str) -> list[Finding]:
    return [finding for finding in examine(str(root)) if finding.check == check]


def unfinished(layout: Layout, state: State, message: str = "") -> str:
    """Leave a transaction in a state; returns its session's token."""
    database = Database(layout.database, write=True)
    ref = database.prepare(Draft("ab" * 8, "merge gmp 1", "exchange", 0, (), ()))
    database.commit_point(ref)
    database.set_state(ref, state, message)
    database.close()
    return "ab" * 8


def test_a_sound_prefix_has_nothing_but_good_news(layout: Layout) -> None:
    assert {finding.level for finding in examine(layout.root)} <= {Level.OK, Level.WARN}
    assert found(layout.root, "record")[0].text.startswith("1 packages; journal_mode delete, synchronous 3")
    assert found(layout.root, "transactions") == [Finding("transactions", Level.OK, "all are finished")]


def test_who_sits_on_the_record_is_named(layout: Layout) -> None:
    with Holder(Path(layout.root)).take() as holder:
        warned = found(layout.root, "record")[-1]
    assert (warned.level, warned.text.startswith(f"process {holder.pid} (")) == (Level.WARN, True)
    with Holder(Path(layout.root), kind=ALONE).take() as holder:
        (failed,) = found(layout.root, "record")
    assert (failed.level, f"is locked by process {holder.pid} (" in failed.text) == (Level.FAIL, True)
    assert "backup" not in failed.hint


def test_looking_changes_nothing(root: Path) -> None:
    assert all(finding.level is not Level.FAIL for finding in examine(str(root)))
    assert os.listdir(root) == []


def test_what_is_no_directory_is_a_failure(root: Path) -> None:
    (finding,) = examine(str(root / "missing"))
    assert finding.level is Level.FAIL


def test_a_moved_prefix_is_told_to_go_home(layout: Layout, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere"
    Path(layout.root).rename(there)
    (finding,) = found(there, "place")
    assert finding.level is Level.WARN
    assert layout.root in finding.text
    assert "rehome" in finding.hint


def test_an_interrupted_transaction_is_shown_and_not_healed(layout: Layout) -> None:
    unfinished(layout, State.COMMITTING)
    for _ in range(2):
        (finding,) = found(layout.root, "transactions")
        assert (finding.level, "was interrupted (committing)" in finding.text) == (Level.WARN, True)


def test_a_transaction_whose_process_lives_is_under_way(layout: Layout) -> None:
    token = unfinished(layout, State.APPLIED)
    with FileLock(layout.session_lock(token)):
        (finding,) = found(layout.root, "transactions")
    assert (finding.level, finding.text) == (Level.OK, "transaction 2 (merge gmp 1) is under way")


def test_a_stuck_transaction_is_a_failure_with_its_paths(layout: Layout) -> None:
    unfinished(layout, State.STUCK, "bin/x: neither old nor new\nlib/y: gone")
    (finding,) = found(layout.root, "transactions")
    assert finding.level is Level.FAIL
    assert "bin/x: neither old nor new, lib/y: gone" in finding.text


def test_remains_of_a_dead_process_are_told(layout: Layout) -> None:
    Path(layout.session("cd" * 8)).mkdir()
    (finding,) = found(layout.root, "sessions")
    assert finding.level is Level.WARN


def test_what_waits_in_lost_and_found_is_listed(layout: Layout) -> None:
    Path(layout.lost, "3").mkdir(parents=True)
    Path(layout.lost, "3", "notes").write_text("x")
    (finding,) = found(layout.root, "lost and found")
    assert finding.text.endswith(": 3/notes")


def test_a_record_that_cannot_be_read_is_a_failure_and_the_rest_is_told_all_the_same(layout: Layout) -> None:
    Path(layout.database).write_bytes(b"nonsense" * 1000)
    (finding,) = found(layout.root, "record")
    assert finding.level is Level.FAIL
    assert found(layout.root, "space")


def test_images_of_others_will_be_copied_where_the_kernel_protects_links(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "protected_hardlinks"
    setting.write_text("1\n")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    told = [f for f in examine(layout.root, hardlinks_file=str(setting)) if f.check == "hard links"]
    assert [finding.level for finding in told] == [Level.WARN]
    setting.write_text("0\n")
    assert not [f for f in examine(layout.root, hardlinks_file=str(setting)) if f.check == "hard links"]


@needs_root
def test_a_reader_is_told_what_a_reader_can_see(tmp_path: Path) -> None:
    def look() -> int:
        findings = examine(str(root))
        sound = all(finding.level is not Level.FAIL for finding in findings)
        return 0 if sound and findings[0].level is Level.WARN else 1

    with open_place() as root:
        with open_prefix(root) as prefix:
            prefix.merge(package(make_tree(tmp_path / "stage", {"bin/x": "1"}), "1"))
        assert as_nobody(look) == 0


def test_how_far_builds_are_kept_apart_is_told(layout: Layout) -> None:
    told = found(layout.root, "builds")
    assert told and {finding.level for finding in told} <= {Level.OK, Level.WARN}
    isolation = probe(layout.root, tempfile.gettempdir(), FileSystem())
    assert (told[0].level is Level.OK) == isolation.overlay


def test_a_place_where_nothing_can_be_built_is_told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", f"{layout.root}/none")
    (told,) = found(layout.root, "builds")
    assert "nothing can be written in" in told.text
