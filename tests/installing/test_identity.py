"""A package has one identity: what a recipe merged, pip upgrades, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shop import Ran, command
from tests.installing.shop import Venv, false_records, run, tree
from tests.installing.wheels import Wheel


def version(number: str, name: str = "thing") -> Wheel:
    module = name.replace("-", "_")
    only = {f"{module}/only_{number[0]}.py": f"# {number}\n", f"{module}/__init__.py": f'VERSION = "{number}"\n'}
    return Wheel(name, number, only)


def stage(venv: Venv, place: Path, *wheels: Wheel, metadata: bool = True) -> str:
    """What a recipe leaves of wheels: their files where they shall lie."""
    for wheel in wheels:
        members = wheel.members()
        for path, data in [*members.items(), wheel.record(members)]:
            file = place / venv.site.relative_to(venv.root) / path
            if metadata or ".dist-info/" not in path:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
    return str(place)


def merged(venv: Venv, tree: str, name: str, version: str) -> Ran:
    return venv.shipway("merge", tree, "--name", name, "--version", version)


def listed(venv: Venv) -> list[tuple[str, str]]:
    return [(each["identity"], each["version"]) for each in venv.shipway("--json", "list").json]


def sound(venv: Venv, project: str, number: str) -> None:
    """One package, one dist-info, all as recorded."""
    module = project.replace("-", "_")
    assert listed(venv) == [(f"pkg:pypi/{project}", number)]
    assert venv.projects() == [f"{module}-{number}"]
    assert not (venv.site / module / "only_1.py").exists()
    assert venv.says(f"import {module}; print({module}.VERSION)") == number
    assert false_records(venv.site) == []
    venv.shipway("verify")


@pytest.mark.parametrize("name", ["thing", "Thing", "py-thing", "pkg:pypi/Thing"])
def test_what_was_merged_is_upgraded_by_pip_in_one_transaction(name: str, venv: Venv, tmp_path: Path) -> None:
    merged(venv, stage(venv, tmp_path / "stage", version("1.0")), name, "1.0")
    before = tree(venv.root)
    venv.offer(version("2.0"))
    assert "thing 1.0 → 2.0" in venv.done("install", "-U", "thing").out
    sound(venv, "thing", "2.0")
    assert len(venv.history()) == 2
    venv.shipway("undo")
    assert tree(venv.root) == before


@pytest.mark.parametrize("name", ["thing", "Thing", "python-thing"])
def test_what_pip_installed_is_upgraded_by_a_merge_in_one_transaction(name: str, venv: Venv, tmp_path: Path) -> None:
    venv.offer(version("1.0"))
    venv.done("install", "thing")
    before = tree(venv.root)
    assert "instead of 1.0" in merged(venv, stage(venv, tmp_path / "stage", version("2.0")), name, "2.0").out
    sound(venv, "thing", "2.0")
    assert len(venv.history()) == 2
    venv.shipway("undo")
    assert tree(venv.root) == before
    venv.shipway("remove", "Thing")
    assert venv.projects() == []


def test_names_that_normalise_equal_are_one(venv: Venv, tmp_path: Path) -> None:
    merged(venv, stage(venv, tmp_path / "stage", version("1.0", "Foo_Bar")), "foo-bar", "1.0")
    venv.offer(version("2.0", "foo-bar"))
    venv.done("install", "FOO.bar>1")
    sound(venv, "foo-bar", "2.0")
    merged(venv, stage(venv, tmp_path / "again", version("3.0", "foo_bar")), "Foo.Bar", "3.0")
    sound(venv, "foo-bar", "3.0")


def test_what_pip_itself_installed_is_taken_over_by_a_merge(venv: Venv, tmp_path: Path) -> None:
    venv.offer(version("1.0"))
    venv.own_pip("install", "thing")
    before = tree(venv.root)
    staged = stage(venv, tmp_path / "stage", version("2.0"))
    would = run(
        command("-p", str(venv.root), "merge", staged, "--name", "thing", "--version", "2.0", "--dry-run"), venv.wheels
    )
    assert "thing 1.0, which somebody else installed, would be taken over first" in would.err and listed(venv) == []
    ran = merged(venv, staged, "thing", "2.0")
    assert "thing 1.0 was installed by somebody else; it was taken over as it was" in ran.err
    sound(venv, "thing", "2.0")
    venv.shipway("undo")
    venv.shipway("undo")
    assert tree(venv.root) == before


def test_a_recipe_that_begins_to_bring_metadata_replaces_itself(venv: Venv, tmp_path: Path) -> None:
    merged(venv, stage(venv, tmp_path / "old", version("1.0"), metadata=False), "thing", "1.0")
    assert listed(venv) == [("pkg:generic/thing", "1.0")]
    merged(venv, stage(venv, tmp_path / "new", version("2.0")), "thing", "2.0")
    sound(venv, "thing", "2.0")
    assert len(venv.history()) == 2


def test_a_version_of_its_own_and_metadata_that_is_not_there_are_no_change(venv: Venv, tmp_path: Path) -> None:
    """Recipes count their patches in versions, and not all of them leave metadata."""
    merged(venv, stage(venv, tmp_path / "a", version("1.0")), "thing", "1.0.p3")
    merged(venv, stage(venv, tmp_path / "b", version("1.0", "bare"), metadata=False), "pkg:pypi/bare", "1.0")
    venv.offer(Wheel("bystander"))
    assert "somebody else" not in venv.done("install", "bystander").err
    assert ("pkg:pypi/bare", "1.0") in listed(venv) and ("pkg:pypi/thing", "1.0.p3") in listed(venv)


def test_a_part_of_another_package_is_not_taken_out_of_it(venv: Venv, tmp_path: Path) -> None:
    merged(venv, stage(venv, tmp_path / "stage", version("1.0"), Wheel("more")), "python", "3.11.7")
    before = tree(venv.root)
    venv.offer(version("2.0"))
    ran = run(command("-p", str(venv.root), "pip", "install", "-U", "thing"), venv.wheels)
    assert ran.code == 3 and "thing 1.0 is part of python 3.11.7" in ran.err
    assert venv.pip("uninstall", "-y", "thing").code == 3
    assert "left alone: thing 1.0 is part of python 3.11.7" in venv.shipway("adopt", "--all").err
    assert tree(venv.root) == before and len(venv.history()) == 1
