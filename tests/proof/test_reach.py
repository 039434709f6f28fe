"""Other users can run the command under attack wherever ours lies."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from proof.company import program
from proof.persons import STRANGER
from proof.reach import OutOfReachError, within_reach
from proof.scene import Scene, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


@pytest.fixture
def closed(tmp_path: Path) -> Scene:
    """A scene in a directory that is closed to others, as pytest's are, and whose command and programs are there too."""
    (tmp_path / "place").mkdir()
    (tmp_path / "closed").mkdir(mode=0o700)
    command = Path(sys.executable).with_name("shipway")
    scene = Scene(tmp_path / "place", full=False, seed=1, shipway=str(command), python=sys.executable)
    (tmp_path / "closed/programs").symlink_to(scene.programs)
    tmp_path.chmod(0o700)
    return replace(scene, programs=tmp_path / "closed/programs")


def test_a_stranger_runs_a_copy_where_ours_is_closed_to_him(closed: Scene) -> None:
    with within_reach(closed) as scene:
        place = scene.place
        (place / "prefix").mkdir()
        told = STRANGER.run(scene, place / "prefix", "list")
        assert told.returncode == 1
        assert "you may not write there" in told.stderr
        assert "not enough values" in run(program(scene, "dying"), **STRANGER.options).stderr
        assert scene.run("--version").stdout == closed.run("--version").stdout
    assert not place.exists()


def test_another_command_than_ours_is_not_copied(closed: Scene) -> None:
    other = closed.place / "shipway"
    other.touch(0o700)
    with pytest.raises(OutOfReachError, match="not ours to copy"), within_reach(replace(closed, shipway=str(other))):
        pass
