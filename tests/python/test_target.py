"""Where packages go, asked of interpreters of many versions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shipway.python.target import of_directory, of_interpreter, of_prefix, outgrown
from tests.python.conftest import demand


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.13"])
def test_every_version_says_where_packages_go(version: str, tmp_path: Path) -> None:
    python = demand(version)
    subprocess.run([python.path, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    target = of_interpreter(str(tmp_path / "venv/bin/python"))
    site = f"lib/python{version}/site-packages"
    assert target.libraries == (str(tmp_path / "venv" / site),) and not target.managed
    assert target.interpreter and target.interpreter[1:5] == python[1:5]
    assert outgrown(target) == ""
    assert of_prefix(python.path, str(tmp_path / "p")).libraries == (str(tmp_path / "p" / site),)
    assert of_directory(python.path, str(tmp_path / "d")).libraries == (str(tmp_path / "d"),)
