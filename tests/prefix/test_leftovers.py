"""What cannot be removed: it makes no command fail, is told with its remedy, and goes as soon as it can."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.errors import StuckError
from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.model.event import Event
from shipway.prefix.doctor import examine
from shipway.prefix.layout import Layout
from shipway.prefix.leftover import Leftover
from shipway.prefix.recover import needs_recovery
from tests.cli.shop import Shop
from tests.harness import (
    DIED,
    FINISHED,
    OPTIONS,
    FaultyFileSystem,
    die,
    in_child,
    make_tree,
    open_prefix,
    package,
    snapshot,
    versions,
)
from tests.prefix.strangers import NOBODY, as_nobody, needs_root, open_place

STATE = "var/lib/shipway"
FILES = ("lib/pkg/a", "lib/pkg/sub/b", "lib/c")


def chattr(flag: str, path: Path) -> bool:
    return subprocess.run(["chattr", flag, str(path)], capture_output=True, check=False).returncode == 0


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Hold a file fast, wherever it is renamed to meanwhile, by a descriptor's name; skips where that cannot be done."""
    descriptor = os.open(path, os.O_RDONLY)
    there = Path(f"/proc/self/fd/{descriptor}")
    try:
        if not chattr("+i", path):
            pytest.skip("no chattr +i here")
        yield
    finally:
        chattr("-i", there.resolve())
        os.close(descriptor)


def stage(trees: Path, version: str) -> Path:
    return make_tree(trees / version, dict.fromkeys(FILES, version))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prefix with a first version; somebody's file keeps `lib` from being swapped as one."""
    root = make_tree(tmp_path / "prefix", {"lib/other": "somebody's"})
    with open_prefix(root) as prefix:
        prefix.merge(package(stage(tmp_path, "1"), "1"))
    return root


def merge(root: Path, trees: Path, version: str) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage(trees, version), version))


def leftovers(root: Path) -> list[str]:
    return [finding.text for finding in examine(str(root)) if finding.check == "leftovers"]


def rest(root: Path) -> list[str]:
    return sorted(os.listdir(root / STATE / "work") + os.listdir(root / STATE / "undo"))


@needs_root
def test_an_immutable_file_in_an_undo_area_is_told_and_stops_nobody(root: Path, tmp_path: Path) -> None:
    with immutable(root / "lib/pkg/a"):
        merge(root, tmp_path, "2")
        left: tuple[Leftover, ...] = ()
        for _ in range(2):
            with open_prefix(root) as prefix:
                left = prefix.gc(keep=0).left
                assert prefix.verify().ok
                assert not needs_recovery(prefix.site)
            area = next((root / STATE / "undo/2").iterdir())
            assert (left[0].path, left[0].problem) == (str(area / "a"), "it is immutable")
            assert left[0].hint == f"`chattr -i {area / 'a'}`, then `shipway gc`"
            assert leftovers(root)[0] == f"{area / 'a'} is still there: it is immutable"
        assert all(Path(each.path).name == "a" for each in left), "all else is gone"
        merge(root, tmp_path, "3")
        assert versions(root) == {"pkg": "3"}
        assert not os.listdir(root / STATE / "work")
    with open_prefix(root) as prefix:
        done = prefix.gc(keep=0)
        assert not done.left
        assert str(root / STATE / "undo/2") in done.earlier
        assert len(list(prefix.site.database.images())) == 1
    assert rest(root) == []
    assert leftovers(root) == []


@needs_root
def test_what_a_program_writes_where_an_immutable_file_lies_is_saved_later(root: Path, tmp_path: Path) -> None:
    """Its manifests stay recorded as long as anything of the undo area is there."""
    with immutable(root / "lib/pkg/a"):
        merge(root, tmp_path, "2")
        with open_prefix(root) as prefix:
            prefix.gc(keep=0)
            (next((root / STATE / "undo/2").iterdir()) / "late").write_text("somebody's")
            assert prefix.gc(keep=0).strays == (str(root / STATE / "lost+found/2/lib/pkg/late"),)
    with open_prefix(root) as prefix:
        assert prefix.gc(keep=0).strays == ()


