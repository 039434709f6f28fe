"""Wheels that lie or attack: one refusal that names what is wrong, and an environment that is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installing.shop import Venv, false_records, tree
from tests.installing.wheels import HOSTILE, Wheel, in_record_but_missing


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_wheel_is_refused_and_nothing_is_changed(kind: str, venv: Venv, tmp_path: Path) -> None:
    make, named = HOSTILE[kind]
    path = make(tmp_path / "hostile")
    before, around = tree(venv.root, bytecode=True), set(tmp_path.iterdir())
    ran = venv.pip("install", str(path))
    assert ran.code == 1, ran.out
    assert named in ran.err
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    assert tree(venv.root, bytecode=True) == before
    assert set(tmp_path.iterdir()) - {tmp_path / "cache", tmp_path / "kept"} == around
    assert not list(tmp_path.glob("kept/*/*"))
    assert not Path("/tmp/evil").exists()
    assert venv.history() == []
    assert list((venv.root / "var/lib/shipway/work").iterdir()) == []


def test_one_hostile_wheel_among_sound_ones_keeps_all_out(venv: Venv) -> None:
    HOSTILE["wrong hash"][0](venv.wheels)
    venv.offer(Wheel("good", requires=("evil",)))
    assert venv.pip("install", "good").code == 1
    assert venv.projects() == []


def test_a_file_that_is_listed_and_not_there_is_left_out_of_the_record_as_pip_does(venv: Venv, tmp_path: Path) -> None:
    venv.done("install", str(in_record_but_missing(tmp_path)))
    assert false_records(venv.site) == []
