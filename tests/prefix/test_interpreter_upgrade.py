"""An interpreter that is a package of the prefix, or lies in it, becomes another: what it runs is compiled anew (I6)."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from shipway.api import Prefix, staged
from shipway.prefix.change import Intent
from shipway.recompiling import Follower, for_upgrade
from tests.cli.shop import Ran, plain
from tests.harness import make_tree
from tests.python import standin
from tests.python.conftest import demand

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = sys.implementation.cache_tag
SITE = f"lib/python{VERSION}/site-packages"
REAL = importlib.util.MAGIC_NUMBER.hex()
OLD, NEW = "aa0d0d0a", "bb0d0d0a"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "prefix", {})


def shipway(root: Path, *words: str) -> Ran:
    ran = plain("-p", str(root), *words)
    assert ran.code == 0, ran.err + ran.out
    return ran


def merge(root: Path, stage: Path, name: str, version: str) -> Ran:
    return shipway(root, "merge", str(stage), "--name", name, "--version", version)


def python(place: Path, magic: str) -> Path:
    """A staged tree of an interpreter, and a module of its own."""
    standin.write(place / "bin/python3", magic)
    return make_tree(place, {f"lib/python{VERSION}/own.py": "OWN = 1\n"})


def tool(place: Path, version: str = "1") -> Path:
    files = {
        f"{SITE}/tool/__init__.py": f"VERSION = {version}\n",
        f"{SITE}/tool/deep/more.py": "",
        "share/tool/plug.py": "",
    }
    return make_tree(place, {**files, "lib/python2.7/old.py": "", "share/tool/data": "1"})


def bytecode(root: Path) -> dict[str, str]:
    """The magic number of all bytecode that is live."""
    live = [path for path in root.rglob("*.pyc") if "var/lib/shipway" not in str(path)]
    return {str(path.relative_to(root)): standin.magic_of(path) for path in live}


def expected(magic: str) -> dict[str, str]:
    own = [
        f"lib/python{VERSION}/__pycache__/own",
        f"{SITE}/tool/__pycache__/__init__",
        f"{SITE}/tool/deep/__pycache__/more",
    ]
    return {f"{stem}.{TAG}.pyc": magic for stem in (*own, "share/tool/__pycache__/plug")}


def test_an_upgrade_compiles_anew_what_depends_on_it_in_its_own_transaction(root: Path, tmp_path: Path) -> None:
    merge(root, python(tmp_path / "old", OLD), "python", "3.11.1")
    merge(root, tool(tmp_path / "tool"), "tool", "1")
    rest = {f"lib/python2.7/__pycache__/old.{TAG}.pyc": OLD}
    assert bytecode(root) == expected(OLD) | rest
    ran = merge(root, python(tmp_path / "new", NEW), "python", "3.11.2")
    assert "bytecode of 1 package is compiled anew" in ran.err
    assert bytecode(root) == expected(NEW) | rest
    rows = shipway(root, "--json", "history").json
    assert len(rows) == 3 and {each["name"] for each in rows[0]["changes"]} == {"python", "tool"}
    shipway(root, "verify")
    shipway(root, "undo")
    assert bytecode(root) == expected(OLD) | rest
    shipway(root, "verify")
    shipway(root, "redo")
    assert bytecode(root) == expected(NEW) | rest


def test_an_upgrade_with_the_same_bytecode_touches_nothing_else(root: Path, tmp_path: Path) -> None:
    merge(root, python(tmp_path / "old", OLD), "python", "3.11.1")
    merge(root, tool(tmp_path / "tool"), "tool", "1")
    make_tree(tmp_path / "new", {"share/news": "1"})
    merge(root, python(tmp_path / "new", OLD), "python", "3.11.2")
    rows = shipway(root, "--json", "history").json
    assert [each["name"] for each in rows[0]["changes"]] == ["python"]


def test_undoing_an_upgrade_compiles_what_came_after_it(root: Path, tmp_path: Path) -> None:
    merge(root, python(tmp_path / "old", OLD), "python", "3.11.1")
    merge(root, python(tmp_path / "new", NEW), "python", "3.11.2")
    merge(root, tool(tmp_path / "tool"), "tool", "1")
    shipway(root, "undo", "2")
    assert expected(OLD).items() <= bytecode(root).items()
    shipway(root, "verify")


@pytest.mark.parametrize(("before", "after"), [("3.12", "3.13"), ("3.10", "3.12")])
def test_a_real_interpreter_of_another_version(before: str, after: str, root: Path, tmp_path: Path) -> None:
    """Packages of the old version's own site-packages stay with it: nobody moves them."""
    for version in (before, after):
        stage = tmp_path / version
        (stage / "bin").mkdir(parents=True)
        shutil.copy2(Path(demand(version).path).resolve(), stage / "bin/python3")
        make_tree(stage, {f"lib/python{version}/own.py": "OWN = 1\n"})
    merge(root, tmp_path / before, "python", before)
    files = {f"lib/python{before}/site-packages/tool.py": "", "share/tool/plug.py": "X = 1\n"}
    merge(root, make_tree(tmp_path / "tool", files), "tool", "1")
    merge(root, tmp_path / after, "python", after)
    old, new = (f"cpython-{version.replace('.', '')}.pyc" for version in (before, after))
    assert set(bytecode(root)) == {
        f"lib/python{before}/site-packages/__pycache__/tool.{old}",
        f"lib/python{after}/__pycache__/own.{new}",
        f"share/tool/__pycache__/plug.{new}",
    }
    shipway(root, "verify")
    shipway(root, "undo")
    assert f"share/tool/__pycache__/plug.{old}" in bytecode(root)


def test_a_package_that_was_upgraded_meanwhile_keeps_its_new_version(root: Path, tmp_path: Path) -> None:
    merge(root, python(tmp_path / "old", OLD), "python", "3.11.1")
    merge(root, tool(tmp_path / "tool"), "tool", "1")
    with Prefix(str(root)) as prefix:
        image = prefix.seal_staged(staged(str(python(tmp_path / "new", NEW)), "python", "3.11.2"))
        targets = {image.package.identity: image.package}
        found = for_upgrade(prefix.site, prefix.library, targets)
        assert found is not None and list(found.packages) == ["pkg:generic/tool"]
        merge(root, tool(tmp_path / "next", "2"), "tool", "2")
        prefix.run(Intent(targets, follow=Follower(prefix.site, prefix.library, found)), "upgrade")
    assert {each["name"]: each["version"] for each in shipway(root, "--json", "list").json}["tool"] == "2"
    assert (root / SITE / "tool/__init__.py").read_text() == "VERSION = 2\n"
    ran = shipway(root, "verify")
    assert "bytecode of 1 package was made for Python" in ran.err and "`shipway repair` compiles it anew" in ran.err


def test_an_interpreter_that_somebody_replaced_is_noticed_and_repaired(root: Path, tmp_path: Path) -> None:
    standin.write(root / "bin/python3", OLD)
    merge(root, tool(tmp_path / "tool"), "tool", "1")
    assert "bytecode" not in shipway(root, "verify").err
    standin.write(root / "bin/python3", NEW)
    assert "`shipway repair` compiles it anew" in shipway(root, "verify").err
    ran = shipway(root, "repair")
    assert "bytecode compiled anew" in ran.out
    live = bytecode(root)
    assert (
        live[f"{SITE}/tool/__pycache__/__init__.{TAG}.pyc"]
        == live[f"{SITE}/tool/deep/__pycache__/more.{TAG}.pyc"]
        == NEW
    )
    assert "bytecode" not in shipway(root, "verify").err
    assert "nothing to do" in shipway(root, "repair").out
