"""A prefix that a group shares: what one user began, or installed, another can finish, upgrade, undo and collect."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.api import Prefix
from tests.harness import DIED, FINISHED, OPTIONS, FaultyFileSystem, die, fail, in_child, make_tree, package

GROUP, ALICE, BOB = 30000, 20001, 20002
SHARED = OPTIONS._replace(group=GROUP)


@pytest.fixture
def place() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can become other users")
    path = Path(tempfile.mkdtemp(prefix="shipway-shared-"))
    path.chmod(0o755)
    (path / "prefix").mkdir()
    os.chown(path / "prefix", ALICE, GROUP)
    (path / "prefix").chmod(0o2775)
    yield path
    shutil.rmtree(path)


def as_user(user: int, action: Callable[[], None]) -> int:
    """Run as a member of the group; the exit code of `in_child`."""

    def become() -> None:
        os.setgroups([GROUP])
        os.setgid(user)
        os.setuid(user)
        os.umask(0o077)
        try:
            action()
        except Exception:
            traceback.print_exc()
            raise

    return in_child(become)


def tree_of(place: Path, user: int, name: str, files: dict[str, str]) -> Path:
    tree = make_tree(place / f"of {name}" / name, files)
    for path in (tree.parent, tree, *tree.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    return tree


def test_two_users_upgrade_undo_and_collect_each_others_packages(place: Path) -> None:
    one = tree_of(place, ALICE, "one", {"lib/pkg/a": "1", "lib/pkg/b": "1", "bin/tool": "1"})
    two = tree_of(place, BOB, "two", {"lib/pkg/a": "2", "lib/pkg/b": "2", "bin/tool": "2"})

    def first() -> None:
        with Prefix(str(place / "prefix"), options=SHARED) as prefix:
            prefix.merge(package(one, "1", move=True))
            assert prefix.verify().ok

    def second() -> None:
        with Prefix(str(place / "prefix"), options=SHARED) as prefix:
            prefix.merge(package(two, "2", move=True))
            assert prefix.verify().ok
            prefix.undo()
            assert prefix.verify().ok
            prefix.undo(redo=True)
            prefix.gc(keep=0)
            assert prefix.verify().ok

    assert as_user(ALICE, first) == FINISHED
    assert as_user(BOB, second) == FINISHED
    assert (place / "prefix/lib/pkg/a").read_text() == "2"
    assert (place / "prefix/lib/pkg").stat().st_gid == GROUP
    assert (place / "prefix/lib/pkg").stat().st_mode & 0o7777 == 0o2775
    assert (place / "prefix/bin/tool").stat().st_mode & 0o777 == 0o775


def test_another_s_packages_may_lie_beside_the_state_directory(place: Path) -> None:
    one = tree_of(place, ALICE, "one", {"bin/tool": "1"})
    two = tree_of(place, BOB, "two", {"var/two/a": "2", "var/lib/two/b": "2"})

    def merge(tree: Path, name: str) -> None:
        with Prefix(str(place / "prefix"), options=SHARED) as prefix:
            prefix.merge(package(tree, "1", name))
            assert prefix.verify().ok

    assert as_user(ALICE, lambda: merge(one, "one")) == FINISHED
    assert as_user(BOB, lambda: merge(two, "two")) == FINISHED


def test_one_user_recovers_what_another_left(place: Path) -> None:
    one = tree_of(place, ALICE, "one", {"lib/pkg/a": "1", "bin/tool": "1"})
    probe = tree_of(place, ALICE, "probe", {"lib/pkg/a": "1", "bin/tool": "1"})
    (place / "counted").mkdir(mode=0o2775)
    os.chown(place / "counted", ALICE, GROUP)
    counting = FaultyFileSystem(0, fail)
    with Prefix(str(place / "counted"), options=SHARED, fs=counting) as prefix:
        prefix.merge(package(probe, "1"))
    point = counting.log.index("database commit point") + 2

    def killed() -> None:
        with Prefix(str(place / "prefix"), options=SHARED, fs=FaultyFileSystem(point, die)) as prefix:
            prefix.merge(package(one, "1"))

    def recovered() -> None:
        with Prefix(str(place / "prefix"), options=SHARED) as prefix:
            assert [p.package.version for p in prefix.packages()] == ["1"]
            assert prefix.verify().ok
        assert not list((place / "prefix/var/lib/shipway/work").iterdir())

    assert as_user(ALICE, killed) == DIED
    assert as_user(BOB, recovered) == FINISHED


def test_who_is_not_of_the_group_can_ask_but_not_change(place: Path) -> None:
    one = tree_of(place, ALICE, "one", {"bin/tool": "1"})

    def first() -> None:
        with Prefix(str(place / "prefix"), options=SHARED) as prefix:
            prefix.merge(package(one, "1"))

    def stranger() -> None:
        with Prefix(str(place / "prefix"), options=SHARED) as prefix:
            assert not prefix.writable
            assert [p.package.name for p in prefix.packages()] == ["pkg"]
            assert prefix.owners("bin/tool")
            assert prefix.verify().ok
        with pytest.raises(PermissionError):
            os.open(place / "prefix/var/lib/shipway/lock", os.O_RDONLY)

    def outside() -> None:
        os.setgroups([])
        os.setgid(40000)
        os.setuid(40000)
        try:
            stranger()
        except Exception:
            traceback.print_exc()
            raise

    assert as_user(ALICE, first) == FINISHED
    assert in_child(outside) == FINISHED
