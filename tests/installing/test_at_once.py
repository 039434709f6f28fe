"""Several `shipway pip install` at once into one environment: all succeed, and what is there is whole."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.shop import command
from tests.installing.shop import Venv, false_records, offline
from tests.installing.wheels import Wheel, big

ROUNDS = int(os.environ.get("SHIPWAY_TEST_ROUNDS", "2"))
"""More of them, with pip and uv counted by the same judge: `make proof PROOF="--full --attacks environments"`."""
ROUNDS_OF_PIP = 4
FILES = 60

SETS = (
    ("app==1.0",),
    ("app==2.0",),
    ("lib==1.0", "other"),
    ("lib==2.0",),
    ("other", "shared-a"),
    ("shared-a", "shared-b"),
)


def offer(venv: Venv) -> None:
    for version in ("1.0", "2.0"):
        lib = big(version, FILES, "lib")
        venv.offer(lib, Wheel("app", version, big(version, FILES, "app").files, ("lib",), scripts={"app": "app:main"}))
    stray = {"tests/__init__.py": "", "tests/same.py": "x = 1\n"}
    venv.offer(Wheel("other", requires=("lib>=1",)), Wheel("shared-a", files=stray), Wheel("shared-b", files=stray))


def at_once(venv: Venv, tool: list[str]) -> list[tuple[int, str]]:
    """Exit code and words of each process."""
    started = [
        subprocess.Popen(
            [*tool, "install", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=offline(venv.wheels),
        )
        for words in SETS
    ]
    said = [process.communicate()[0] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


@pytest.mark.alone
def test_overlapping_sets_of_differing_versions_leave_one_whole_environment(venv: Venv) -> None:
    offer(venv)
    for _ in range(ROUNDS):
        for code, text in at_once(venv, command("-p", str(venv.root), "pip")):
            assert code == 0, text
            assert "Traceback" not in text
            assert "somebody else" not in text, "each of them is one of us"
        assert false_records(venv.site) == []
        names = [project.partition("-")[0] for project in venv.projects()]
        assert sorted(names) == ["app", "lib", "other", "shared_a", "shared_b"]
        venv.done("check")
        venv.shipway("verify")
        versions = {name: venv.says(f"import {name}; print({name}.VERSION)") for name in ("app", "lib")}
        assert {f"{name}-{version}" for name, version in versions.items()} <= set(venv.projects())


@pytest.mark.alone
def test_pip_itself_leaves_a_broken_environment(venv: Venv) -> None:
    """The naive twin, by the same check: without it nobody would know that the check can fail."""
    offer(venv)
    for _ in range(ROUNDS_OF_PIP):
        codes = [code for code, _ in at_once(venv, [sys.executable, "-m", "pip", "--python", venv.python])]
        names = [project.partition("-")[0] for project in venv.projects()]
        if any(codes) or false_records(venv.site) or len(names) != len(set(names)):
            return
    pytest.fail("pip came through, so the test above proves nothing")