@needs_root
def test_a_commit_tells_once_what_its_collection_could_not_remove(root: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def upgrade(version: str) -> None:
        with Prefix(str(root), options=OPTIONS._replace(keep=0), listener=lambda e: told.append(e.text)) as prefix:
            _, outcome = prefix.merge(package(stage(tmp_path, version), version))
            told.extend(note.text for note in outcome.notes)

    with immutable(root / "lib/pkg/a"):
        upgrade("2")
        first = sum("chattr -i" in text for text in told)
        upgrade("3")
        assert first
        assert sum("chattr -i" in text for text in told) == first


@needs_root
def test_an_immutable_file_in_a_dead_session_s_area_is_put_by(root: Path) -> None:
    layout = Layout(str(root))
    area = Path(layout.session("fe" * 8))
    make_tree(area, {"u0/held": "x", "u0/loose": "x"})
    heard: list[Event] = []
    with immutable(area / "u0/held"):
        for _ in range(3):
            with Prefix(str(root), options=OPTIONS, listener=heard.append) as prefix:
                assert not needs_recovery(prefix.site)
        assert ["chattr -i" in event.text for event in heard] == [True], "told once"
        assert rest(root) == [f"left-{'fe' * 8}-0"]
        assert [path.name for path in Path(layout.undo).rglob("*") if path.is_file()] == ["held"]
        with open_prefix(root) as prefix:
            assert len(prefix.gc().left) == 1
    with open_prefix(root) as prefix:
        assert not prefix.gc().left
    assert rest(root) == []


@needs_root
def test_an_immutable_setuid_file_that_is_swapped_out_stops_nobody(root: Path, tmp_path: Path) -> None:
    tree = stage(tmp_path, "2")
    (tree / "lib/pkg/a").chmod(0o4755)
    with open_prefix(root) as prefix:
        prefix.merge(package(tree, "2"))
    with immutable(root / "lib/pkg/a"):
        with open_prefix(root) as prefix:
            _, outcome = prefix.merge(package(stage(tmp_path, "3"), "3"))
        assert [note.path for note in outcome.notes if note.kind == "armed"] == ["lib/pkg/a"]
        with open_prefix(root) as prefix:
            assert [past.row.state.value for past in prefix.history()] == ["done"] * 3


@needs_root
def test_an_immutable_stray_stays_where_it_is_and_is_saved_when_it_can_be(root: Path, tmp_path: Path) -> None:
    merge(root, tmp_path, "2")
    area = next(path for path in (root / STATE / "undo/2").iterdir() if path.is_dir())
    (area / "mine").write_text("somebody's")
    with immutable(area / "mine"), open_prefix(root) as prefix:
        left = prefix.gc(keep=0).left
        assert [each.path for each in left] == [str(area / "mine")]
    with open_prefix(root) as prefix:
        assert prefix.gc(keep=0).strays == (str(root / STATE / "lost+found/2/lib/pkg/mine"),)
    assert rest(root) == []


@needs_root
def test_a_mount_point_in_an_undo_area_is_left_to_whoever_mounted_it(root: Path, tmp_path: Path) -> None:
    merge(root, tmp_path, "2")
    at = next(path for path in (root / STATE / "undo/2").iterdir() if path.is_dir()) / "sub"
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(at)], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (at / "theirs").write_text("theirs")
        with open_prefix(root) as prefix:
            (left,) = prefix.gc(keep=0).left
        assert (left.path, left.hint) == (str(at), f"`umount {at}`, then `shipway gc`")
        assert (at / "theirs").exists()
    finally:
        subprocess.run(["umount", str(at)], check=True)
    with open_prefix(root) as prefix:
        assert prefix.gc(keep=0).left == ()
    assert rest(root) == []


def owned_by_nobody(root: Path, *trees: Path) -> None:
    for path in (each for tree in (root, *trees) for each in (tree, *tree.rglob("*"))):
        os.chown(path, NOBODY, NOBODY)


