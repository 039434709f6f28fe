"""What a long history, mounts inside the prefix and a full disk must not do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shipway.api import Options
from shipway.errors import ShipwayError
from shipway.prefix.records import State
from shipway.prefix.session import Session
from tests.harness import FaultyFileSystem, make_tree, open_prefix, package, snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    return tmp_path / "prefix"


def test_a_commit_reads_only_the_transactions_within_the_horizon(root: Path, tmp_path: Path) -> None:
    with open_prefix(root) as prefix:
        prefix.site = prefix.site._replace(options=Options(keep=3, jobs=1))
        trees = [make_tree(tmp_path / v, {"lib/a": v, "lib/b": v}) for v in "12"]
        for number in range(12):
            prefix.merge(package(trees[number % 2], str(number % 2)))
        database = prefix.site.database
        assert [row.id for row in database.transactions()] == list(range(1, 13))
        assert [row.id for row in database.transactions(collected=False)] == [10, 11, 12]


def test_a_directory_that_is_a_mount_point_is_refused_before_the_commit_point(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the mount hides cannot be seen, so that the directory looks empty, and only the mount is in the way."""
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(tmp_path / "s", {"lib/a": "1", "lib/sub/b": "1"}), "1"))
        (root / "lib/sub/b").unlink()
        before = snapshot(root)
        for module in ("live", "stage"):
            monkeypatch.setattr(f"shipway.prefix.{module}.mount_points", lambda under: [f"{under}/lib/sub"])
        with pytest.raises(ShipwayError) as caught:
            prefix.remove(["pkg"])
        assert caught.value.details == ("lib/sub: is a mount point, or lies in one",)
        assert snapshot(root) == before
        assert [row.state for row in prefix.site.database.transactions()] == [State.DONE]


def test_a_session_that_finds_no_room_leaves_nothing(root: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_prefix(root, FaultyFileSystem(0, full)) as prefix:
        fs = prefix.site.fs
        assert isinstance(fs, FaultyFileSystem)
        for step in (1, 2, 3):
            fs.at = fs.count + step
            with pytest.raises(OSError, match="No space"):
                Session(prefix.site)
            assert os.listdir(prefix.site.layout.work) == []
