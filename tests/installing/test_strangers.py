"""What pip installed, broke, or changed behind our back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.installing.shop import Venv, false_records, tree
from tests.installing.wheels import Wheel


def version(number: str) -> Wheel:
    only = {f"thing/only_{number[0]}.py": f"# {number}\n", f"thing-{number}.data/data/share/thing/x{number[0]}": "x"}
    start = {"thing/__init__.py": f'VERSION = "{number}"\n\n\ndef main():\n    print(VERSION)\n'}
    return Wheel("thing", number, {**start, **only}, scripts={"thing": "thing:main"})


OLD, NEW = version("1.0"), version("2.0")


@pytest.fixture
def theirs(venv: Venv) -> Venv:
    """An environment in which pip installed the old version and a bystander."""
    venv.offer(OLD, Wheel("bystander"))
    venv.own_pip("install", "thing", "bystander")
    venv.offer(NEW)
    return venv


def said(venv: Venv, *words: str) -> str:
    ran = venv.done(*words)
    return ran.out + ran.err


def test_an_upgrade_takes_over_and_undo_gives_back(theirs: Venv) -> None:
    before = tree(theirs.root)
    assert "thing 1.0 was installed by somebody else; it was taken over" in said(theirs, "install", "-U", "thing")
    assert theirs.says("import thing; print(thing.VERSION)") == "2.0"
    assert not (theirs.site / "thing/only_1.py").exists() and not (theirs.root / "share/thing/x1").exists()
    assert false_records(theirs.site) == []
    theirs.shipway("verify")
    theirs.shipway("undo")
    assert tree(theirs.root) == before
    theirs.shipway("verify")
    theirs.shipway("undo")
    assert tree(theirs.root) == before, "what was there before Shipway stays when it forgets it"
    assert theirs.shipway("--json", "list").json == []
    theirs.shipway("redo")
    assert [p["name"] for p in theirs.shipway("--json", "list").json] == ["thing"]
    theirs.done("install", "-U", "thing")
    assert theirs.projects() == ["bystander-1.0", "thing-2.0"]


def test_an_uninstall_takes_over_and_leaves_nothing_but_can_be_undone(theirs: Venv) -> None:
    before = tree(theirs.root)
    said(theirs, "uninstall", "-y", "thing")
    assert [path for path in tree(theirs.root, bytecode=True) if "thing" in path] == []
    assert theirs.says("import bystander; print(bystander.VERSION)") == "1.0"
    theirs.shipway("undo")
    assert tree(theirs.root) == before


def no_record(venv: Venv) -> None:
    (venv.site / "thing-1.0.dist-info/RECORD").unlink()


def tilde(venv: Venv) -> None:
    """What pip leaves when it is killed while it uninstalls."""
    (venv.site / "~hing").mkdir()
    (venv.site / "~hing/__init__.py").write_text("")
    (venv.site / "~hing-0.9.dist-info").mkdir()
    (venv.site / "~hing-0.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 0.9\n")


def doubled(venv: Venv) -> None:
    """What two pips that install at once leave."""
    info = venv.site / "thing-0.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 0.9\n")
    (info / "RECORD").write_text(
        "thing/__init__.py,,\nthing/only_1.py,,\nthing-0.9.dist-info/RECORD,,\nthing-0.9.dist-info/METADATA,,\n"
    )


def empty_info(venv: Venv) -> None:
    """What pip leaves when it is killed while it installs, or a full disk."""
    for file in (venv.site / "thing-1.0.dist-info").iterdir():
        file.unlink()


def missing_files(venv: Venv) -> None:
    (venv.site / "thing/only_1.py").unlink()
    (venv.root / "bin/thing").unlink()


DAMAGES: list[Callable[[Venv], None]] = [no_record, tilde, doubled, empty_info, missing_files]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_healed_by_an_upgrade_and_undoable(damage: Callable[[Venv], None], theirs: Venv) -> None:
    damage(theirs)
    before = tree(theirs.root)
    said(theirs, "install", "-U", "thing")
    assert theirs.projects() == ["bystander-1.0", "thing-2.0"]
    assert theirs.says("import thing; print(thing.VERSION)") == "2.0"
    assert [path.name for path in theirs.site.iterdir() if path.name.startswith("~")] == []
    assert not (theirs.site / "thing/only_1.py").exists()
    assert false_records(theirs.site) == []
    theirs.shipway("verify")
    theirs.shipway("undo")
    assert tree(theirs.root) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_can_be_removed(damage: Callable[[Venv], None], theirs: Venv) -> None:
    damage(theirs)
    said(theirs, "uninstall", "-y", "thing")
    assert theirs.projects() == ["bystander-1.0"]
    assert [path.name for path in theirs.site.iterdir() if "hing" in path.name] == []


def test_what_pip_upgraded_behind_our_back_is_told(venv: Venv) -> None:
    venv.offer(OLD)
    venv.done("install", "thing")
    venv.offer(NEW)
    venv.own_pip("install", "-U", "thing")
    told = said(venv, "install", "thing")
    assert "thing 1.0 is 2.0 now: somebody else changed it" in told
    venv.offer(version("3.0"))
    venv.done("install", "-U", "thing")
    assert venv.projects() == ["thing-3.0"]
    assert false_records(venv.site) == []
    venv.shipway("verify")
    assert "somebody else" not in said(venv, "install", "thing")


def test_what_pip_installed_again_behind_our_back_is_told(venv: Venv) -> None:
    """The same version: only who installed it gives it away."""
    venv.offer(OLD)
    venv.done("install", "thing")
    venv.own_pip("install", "--force-reinstall", "thing")
    venv.offer(NEW)
    told = said(venv, "install", "-U", "thing")
    assert "somebody else" in told
    assert venv.projects() == ["thing-2.0"]
    assert false_records(venv.site) == []
    venv.shipway("verify")


def test_what_pip_removed_behind_our_back_is_told(venv: Venv) -> None:
    venv.offer(OLD)
    venv.done("install", "thing")
    venv.own_pip("uninstall", "-y", "thing")
    told = said(venv, "install", "thing")
    assert "thing 1.0 is gone: somebody else changed it" in told
    assert venv.script("thing") == "1.0"
    venv.shipway("verify")


def test_a_merged_recipe_and_pip_mean_the_same_project(venv: Venv, tmp_path: Path) -> None:
    """A package has one identity, whichever way it came in."""
    stage = tmp_path / "stage"
    wheel = OLD.members() | dict([OLD.record(OLD.members())])
    for path, data in wheel.items():
        if ".data/" not in path:
            file = stage / venv.site.relative_to(venv.root) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    venv.shipway("merge", str(stage), "--name", "pkg:pypi/thing", "--version", "1.0")
    venv.offer(NEW)
    assert "1.0 → 2.0" in said(venv, "install", "-U", "thing")
    assert [p["version"] for p in venv.shipway("--json", "list").json] == ["2.0"]