def succeeds(action: Callable[[], object]) -> Callable[[], int]:
    def run() -> int:
        action()
        return 0

    return run


@needs_root
def test_bytecode_that_root_wrote_into_a_user_s_package_stops_nobody() -> None:
    with open_place() as place:
        root = make_tree(place / "prefix", {"lib/other": "somebody's"})
        trees = [stage(place, version) for version in ("1", "2", "3")]
        owned_by_nobody(root, *trees)

        def collect() -> int:
            with open_prefix(root) as prefix:
                left = prefix.gc(keep=0).left
            return 0 if len(left) == 1 and left[0].hint == "`shipway gc` as root removes it" else 1

        def merged(number: int) -> Callable[[], int]:
            return succeeds(lambda: merge(root, place, str(number)))

        assert as_nobody(merged(1)) == 0
        make_tree(root, {"lib/pkg/__pycache__/a.cpython-311.pyc": "root's"})
        assert as_nobody(merged(2)) == 0
        assert as_nobody(collect) == 0
        assert as_nobody(merged(3)) == 0
        with open_prefix(root) as prefix:
            assert prefix.gc(keep=0).left == ()
        assert rest(root) == []


@needs_root
def test_what_a_dead_process_of_root_left_does_not_stop_the_owner() -> None:
    with open_place() as place:
        root = make_tree(place / "prefix", {"lib/other": "somebody's"})
        owned_by_nobody(root, stage(place, "1"), stage(place, "2"))

        def merged(number: int) -> Callable[[], int]:
            return succeeds(lambda: merge(root, place, str(number)))

        def collect() -> int:
            with open_prefix(root) as prefix:
                (left,) = prefix.gc(keep=0).left
            told = [finding for finding in examine(str(root)) if finding.check == "leftovers"]
            same = [(finding.text, finding.hint) for finding in told] == [
                (f"{left.path} is still there: a dead process of root left it", left.hint)
            ]
            return 0 if same and left.path == dead else 1

        assert as_nobody(merged(1)) == 0
        layout = Layout(str(root))
        dead = layout.session("fe" * 8)
        make_tree(Path(dead), {"u0/a": "root's"}).chmod(0o700)
        with FileLock(layout.session_lock("fe" * 8)):
            pass
        with FileLock(layout.session_lock("ef" * 8)):
            assert as_nobody(succeeds(lambda: versions(root))) == 0
            assert as_nobody(merged(2)) == 0
            assert as_nobody(collect) == 0
        open_prefix(root).close()
        assert os.listdir(layout.work) == []


class Dying(FileSystem):
    """Ends the process just before the database's commit point, or the first rename after it."""

    def __init__(self, operation: str = "database", path: str = "commit point") -> None:
        super().__init__()
        self.at = operation, path

    def step(self, operation: str, path: str) -> None:
        if operation == self.at[0] and path.endswith(self.at[1]):
            die()


@needs_root
def test_a_transaction_that_root_may_finish_is_left_to_him() -> None:
    with open_place() as place:
        root = make_tree(place / "prefix", {"lib/other": "somebody's"})
        trees = [stage(place, version) for version in ("1", "2", "3")]
        owned_by_nobody(root, *trees)
        assert as_nobody(succeeds(lambda: merge(root, place, "1"))) == 0

        def interrupted() -> None:
            with open_prefix(root, Dying("exchange", "lib/pkg")) as prefix:
                prefix.merge(package(trees[1], "2"))

        def refused() -> int:
            heard: list[Event] = []
            with Prefix(str(root), options=OPTIONS, listener=heard.append) as prefix:
                prefix.packages()
                with pytest.raises(StuckError, match="what it had staged is not ours") as error:
                    prefix.merge(package(trees[2], "3"))
            assert error.value.hint == "`shipway recover` as root finishes it"
            assert [event.kind for event in heard if "not ours" in event.text] == ["stuck"]
            (told,) = [finding for finding in examine(str(root)) if finding.check == "transactions"]
            assert told.hint == error.value.hint
            return 0

        assert in_child(interrupted) == DIED
        assert as_nobody(refused) == 0
        with open_prefix(root) as prefix:
            assert [past.row.state.value for past in prefix.history()] == ["done", "done"]
        assert versions(root) == {"pkg": "2"}


