"""Shipway and pip in the environment that they change: their own upgrade and removal (I10)."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tests.cli.shop import Ran
from tests.installing.shop import Venv, make_venv, run
from tests.installing.wheels import Wheel

SOURCE = Path(__file__).parents[2] / "src"


def shipway(version: str) -> Wheel:
    """A wheel of this very code, under another version."""
    files = {str(path.relative_to(SOURCE)): path.read_text() for path in sorted(SOURCE.rglob("shipway/**/*.py"))}
    text = files["shipway/__init__.py"]
    line = next(line for line in text.splitlines() if line.startswith("__version__"))
    files["shipway/__init__.py"] = text.replace(line, f'__version__ = "{version}"')
    return Wheel("shipway", version, files, scripts={"shipway": "shipway.cli.main:main"})


def itself(venv: Venv, *words: str) -> Ran:
    """The environment's own `shipway`; what it needs beside itself comes from the environment of the tests."""
    ran = run([str(venv.root / "bin/shipway"), *words], venv.wheels, PYTHONPATH="", VIRTUAL_ENV=str(venv.root))
    assert ran.code == 0, ran.err + ran.out
    assert "Traceback" not in ran.err
    return ran


def test_shipway_upgrades_and_removes_itself(venv: Venv) -> None:
    venv.offer(shipway("100.0"), shipway("101.0"))
    venv.own_pip("install", "--no-deps", "shipway==100.0")
    (venv.site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    assert itself(venv, "--version").out == "shipway 100.0\n"
    itself(venv, "pip", "install", "--no-deps", "--upgrade", "shipway")
    assert itself(venv, "--version").out == "shipway 101.0\n"
    itself(venv, "verify")
    itself(venv, "undo")
    assert itself(venv, "--version").out == "shipway 100.0\n"
    itself(venv, "redo")
    itself(venv, "pip", "uninstall", "-y", "shipway")
    assert not (venv.root / "bin/shipway").exists() and not (venv.site / "shipway").exists()
    venv.shipway("verify")
    venv.shipway("undo")
    assert itself(venv, "--version").out == "shipway 101.0\n"


def test_pip_is_upgraded_and_removed_like_any_other(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "venv", tmp_path / "wheels", with_pip=True)
    before = venv.projects()
    newer = {"pip/__init__.py": "", "pip/__main__.py": "print('pip 1000')\n"}
    venv.offer(Wheel("pip", "1000", newer, scripts={"pip": "pip.__main__:main"}))
    venv.done("install", "--upgrade", "pip")
    assert venv.says("import runpy; runpy.run_module('pip', run_name='__main__')") == "pip 1000"
    venv.done("uninstall", "-y", "pip")
    assert not (venv.site / "pip").exists()
    assert "setuptools" in venv.done("list").out
    venv.shipway("undo")
    venv.shipway("undo")
    assert venv.projects() == before
    venv.shipway("verify")
