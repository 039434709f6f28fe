"""`shipway pip uninstall` and `sync`."""

from __future__ import annotations

from pathlib import Path

from tests.installing.shop import Venv, make_venv, tree
from tests.installing.wheels import Wheel

ONE, TWO, THREE = Wheel("one", scripts={"one": "one:main"}), Wheel("two"), Wheel("three-3")


def test_what_is_uninstalled_leaves_nothing_and_can_come_back(venv: Venv) -> None:
    before = tree(venv.root, bytecode=True)
    venv.offer(ONE, TWO)
    venv.done("install", "one", "two")
    there = tree(venv.root)
    ran = venv.done("uninstall", "-y", "One", "two", "nobody")
    assert "nobody is not installed" in ran.err
    assert tree(venv.root, bytecode=True) == before
    assert venv.history()[1] == "one:1.0:None two:1.0:None"
    venv.shipway("undo")
    assert tree(venv.root) == there
    assert venv.script("one") == "1.0"


def test_files_name_what_is_uninstalled(venv: Venv, tmp_path: Path) -> None:
    venv.offer(ONE, TWO, THREE)
    venv.done("install", "one", "two", "three-3")
    (tmp_path / "gone.txt").write_text("# gone\none==1.0 --hash=sha256:00\nthree.3>=2 ; python_version > '3'\n")
    told = venv.shipway("--json", "pip", "uninstall", "--dry-run", "-r", str(tmp_path / "gone.txt")).json
    assert {c["name"] for c in told["changes"]} == {"one", "three-3"}
    venv.done("uninstall", "-r", str(tmp_path / "gone.txt"), "-y")
    assert venv.projects() == ["two-1.0"]


def test_nothing_to_uninstall_is_no_failure(venv: Venv) -> None:
    ran = venv.done("uninstall", "-y", "nobody")
    assert "nobody is not installed" in ran.err
    assert venv.history() == []


def test_what_a_name_is_not_is_told(venv: Venv) -> None:
    assert venv.pip("uninstall", "-y", "not a name").code == 2
    assert venv.pip("uninstall", "-y", "-r", "/no/such/file").code == 2


def test_sync_makes_it_what_the_file_says(venv: Venv, tmp_path: Path) -> None:
    venv.offer(ONE, TWO, THREE)
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("one==1.0\ntwo==1.0\n")
    venv.done("sync", str(wanted))
    assert venv.projects() == ["one-1.0", "two-1.0"]
    assert venv.done("sync", str(wanted)).out.startswith("everything is as wanted")
    venv.offer(Wheel("two", "2.0", requires=("not-followed",)))
    wanted.write_text("two==2.0\nthree-3\n")
    dry = venv.done("sync", "--dry-run", str(wanted)).out
    assert "- one 1.0" in dry and "two 1.0 → 2.0" in dry and "+ three-3 1.0" in dry
    venv.done("sync", "-r", str(wanted))
    assert venv.projects() == ["three_3-1.0", "two-2.0"]
    assert len(venv.history()) == 2
    venv.shipway("undo")
    assert venv.projects() == ["one-1.0", "two-1.0"]


def test_sync_leaves_pip_itself(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "venv", tmp_path / "wheels", with_pip=True)
    there = venv.projects()
    venv.offer(ONE)
    (tmp_path / "wanted.txt").write_text("one\n")
    venv.done("sync", str(tmp_path / "wanted.txt"))
    assert venv.projects() == sorted([*there, "one-1.0"])
