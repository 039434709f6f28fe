"""Crash by a loop: fail, and separately die, at the k-th change of the disk, for every kind of transaction.

After recovery the prefix is old or new, in the record and on disk, `verify` is clean, and nothing is left in work/.  (I3, I4, I10)
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.errors import StuckError
from shipway.fs.system import RenameMode
from tests.harness import (
    DIED,
    FINISHED,
    FaultyFileSystem,
    die,
    fail,
    in_child,
    make_tree,
    open_prefix,
    package,
    snapshot,
    versions,
)

OLD = {
    "bin/tool": "old",
    "lib/pkg/a.py": "a = 1\n",
    "lib/pkg/b.py": "b = 1\n",
    "lib/pkg/sub/c": "old",
    "lib/libx.so": "-> libx.so.1",
    "lib/libx.so.1": "old",
    "share/pkg/only-old": "old",
    "share/pkg/returns": "old",
    "share/pkg/turns/x": "old",
}
NEW = {
    "bin/tool": "new",
    "lib/pkg/a.py": "a = 22\n",
    "lib/pkg/b.py": "b = 22\n",
    "lib/pkg/sub/c": "new",
    "lib/libx.so": "-> libx.so.2",
    "lib/libx.so.2": "new",
    "share/pkg/only-new": "new",
    "share/pkg/returns/x": "new",
    "share/pkg/turns": "new",
}
OTHER = {"bin/other": "other", "lib/pkg-other/x": "other"}

Act = Callable[[Prefix, Path], None]


def install(prefix: Prefix, trees: Path) -> None:
    prefix.merge(package(trees / "old", "1"))


def install_by_move(prefix: Prefix, trees: Path) -> None:
    prefix.merge(package(trees / "old", "1", move=True))


def upgrade(prefix: Prefix, trees: Path) -> None:
    prefix.merge(package(trees / "new", "2"))


def several(prefix: Prefix, trees: Path) -> None:
    one = prefix.seal(str(trees / "new"), name="pkg", version="2", python="")
    two = prefix.seal(str(trees / "other"), name="other", version="1", python="")
    with prefix.transaction() as tx:
        tx.install(one)
        tx.install(two)


def remove(prefix: Prefix, trees: Path) -> None:
    prefix.remove(["pkg"])


def undo(prefix: Prefix, trees: Path) -> None:
    prefix.undo()


def gc(prefix: Prefix, trees: Path) -> None:
    prefix.gc(keep=0)


def nothing_yet(root: Path, trees: Path) -> None:
    root.mkdir()


def with_old(root: Path, trees: Path) -> None:
    root.mkdir()
    with open_prefix(root) as prefix:
        install(prefix, trees)


def with_old_and_strays(root: Path, trees: Path) -> None:
    """Files of nobody keep the directories from being swapped: the upgrade goes file by file."""
    with_old(root, trees)
    (root / "lib/pkg/stray").write_text("somebody's")
    (root / "share/pkg/stray").write_text("somebody's")


def with_old_and_neighbour(root: Path, trees: Path) -> None:
    root.mkdir()
    with open_prefix(root) as prefix:
        prefix.merge(package(trees / "other", "1", "neighbour"))
        install(prefix, trees)


def with_new_over_old(root: Path, trees: Path) -> None:
    with_old(root, trees)
    with open_prefix(root) as prefix:
        upgrade(prefix, trees)


KINDS: dict[str, tuple[Callable[[Path, Path], None], Act]] = {
    "install": (nothing_yet, install),
    "install by move": (nothing_yet, install_by_move),
    "upgrade with swap": (with_old, upgrade),
    "upgrade per file": (with_old_and_strays, upgrade),
    "upgrade beside a neighbour": (with_old_and_neighbour, upgrade),
    "several packages": (with_old, several),
    "remove": (with_old, remove),
    "undo an upgrade": (with_new_over_old, undo),
    "gc": (with_new_over_old, gc),
}


def make_trees(path: Path) -> Path:
    for name, files in (("old", OLD), ("new", NEW), ("other", OTHER)):
        make_tree(path / name, files)
    return path


def check_whole(root: Path, allowed: list[tuple[dict[str, str], dict[str, tuple[str, int, str]]]]) -> None:
    """Old or new, in the record and on disk alike; verified; nothing left over."""
    with open_prefix(root) as prefix:
        report = prefix.verify()
        assert report.ok, report.problems
        assert not list((root / "var/lib/shipway/work").iterdir())
        assert not list((root / "var/lib/shipway").glob(".*")), "scratch files of a dead process"
        states = {past.row.state.value for past in prefix.history()}
        assert states <= {"done", "undone"}
    assert (versions(root), snapshot(root)) in allowed


@pytest.mark.parametrize("mode", [RenameMode.AUTO, RenameMode.FALLBACK], ids=["exchange", "fallback"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [die, fail], ids=["die", "fail"])
def test_a_fault_at_any_change_leaves_old_or_new(
    kind: str, mode: RenameMode, fault: Callable[[], None], tmp_path: Path
) -> None:
    prepare, act = KINDS[kind]
    start, goal = tmp_path / "start", tmp_path / "goal"
    prepare(start, make_trees(tmp_path / "trees"))
    shutil.copytree(start, goal, symlinks=True)
    counting = FaultyFileSystem(0, fail, mode)
    with open_prefix(goal, counting) as prefix:
        act(prefix, make_trees(tmp_path / "goal trees"))
    allowed = [(versions(root), snapshot(root)) for root in (start, goal)]
    code = DIED
    for k in range(1, counting.count + 2):
        root, trees = tmp_path / f"p{k}", make_trees(tmp_path / f"t{k}")
        shutil.copytree(start, root, symlinks=True)

        def run(root: Path = root, trees: Path = trees, k: int = k) -> None:
            with open_prefix(root, FaultyFileSystem(k, fault, mode)) as prefix:
                act(prefix, trees)

        code = in_child(run)
        assert code in (FINISHED, DIED) or fault is fail
        check_whole(root, allowed)
        assert versions(root) != allowed[0][0] or kind == "gc" or (trees / "old").exists(), "a tree was lost"
        shutil.rmtree(root)
        shutil.rmtree(trees)
    assert counting.count > 10
    assert code == FINISHED


@pytest.mark.parametrize("mode", [RenameMode.AUTO, RenameMode.FALLBACK], ids=["exchange", "fallback"])
def test_recovery_itself_may_die_at_any_change(mode: RenameMode, tmp_path: Path) -> None:
    start, trees = tmp_path / "start", make_trees(tmp_path / "trees")
    with_old_and_strays(start, trees)
    goal = tmp_path / "goal"
    shutil.copytree(start, goal, symlinks=True)
    with open_prefix(goal) as prefix:
        upgrade(prefix, trees)
    allowed = [(versions(root), snapshot(root)) for root in (start, goal)]
    point = _first_step_after_commit_point(start, trees, tmp_path / "probe", mode)
    for k in itertools.count(1):
        root = tmp_path / f"p{k}"
        shutil.copytree(start, root, symlinks=True)

        def interrupted(root: Path = root) -> None:
            with open_prefix(root, FaultyFileSystem(point + 2, die, mode)) as prefix:
                upgrade(prefix, trees)

        def recovery(root: Path = root, k: int = k) -> None:
            open_prefix(root, FaultyFileSystem(k, die, mode)).close()

        assert in_child(interrupted) == DIED
        code = in_child(recovery)
        check_whole(root, allowed[1:])
        if code == FINISHED:
            assert k > 5
            break


def _first_step_after_commit_point(start: Path, trees: Path, root: Path, mode: RenameMode) -> int:
    shutil.copytree(start, root, symlinks=True)
    fs = FaultyFileSystem(0, fail, mode)
    with open_prefix(root, fs) as prefix:
        upgrade(prefix, trees)
    return fs.log.index("database commit point") + 1


def _interrupted_after_swap_of_tool(start: Path, trees: Path, probe: Path, later: int) -> None:
    shutil.copytree(start, probe, symlinks=True)
    fs = FaultyFileSystem(0, fail)
    with open_prefix(probe, fs) as prefix:
        upgrade(prefix, trees)
    point = next(k for k, line in enumerate(fs.log) if line.startswith("exchange") and line.endswith("bin/tool"))

    def interrupted() -> None:
        with open_prefix(start, FaultyFileSystem(point + 1 + later, die)) as prefix:
            upgrade(prefix, trees)

    assert in_child(interrupted) == DIED
    (start / "bin/tool").unlink()
    (start / "bin/tool").write_text("neither")


def test_what_somebody_put_where_a_unit_was_to_go_makes_the_transaction_go_back(tmp_path: Path) -> None:
    start, trees = tmp_path / "start", make_trees(tmp_path / "trees")
    with_old_and_strays(start, trees)
    before = snapshot(start)
    _interrupted_after_swap_of_tool(start, trees, tmp_path / "probe", later=0)
    with open_prefix(start) as prefix:
        assert [p.package.version for p in prefix.packages()] == ["1"]
        assert {p.path for p in prefix.verify().problems} == {"bin/tool"}
    after = snapshot(start)
    assert after.pop("bin/tool")[2] == "neither"
    del before["bin/tool"]
    assert after == before


def test_a_unit_that_is_neither_old_nor_new_is_not_guessed(tmp_path: Path) -> None:
    """Somebody replaced a path after its swap and before recovery: the path is named and nothing of it touched."""
    start, trees = tmp_path / "start", make_trees(tmp_path / "trees")
    with_old_and_strays(start, trees)
    _interrupted_after_swap_of_tool(start, trees, tmp_path / "probe", later=1)
    with open_prefix(start) as prefix, pytest.raises(StuckError) as stuck:
        prefix.recover()
    assert any("bin/tool" in line for line in stuck.value.details)
    assert (start / "bin/tool").read_text() == "neither"
    with open_prefix(start) as prefix, pytest.raises(StuckError):
        install(prefix, trees)
    (start / "bin/tool").write_text("new")
    (start / "bin/tool").chmod(0o755)
    with open_prefix(start) as prefix:
        assert prefix.recover()
        assert prefix.verify().ok
        assert [p.package.version for p in prefix.packages()] == ["2"]


@pytest.mark.parametrize("how", ["copied", "moved", "restored"])
def test_recovery_works_where_the_prefix_lies_elsewhere_meanwhile(how: str, tmp_path: Path) -> None:
    """No inode is what it was: sides are recognised by content, and nothing is deleted before all is proven."""
    start, trees = tmp_path / "start", make_trees(tmp_path / "trees")
    with_old(start, trees)
    goal = tmp_path / "goal"
    shutil.copytree(start, goal, symlinks=True)
    with open_prefix(goal) as prefix:
        upgrade(prefix, trees)
    point = _first_step_after_commit_point(start, trees, tmp_path / "probe", RenameMode.AUTO)

    for step in (1, 2, 3):
        root = tmp_path / f"p{step}"
        shutil.copytree(start, root, symlinks=True)

        def interrupted(root: Path = root, step: int = step) -> None:
            with open_prefix(root, FaultyFileSystem(point + step, die)) as prefix:
                upgrade(prefix, trees)

        assert in_child(interrupted) == DIED
        there = tmp_path / f"elsewhere{step}"
        if how == "moved":
            root.rename(there)
        else:
            subprocess.run(["cp", "-a", str(root), str(there)], check=True)
        if how == "restored":
            shutil.rmtree(root)
            there.rename(root)
            there = root
        check_whole(there, [(versions(goal), snapshot(goal))])


def test_what_somebody_wrote_into_a_directory_does_not_hide_which_version_it_is(tmp_path: Path) -> None:
    """Where no inode is what it was; the file stays."""
    start, trees = tmp_path / "start", make_trees(tmp_path / "trees")
    with_old(start, trees)
    goal = tmp_path / "goal"
    shutil.copytree(start, goal, symlinks=True)
    with open_prefix(goal) as prefix:
        upgrade(prefix, trees)
    point = _first_step_after_commit_point(start, trees, tmp_path / "probe", RenameMode.AUTO)
    for step in itertools.count(1):
        root, there = tmp_path / f"p{step}", tmp_path / f"elsewhere{step}"
        shutil.copytree(start, root, symlinks=True)

        def interrupted(root: Path = root, step: int = step) -> None:
            with open_prefix(root, FaultyFileSystem(point + step, die)) as prefix:
                upgrade(prefix, trees)

        code = in_child(interrupted)
        mine = {f"{name}/mine": ("f", 0o644, "mine") for name in ("bin", "lib", "lib/pkg", "lib/pkg/sub", "share/pkg")}
        for name in mine:
            (root / name).write_text("mine")
        subprocess.run(["cp", "-a", str(root), str(there)], check=True)
        check_whole(there, [(versions(goal), snapshot(goal) | mine)])
        if code == FINISHED:
            break
    assert step > 5
