"""A program makes again, with content of its own, what an interrupted transaction has taken out.

Nothing is lost, neither its files nor the package's, and recovery comes to an end.  (I3, I9, I10)
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.fs.system import RenameMode
from tests.harness import (
    DIED,
    FINISHED,
    RAISED,
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

STAYS = {"bin/o": "somebody's", "lib/o": "somebody's", "share/o": "somebody's"}
OLD = {
    "bin/tool": "old",
    "lib/libx.so": "-> libx.so.1",
    "lib/libx.so.1": "old",
    "lib/pkg/a": "old",
    "lib/pkg/sub/b": "old",
    "share/pkg/empty/": "",
    "share/pkg/gone/c": "old",
    "share/stays/d": "old",
}
NEW = {"bin/tool": "new", "share/stays/d": "new"}
GOES = ("lib/libx.so", "lib/libx.so.1", "lib/pkg", "share/pkg")
MINE = "written by a program"
ABROAD = "written elsewhere by a program"

MODES = {"exchange": RenameMode.AUTO, "fallback": RenameMode.FALLBACK}
DEEDS: dict[str, Callable[[Prefix, Path], object]] = {
    "remove": lambda prefix, trees: prefix.remove(["pkg"]),
    "upgrade": lambda prefix, trees: prefix.merge(package(trees / "new", "2")),
}


class Late(FaultyFileSystem):
    """Counts from the commit point on; from `at` on `meanwhile` is called before every change."""

    def __init__(self, at: int, fault: Callable[[], None], mode: RenameMode, dies: int = 0) -> None:
        super().__init__(at, fault, mode)
        self.dies = dies
        self.meanwhile: Callable[[], None] = lambda: None

    def step(self, operation: str, path: str) -> None:
        if not self.count and (operation, path) != ("database", "commit point"):
            return
        if self.count + 1 >= self.at:
            self.meanwhile()
        if self.dies and self.count + 1 >= self.at + self.dies:
            die()
        super().step(operation, path)


class Scene:
    """A prefix before a deed, and what it is after one; `made` are the ways in which a program makes a path again."""

    def __init__(self, room: Path, deed: str, mode: str) -> None:
        self.room, self.act, self.mode = room, DEEDS[deed], MODES[mode]
        self.trees, self.start, self.root = room / "trees", room / "start", room / "prefix"
        make_tree(self.start, STAYS)
        make_tree(self.trees / "new", NEW)
        make_tree(room / "elsewhere", {"file": ABROAD})
        with open_prefix(self.start) as prefix:
            prefix.merge(package(make_tree(self.trees / "old", OLD), "1"))
        self.old = (versions(self.start), snapshot(self.start))
        self.arrange()
        with open_prefix(self.root) as prefix:
            self.act(prefix, self.trees)
        self.new = (versions(self.root), snapshot(self.root))

    def arrange(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.start, self.root, symlinks=True)

    def run(self, fs: FaultyFileSystem) -> int:
        def run() -> None:
            with open_prefix(self.root, fs) as prefix:
                self.act(prefix, self.trees)

        return in_child(run)

    def make_again(self, how: str) -> list[str]:
        """Every path that is gone for now; those that could be made."""
        made = []
        for name in GOES:
            path = self.root / name
            if not os.path.lexists(path):
                MADE[how](path, self.room / "elsewhere")
                made.append(name)
        return made

    def judge(self, how: str, made: list[str]) -> None:
        """Old or new in the record, and on disk but for what the program made: that is at its paths, or is saved."""
        with open_prefix(self.root) as prefix:
            prefix.recover()
            assert {past.row.state.value for past in prefix.history()} <= {"done", "undone"}
            assert prefix.verify().ok
        state = self.root / "var/lib/shipway"
        assert not list((state / "work").iterdir())
        kind, now, wanted = versions(self.root), snapshot(self.root), self.new
        if kind != self.new[0]:
            assert kind == self.old[0]
            wanted = self.old
        saved = {
            os.path.relpath(f"{parent}/{name}", state / "lost+found").partition("/")[2]: f"{parent}/{name}"
            for parent, directories, files in os.walk(state / "lost+found")
            for name in directories + files
        }
        for name in made:
            theirs = [now.pop(path) for path in sorted(now) if _is_below(path, name) and path not in wanted[1]]
            if not any(MINE in each[2] or "elsewhere" in each[2] for each in theirs):
                found = saved.get(f"{name}/mine", saved.get(name, ""))
                assert found and (os.path.islink(found) or MINE in Path(found).read_text()), f"{name} is lost"
        assert now == wanted[1]
        assert snapshot(self.room / "elsewhere") == {"file": ("f", 0o644, ABROAD)}

    def judge_undo(self, made: list[str]) -> None:
        """What was taken out is whole."""
        if versions(self.root) != self.old[0]:
            for name in made:
                _clear(self.root / name)
            with open_prefix(self.root) as prefix:
                prefix.undo()
            assert (versions(self.root), snapshot(self.root)) == self.old


def _is_below(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/")


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _directory(path: Path, elsewhere: Path) -> None:
    make_tree(path, {"mine": MINE, "sub/mine": MINE})


def _file(path: Path, elsewhere: Path) -> None:
    path.write_text(MINE)


def _link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


MADE: dict[str, Callable[[Path, Path], None]] = {"directory": _directory, "file": _file, "symlink": _link}


@pytest.mark.parametrize("how", MADE)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", DEEDS)
def test_what_was_taken_out_and_made_again_stops_no_recovery(deed: str, mode: str, how: str, tmp_path: Path) -> None:
    """It stays, belongs to nobody, and the transaction is finished."""
    scene = Scene(tmp_path, deed, mode)
    most = 0
    for k in itertools.count(2):
        scene.arrange()
        code = scene.run(Late(k, die, scene.mode))
        made = scene.make_again(how)
        most = max(most, len(made))
        scene.judge(how, made)
        assert versions(scene.root) == scene.new[0], k
        assert all(os.path.lexists(scene.root / name) for name in made)
        if k % 3 == 0 or code == FINISHED:
            scene.judge_undo(made)
        if code == FINISHED:
            break
    assert k > 5
    assert most == len(GOES)


@pytest.mark.parametrize(
    ("deed", "mode", "how"),
    [("remove", "exchange", "directory"), ("remove", "fallback", "symlink"), ("upgrade", "exchange", "file")],
)
def test_nor_does_it_stop_what_is_taken_back(deed: str, mode: str, how: str, tmp_path: Path) -> None:
    """The package's own comes back; where that needs the name, what the program made is moved to lost+found.

    That is killed somewhere, too.
    """
    scene = Scene(tmp_path, deed, mode)
    ended = set()
    code = DIED
    for k in itertools.count(2):
        for dies in (0, 2, 7, 20):
            scene.arrange()
            fs = Late(k, fail, scene.mode, dies)
            record = tmp_path / "made"
            record.write_text("")
            fs.meanwhile = partial(_once, fs, scene, how, record)
            code = scene.run(fs)
            scene.judge(how, record.read_text().split())
            ended.add((code, *versions(scene.root).values()))
            if code == FINISHED and not dies:
                break
        if code == FINISHED:
            break
    assert {(RAISED, "1"), (DIED, "1")} <= ended


def _once(fs: Late, scene: Scene, how: str, record: Path) -> None:
    fs.meanwhile = lambda: None
    record.write_text("\n".join(scene.make_again(how)))


def test_just_what_was_taken_out_is_as_good_as_the_old_content(tmp_path: Path) -> None:
    """Whoever puts that back has the transaction taken back, or keeps it; it is not stuck."""
    scene = Scene(tmp_path, "remove", "exchange")
    code = DIED
    for k in itertools.count(2):
        scene.arrange()
        code = scene.run(Late(k, die, scene.mode))
        made = [name for name in GOES if not os.path.lexists(scene.root / name)]
        for name in made:
            subprocess.run(["cp", "-a", scene.start / name, scene.root / name], check=True)
        with open_prefix(scene.root) as prefix:
            assert {past.row.state.value for past in prefix.history()} <= {"done", "undone"}
            assert prefix.verify().ok
        now = snapshot(scene.root)
        wanted = {path: seen for path, seen in scene.old[1].items() if any(_is_below(path, name) for name in made)}
        assert {path: now.get(path) for path in wanted} == wanted
        if code == FINISHED:
            break
    assert k > 5
