"""Interrupted transactions that have become the lower layer of a real overlay, and are recovered on top of it; that needs root.

Directories of that layer cannot be renamed, so recovery changes them piece by piece; it is killed, and fails, at each of these
pieces.  (I2, I3, I9, I10)
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proof.mounts import CannotMountError, overlay, tmpfs
from shipway.fs.system import FileSystem, RenameMode
from shipway.prefix.layout import STATE
from tests.crash.test_transaction_crash import KINDS, OTHER, check_whole
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
    snapshot,
    versions,
)

Whole = tuple[dict[str, str], dict[str, tuple[str, int, str]]]

DEEDS = {name: deed for name, deed in KINDS.items() if name not in ("gc", "install by move")}
MODES = {"exchange": RenameMode.AUTO, "fallback": RenameMode.FALLBACK}
HOLE = 98
"""The exit code of a process that saw a name empty, or holding something that is neither old nor new."""
COMMIT_POINT = ("database", "commit point")
TOKEN = re.compile(r"\b[0-9a-f]{16}\b")

OLD = {
    "bin/tool": "old",
    "lib/pkg/a.py": "a = 1\n",
    "lib/pkg/becomes-dir": "old",
    "lib/pkg/becomes-file/deep/x": "old",
    "lib/pkg/empty/": "",
    "lib/pkg/link": "-> a.py",
    "lib/pkg/same": "same",
    "share/pkg/only-old": "old",
    "share/turns/x": "old",
}
NEW = {
    "bin/tool": "new",
    "lib/pkg/a.py": "a = 22\n",
    "lib/pkg/becomes-dir/deep/x": "new",
    "lib/pkg/becomes-file": "new",
    "lib/pkg/link": "-> same",
    "lib/pkg/same": "same",
    "lib/pkg/sub/c": "new",
    "share/pkg/only-new": "new",
    "share/turns": "new",
}


class Late(FaultyFileSystem):
    """Counts from the commit point on."""

    def step(self, operation: str, path: str) -> None:
        if self.count or (operation, path) == COMMIT_POINT:
            super().step(operation, path)


class Scene:
    """A deed, and what may be there after it: `old` and `new`.  `on_top` mounts layers, and leaves them when it is closed."""

    def __init__(self, room: Path, deed: str, mode: str) -> None:
        prepare, self.act = DEEDS[deed]
        self.room = room
        self.mode = MODES[mode]
        self.start, self.trees, self.lower = room / "start", room / "trees", room / "lower"
        for name, files in (("old", OLD), ("new", NEW), ("other", OTHER)):
            make_tree(self.trees / name, files)
        prepare(self.start, self.trees)
        goal = room / "goal"
        shutil.copytree(self.start, goal, symlinks=True)
        with open_prefix(goal, FileSystem(self.mode)) as prefix:
            self.act(prefix, self.trees)
        self.old: Whole = (versions(self.start), snapshot(self.start))
        self.new: Whole = (versions(goal), snapshot(goal))

    def interrupt(self, fs: FileSystem) -> bool:
        """Begin the deed in a prefix in `lower`; whether it was killed there."""
        shutil.rmtree(self.lower, ignore_errors=True)
        self.lower.mkdir()
        shutil.copytree(self.start, self.lower / "prefix", symlinks=True)

        def begin() -> None:
            with open_prefix(self.lower / "prefix", fs) as prefix:
                self.act(prefix, self.trees)

        return in_child(begin) == DIED

    def moments(self) -> Iterator[int]:
        """The deed killed at each change after its commit point."""
        return itertools.takewhile(lambda k: self.interrupt(Late(k, die, self.mode)), itertools.count(2))


class Layers:
    """Layers on top of a scene's prefix, each from `add` on; all that was written is gone with `__exit__`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.below = [scene.lower]
        self.mount = ExitStack()

    def __enter__(self) -> Layers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.mount.close()
        for upper in self.below[:-1]:
            shutil.rmtree(upper)
            shutil.rmtree(f"{upper}-work")

    def add(self) -> Path:
        """The prefix with one more layer."""
        self.mount.close()
        upper, at = self.scene.room / f"upper{len(self.below)}", self.scene.room / "at"
        self.mount.enter_context(overlay(self.below[0], upper, at, *self.below[1:]))
        self.below.insert(0, upper)
        return at / "prefix"


class Watching(FaultyFileSystem):
    """Looks, before each change, whether a reader would find what both versions have: old or new, never nothing."""

    def __init__(self, scene: Scene, root: Path, at: int, fault: Callable[[], None]) -> None:
        super().__init__(at, fault, scene.mode)
        self.root = root
        self.touched = True
        old, new = scene.old[1], scene.new[1]
        both = old.keys() & new.keys()
        turning = [path for path in both if "d" in (old[path][0], new[path][0]) and old[path][0] != new[path][0]]
        self.wanted = {
            path: (old[path], new[path])
            for path in both
            if not any(path == other or path.startswith(f"{other}/") for other in turning)
        }

    def step(self, operation: str, path: str) -> None:
        if self.touched:
            found = snapshot(self.root)
            if not all(found.get(name) in either for name, either in self.wanted.items()):
                os._exit(HOLE)
        self.touched = STATE not in path
        super().step(operation, path)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """In memory: recovery waits for the disk often."""
    try:
        with tmpfs(tmp_path / "room") as room:
            with overlay(room / "lower", room / "upper", room / "at"):
                pass
            for left in room.iterdir():
                shutil.rmtree(left)
            yield room
    except CannotMountError as error:
        pytest.skip(f"no overlay can be mounted: {error}")