@needs_root
def test_a_taken_tree_that_cannot_be_given_back_waits_and_stops_nobody(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    tree = stage(home, "2")
    before = snapshot(tree)

    def taken() -> None:
        with open_prefix(root, Dying()) as prefix:
            prefix.merge(package(tree, "2", move=True))

    assert in_child(taken) == DIED
    assert not tree.exists()
    heard: list[Event] = []
    with immutable(home):
        with Prefix(str(root), options=OPTIONS, listener=heard.append) as prefix:
            prefix.gc(keep=0)
            prefix.merge(package(stage(tmp_path, "3"), "3"))
            prefix.gc(keep=0)
        assert {event.kind for event in heard if "cannot be put back" in event.text} == {"unfinished"}
    open_prefix(root).close()
    assert snapshot(tree) == before
    assert versions(root) == {"pkg": "3"}
    assert os.listdir(root / STATE / "work") == []


@needs_root
def test_gc_says_it_in_a_line_and_as_json(root: Path, tmp_path: Path) -> None:
    shipway = Shop(root, tmp_path)
    with immutable(root / "lib/pkg/a"):
        merge(root, tmp_path, "2")
        ran = shipway("gc", "--keep", "0")
        path = next((root / STATE / "undo/2").rglob("a"))
        line = f"warning: {path} could not be removed: it is immutable; `chattr -i {path}`, then `shipway gc`"
        assert line in ran.err.splitlines()
        assert (ran.code, ran.out[:37]) == (0, "gave up the undo of 2 transactions (1")
        ran = shipway("--json", "gc")
        assert ran.json["left"][0]["problem"] == "it is immutable"
    ran = shipway("gc")
    assert f"note: {root / STATE / 'undo/2'}, given up earlier, is gone now" in ran.err.splitlines()


@needs_root
def test_a_prefix_that_is_given_up_can_be_begun_again_whatever_is_left_of_it(root: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    with immutable(root / "lib/pkg/a"):
        merge(root, tmp_path, "2")
        with Prefix(str(root), options=OPTIONS, listener=lambda event: heard.append(event.text)) as prefix:
            prefix.detach_all()
        (left,) = (root / "var/lib").iterdir()
        assert left.name.startswith("shipway.left-")
        assert sum("chattr -R -i" in text and f"`rm -r {left}`" in text for text in heard) == 1
        assert not [path for path in left.rglob("*") if path.name.startswith("state.sqlite")]
    with open_prefix(root) as prefix:
        assert prefix.packages() == []


def test_what_programs_left_in_old_directories_outlives_the_prefix(root: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    merge(root, tmp_path, "2")
    area = next(path for path in (root / STATE / "undo/2").iterdir() if path.is_dir())
    (area / "mine").write_text("somebody's")
    with Prefix(str(root), options=OPTIONS, listener=lambda event: heard.append(event.text)) as prefix:
        prefix.detach_all()
    assert [path.name for path in (root / STATE).iterdir()] == ["lost+found"]
    assert (root / STATE / "lost+found/2/lib/pkg/mine").read_text() == "somebody's"
    assert any("lost+found" in text for text in heard)
    with open_prefix(root) as prefix:
        assert prefix.packages() == []


def test_a_prefix_whose_giving_up_was_killed_can_be_given_up_again(root: Path, tmp_path: Path) -> None:
    start, before = tmp_path / "start", snapshot(root)
    root.rename(start)
    for step in itertools.count(1):
        shutil.copytree(start, root, symlinks=True)

        def give_up(step: int = step) -> None:
            with open_prefix(root, FaultyFileSystem(step, die)) as prefix:
                prefix.detach_all()

        code = in_child(give_up)
        with open_prefix(root) as prefix:
            prefix.detach_all()
        assert not (root / STATE).exists()
        assert snapshot(root) == before
        shutil.rmtree(root)
        if code == FINISHED:
            break
    assert step > 10
