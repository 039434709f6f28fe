"""Whoever may read the record can hold it: he is named, within the time to wait; nothing is lost, before and after the commit point.

The holder is a process of its own, as anybody could write it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.api import Options, Prefix
from shipway.errors import Interrupted, LockedError, StuckError
from shipway.fs.system import FileSystem
from shipway.model.event import Event
from shipway.prefix.layout import Layout
from tests.harness import fail, make_tree, open_prefix, package, snapshot, versions
from tests.record import Holder

BRIEF = Options(jobs=1, wait=0)
OLD = {"lib/pkg/a": "old", "lib/pkg/b": "old", "bin/tool": "old"}
NEW = {"lib/pkg/a": "new", "lib/pkg/b": "new", "bin/tool": "new"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prefix with a package in version 1."""
    (tmp_path / "prefix").mkdir()
    with open_prefix(tmp_path / "prefix") as prefix:
        prefix.merge(package(make_tree(tmp_path / "old", OLD), "1"))
    return tmp_path / "prefix"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A tree of version 2."""
    return make_tree(tmp_path / "new", NEW)


class At(FileSystem):
    """Acts once, when the file system is asked for a step of this kind on such a path."""

    def __init__(self, operation: str, part: str, act: Callable[[], object]) -> None:
        super().__init__()
        self.wanted = (operation, part)
        self.act: Callable[[], object] | None = act

    def step(self, operation: str, path: str) -> None:
        if operation == self.wanted[0] and self.wanted[1] in path and self.act:
            act, self.act = self.act, None
            act()


def upgraded(root: Path, new: Path, fs: FileSystem | None = None, *, move: bool = False) -> None:
    with Prefix(str(root), options=BRIEF, fs=fs) as prefix:
        prefix.merge(package(new, "2", move=move))


def is_whole(root: Path, version: str) -> bool:
    """Whether the prefix is sound and in that version, with nothing left over."""
    with open_prefix(root) as prefix:
        report = prefix.verify()
        assert report.ok, report.problems
        assert {past.row.state.value for past in prefix.history()} <= {"done", "undone"}
    assert not list((root / "var/lib/shipway/work").iterdir())
    return versions(root) == {"pkg": version}


# -- before the commit point -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", ["all", "reserved", "shared"])
def test_a_writer_is_told_who_holds_it_and_nothing_is_changed(root: Path, new: Path, span: str) -> None:
    before = snapshot(root)
    with Holder(root, span, stopped=span == "all").take() as holder, pytest.raises(LockedError) as caught:
        upgraded(root, new, move=True)
    assert caught.value.exit_code == 4
    assert caught.value.message.startswith(f"the record of {root} is locked by process {holder.pid} (")
    if span == "all":
        assert caught.value.message.endswith("which is stopped")
        assert f"kill -CONT {holder.pid}" in caught.value.hint
    assert (snapshot(root), (new / "bin/tool").read_text()) == (before, "new")
    assert is_whole(root, "1")
    upgraded(root, new)
    assert is_whole(root, "2")


def test_who_waits_says_for_whom_and_goes_on_when_he_is_gone(root: Path, new: Path) -> None:
    told: list[Event] = []

    def listen(event: Event) -> None:
        if event.kind == "waiting":
            told.append(event)
            holder.leave()

    with Holder(root).take() as holder, Prefix(str(root), options=Options(jobs=1), listener=listen) as prefix:
        prefix.merge(package(new, "2"))
    assert [event.data["pids"] for event in told] == [[holder.pid]]
    assert told[0].text.startswith(f"waiting for the record of {root}, held by process {holder.pid} (")
    assert is_whole(root, "2")


@pytest.mark.parametrize("where", ["when the image is recorded", "at the commit point, where signals are held back"])
def test_who_waits_can_be_interrupted_and_nothing_is_changed(
    root: Path, new: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(root)
    holder = Holder(root)
    if where.startswith("when"):
        holder.take()
    else:
        at = At("write_file", ".intent", holder.take)
        monkeypatch.setattr(FileSystem, "step", lambda _, *seen: at.step(*seen))

    told: list[Event] = []

    def interrupt(event: Event) -> None:
        if event.kind == "waiting" and not told:
            told.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    options = Options(jobs=1)
    with holder, pytest.raises(KeyboardInterrupt), Prefix(str(root), options=options, listener=interrupt) as prefix:
        prefix.merge(package(new, "2", move=True))
    assert holder.taken
    assert (snapshot(root), (new / "bin/tool").read_text()) == (before, "new")
    assert is_whole(root, "1")


def test_many_brief_readers_are_no_holders(root: Path, tmp_path: Path) -> None:
    """Writers get their turn though somebody reads at every moment, and readers theirs though somebody waits to write."""
    ask = "import sqlite3, sys\nwhile True: sqlite3.connect(sys.argv[1], timeout=60).execute('SELECT * FROM listing').fetchall()"
    words = [sys.executable, "-c", ask, Layout(str(root)).database]
    readers = [subprocess.Popen(words) for _ in range(4)]
    try:
        for number in range(2, 6):
            with Prefix(str(root), options=BRIEF) as prefix:
                prefix.merge(package(make_tree(tmp_path / str(number), {"bin/tool": str(number)}), str(number)))
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    assert is_whole(root, "5")


# -- after the commit point ------------------------------------------------------------------------------------------


def strayed(root: Path) -> None:
    """A file of the package is changed by its user: only what was taken out has it."""
    (root / "lib/pkg/a").write_text("mine")


def test_held_when_the_renames_are_to_be_recorded_the_next_command_finishes_it(root: Path, new: Path) -> None:
    strayed(root)
    holder = Holder(root)
    with holder, pytest.raises(LockedError) as caught:
        upgraded(root, new, At("exchange", "lib/pkg", holder.take))
    text = (
        f"transaction 2 is committed, and left to the next command to finish: the record of {root} is locked by process"
    )
    assert caught.value.message.startswith(f"{text} {holder.pid} (")
    assert (root / "bin/tool").read_text() == "new"
    assert is_whole(root, "2")
    with open_prefix(root) as prefix:
        prefix.undo()
    assert (root / "lib/pkg/a").read_text() == "mine"


def test_held_when_all_but_the_last_mark_is_done_the_command_has_succeeded_and_says_so(root: Path, new: Path) -> None:
    strayed(root)
    holder = Holder(root)
    with holder, Prefix(str(root), options=BRIEF, fs=At("take", "/undo/", holder.take)) as prefix:
        _, outcome = prefix.merge(package(new, "2"))
    left = f"transaction 2 is committed, and left to the next command to tidy up: the record of {root} is locked by process"
    assert [note.text for note in outcome.notes if note.kind == "unfinished"] == [
        note.text for note in outcome.notes[-1:]
    ]
    assert outcome.notes[-1].text.startswith(f"{left} {holder.pid} (")
    assert is_whole(root, "2")
    with open_prefix(root) as prefix:
        prefix.undo()
    assert (root / "lib/pkg/a").read_text() == "mine"


def test_who_waits_after_the_commit_point_can_be_interrupted_and_is_told_what_is_left(root: Path, new: Path) -> None:
    holder = Holder(root)

    def interrupt(event: Event) -> None:
        if event.kind == "waiting":
            os.kill(os.getpid(), signal.SIGINT)

    with holder, pytest.raises(Interrupted, match="transaction 2 is committed, and left to the next command") as caught:
        fs = At("exchange", "lib/pkg", holder.take)
        with Prefix(str(root), options=Options(jobs=1), listener=interrupt, fs=fs) as prefix:
            prefix.merge(package(new, "2"))
    assert caught.value.exit_code == 130
    assert is_whole(root, "2")


class Failing(At):
    """Acts, and then fails at every exchange."""

    def step(self, operation: str, path: str) -> None:
        super().step(operation, path)
        if self.act is None and operation == "exchange":
            fail()


def test_held_when_a_failed_commit_is_to_be_taken_back_the_next_command_does_it(root: Path, new: Path) -> None:
    before = snapshot(root)
    holder = Holder(root)
    with holder, pytest.raises(LockedError, match="is left to the next command to finish or take back: the record of"):
        upgraded(root, new, Failing("exchange", "bin/tool", holder.take))
    assert is_whole(root, "2")
    with open_prefix(root) as prefix:
        prefix.undo()
    assert snapshot(root) == before


def test_a_living_process_that_can_neither_finish_nor_take_back_keeps_what_is_needed(root: Path, new: Path) -> None:
    """Its staging area, with the old content in it, went with the process."""
    strayed(root)
    with pytest.raises(StuckError):
        upgraded(root, new, Failing("exchange", "bin/tool", lambda: None))
    with open_prefix(root) as prefix:
        assert prefix.recover()
    assert is_whole(root, "2")
    with open_prefix(root) as prefix:
        prefix.undo()
    assert (root / "lib/pkg/a").read_text() == "mine"


# -- questions -------------------------------------------------------------------------------------------------------

HALF = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size=10")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE listing SET entries = 'nonsense', sum = sum + 1")
db.execute("UPDATE meta SET value = 'nonsense', sum = sum + 1")
db.execute("CREATE TABLE more (text)")
db.executemany("INSERT INTO more VALUES (?)", [("x" * 4000,)] * 100)
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Writes into the record, more than is kept in memory, and dies."""


def half_written(root: Path) -> None:
    subprocess.run([sys.executable, "-c", HALF, Layout(str(root)).database], check=False)
    assert Path(f"{Layout(str(root)).database}-journal").stat().st_size


def test_a_half_written_record_that_is_held_is_not_called_damaged(root: Path) -> None:
    """A lock on one byte hides from SQLite that a dead writer's work has to be taken back."""
    half_written(root)
    with (
        Holder(root, "reserved").take() as holder,
        pytest.raises(LockedError, match=f"half written, is locked by process {holder.pid} "),
    ):
        open_prefix(root)
    assert is_whole(root, "1")