def recover(root: Path, fs: FaultyFileSystem) -> int:
    """FINISHED only if it did not come to the fault."""

    def run() -> None:
        with open_prefix(root, fs) as prefix:
            prefix.recover()
        assert fs.count < fs.at

    return in_child(run)


def hardest(scene: Scene) -> int:
    """The moment after which recovery has most to do."""
    efforts = {}
    for k in scene.moments():
        with Layers(scene) as layers:
            fs = FaultyFileSystem(0, fail, scene.mode)
            with open_prefix(layers.add(), fs) as prefix:
                prefix.recover()
            efforts[k] = fs.count
    return max(efforts, key=lambda k: efforts[k])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", DEEDS)
def test_what_was_under_way_is_finished(deed: str, mode: str, room: Path) -> None:
    scene = Scene(room, deed, mode)
    for _ in scene.moments():
        with Layers(scene) as layers:
            check_whole(layers.add(), [scene.new])


@pytest.mark.parametrize(("deed", "mode"), [("several packages", "exchange"), ("remove", "fallback")])
def test_recovery_may_die_at_any_piece(deed: str, mode: str, room: Path) -> None:
    """And be finished in the same layer, or in another one on top of it."""
    scene = Scene(room, deed, mode)
    scene.interrupt(Late(hardest(scene), die, scene.mode))
    code = DIED
    for k in itertools.count(1):
        with Layers(scene) as layers:
            root = layers.add()
            code = recover(root, Watching(scene, root, k, die))
            assert code in (DIED, FINISHED)
            check_whole(layers.add() if k % 2 else root, [scene.new])
        if code == FINISHED:
            break


def test_recovery_may_fail_at_any_piece(room: Path) -> None:
    """What cannot be finished is taken back piece by piece; or it is finished when the disk has come to its senses."""
    scene = Scene(room, "upgrade with swap", "exchange")
    scene.interrupt(Late(hardest(scene), die, scene.mode))
    for k in itertools.count(1):
        with Layers(scene) as layers:
            root = layers.add()
            code = recover(root, Watching(scene, root, k, fail))
            assert code in (RAISED, FINISHED)
            check_whole(root, [scene.old, scene.new])
        if code == FINISHED:
            break


class Reversing(Late):
    """Fails at one change after the commit point, and dies a number of changes later, while all is taken back."""

    def __init__(self, at: int, later: int, mode: RenameMode) -> None:
        super().__init__(at, fail, mode)
        self.later = later

    def step(self, operation: str, path: str) -> None:
        super().step(operation, path)
        if self.count == self.at + self.later:
            die()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", ["several packages", "remove", "undo an upgrade"])
def test_what_was_being_taken_back_is(deed: str, mode: str, room: Path) -> None:
    """By a recovery that dies somewhere itself."""
    scene = Scene(room, deed, mode)
    found = []
    for at in scene.moments():
        for later in (1, 2, 3, 5, 8, 13, 21, 34):
            if not scene.interrupt(Reversing(at, later, scene.mode)):
                break
            with Layers(scene) as layers:
                root = layers.add()
                k = 1 + (7 * at + 13 * later) % 90
                assert recover(root, Watching(scene, root, k, die)) in (DIED, FINISHED), (at, later, k)
                root = layers.add() if k % 2 else root
                check_whole(root, [scene.old, scene.new])
                assert not os.listdir(root / STATE / "lost+found")
                found.append(versions(root) == scene.old[0])
    assert sum(found) > 5


def test_what_somebody_writes_between_two_pieces_is_kept(room: Path) -> None:
    scene = Scene(room, "upgrade with swap", "exchange")
    scene.interrupt(Late(2, die, scene.mode))
    for k in itertools.count(1):
        with Layers(scene) as layers:
            root = layers.add()
            code = recover(root, FaultyFileSystem(k, die))
            written = write_strays(root)
            with open_prefix(root) as prefix:
                prefix.recover()
                assert {past.row.state.value for past in prefix.history()} <= {"done", "undone"}
            found = [*snapshot(root).items(), *snapshot(root / STATE / "lost+found").items()]
            for name, text in written.items():
                assert [path for path, (_, _, content) in found if path.endswith(name) and content == text], (k, name)
            assert not list((root / STATE / "work").iterdir())
        if code == FINISHED:
            break
    assert k > 30


def write_strays(root: Path) -> dict[str, str]:
    """Put a file into every directory, and another in the place of one that is being changed."""
    written = {}
    for parent, directories, _ in os.walk(root):
        directories[:] = [name for name in directories if name != "var"]
        if Path(parent) != root:
            Path(parent, "mine").write_text(parent)
            written[os.path.relpath(f"{parent}/mine", root)] = parent
    if list(root.glob(f"{STATE}/work/*/p[0-9]/new")):
        changed = root / "lib/pkg/a.py"
        if changed.exists():
            (root / "theirs").write_text("theirs")
            (root / "theirs").rename(changed)
            written["lib/pkg/a.py"] = "theirs"
    return written
