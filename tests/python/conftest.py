"""Real interpreters of many versions, wherever this machine has them."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.python.interpreter import Interpreter, inspect

VERSIONS = ("2.7", "3.6", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


@cache
def find(version: str) -> Interpreter | None:
    """An interpreter of this version that runs: from pyenv, or on the path (where pyenv's launchers may only pretend)."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python{version}"))]
    for path in [*places, shutil.which(f"python{version}")]:
        try:
            found = inspect(path) if path else None
        except ShipwayError:
            continue
        if found and found.version[:2] == tuple(int(part) for part in version.split(".")):
            return found
    return None


def demand(version: str) -> Interpreter:
    found = find(version)
    if found is None:
        pytest.skip(f"Python {version} is neither in PYENV_ROOT nor on the path")
    return found


@pytest.fixture(params=VERSIONS)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Every version in turn."""
    return demand(request.param)


@pytest.fixture(params=["2.7", "3.11"])
def either_layout(request: pytest.FixtureRequest) -> Interpreter:
    """One that keeps bytecode beside the source, and one with `__pycache__`."""
    return demand(request.param)


@pytest.fixture
def python2() -> Interpreter:
    return demand("2.7")


@pytest.fixture
def python3() -> Interpreter:
    """The one that runs the tests."""
    import sys

    return inspect(sys.executable)
