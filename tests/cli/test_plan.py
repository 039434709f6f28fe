"""`shipway plan`, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import make_tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, needs, more in (
        ("a", [], ""),
        ("b", ["a"], 'system.program = "sh"'),
        ("c", ["b"], "experimental = true"),
    ):
        directory = tmp_path / "recipes" / name
        directory.mkdir(parents=True)
        text = f'name = "{name}"\nversion = "1"\nphases.install = "true"\ndependencies.build = {json.dumps(needs)}\n{more}\n'
        (directory / "recipe.toml").write_text(text)
    (tmp_path / "prefix").mkdir()
    return tmp_path


def plan(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    before = ["-p", str(place / "prefix"), "plan", "--recipes", str(place / "recipes")]
    return subprocess.run([sys.executable, "-m", "shipway", *before, *words], capture_output=True, text=True)


def deeds(place: Path, *words: str) -> dict[str, str]:
    done = plan(place, "--json", *words)
    assert done.returncode == 0, done.stderr
    return {step["name"]: step["deed"] for step in json.loads(done.stdout)["steps"]}


def test_the_plan_names_what_is_built_in_order_with_its_reason(place: Path) -> None:
    assert [line.split()[:3] for line in plan(place, "b").stdout.splitlines()] == [
        ["build", "a", "1"],
        ["build", "b", "1"],
    ]
    assert "it is not installed" in plan(place, "b").stdout


def test_the_host_is_asked_only_if_it_may_be(place: Path) -> None:
    assert deeds(place, "c") == {"a": "build", "b": "build", "c": "build"}
    assert deeds(place, "c", "--system", "b") == {"b": "host", "c": "build"}
    assert deeds(place, "c", "--system", "auto") == {"b": "host", "c": "build"}
    assert deeds(place, "b", "--system", "auto") == {"a": "build", "b": "build"}


def test_all_leaves_out_what_is_experimental(place: Path) -> None:
    assert "c" not in deeds(place, "--all") and {"a", "b", "zlib"} <= set(deeds(place, "--all"))


def test_what_was_merged_by_hand_is_built_since_nobody_knows_from_what(place: Path) -> None:
    stage = make_tree(place / "stage", {"bin/a": "a"})
    words = ["-p", str(place / "prefix"), "merge", str(stage), "--name", "a", "--version", "1"]
    subprocess.run([sys.executable, "-m", "shipway", *words], check=True, capture_output=True)
    assert "nobody knows what it was built from" in plan(place, "a").stdout


@pytest.mark.parametrize("words", [[], ["a", "--all"], ["nonsense"], ["a", "--system", "nonsense"]])
def test_what_cannot_be_meant_is_refused(place: Path, words: list[str]) -> None:
    done = plan(place, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (place / "prefix/var").exists()


def test_toolchain_is_named_with_its_reasons(place: Path) -> None:
    recipe = place / "recipes/a/recipe.toml"
    recipe.write_text(f"exclusive = true\n{recipe.read_text()}")
    stage = make_tree(place / "stage", {"lib/python2.7/site-packages/queue/__init__.py": "", "lib/b": ""})
    words = ["-p", str(place / "prefix"), "merge", str(stage), "--name", "b", "--version", "1", "--python", ""]
    subprocess.run([sys.executable, "-m", "shipway", *words], check=True, capture_output=True)
    why = "brings queue, named like a standard module of Python 3, in lib/python2.7/site-packages"
    steps = {step["name"]: step["exclusive"] for step in json.loads(plan(place, "--json", "c").stdout)["steps"]}
    assert steps == {"a": ["its recipe says so"], "b": [why], "c": []}
    said = plan(place, "c").stdout
    assert "a is toolchain, and is committed when no build runs: its recipe says so\n" in said
    assert f"b is toolchain, and is committed when no build runs: {why}\n" in said
