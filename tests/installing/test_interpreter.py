"""The interpreter of an environment becomes another one behind our back."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.installing.shop import Venv
from tests.installing.wheels import Wheel
from tests.python import standin
from tests.python.conftest import demand

TAG = sys.implementation.cache_tag
NEW = "bb0d0d0a"


def other(venv: Venv, magic: str) -> None:
    """The environment's python says another magic number from now on."""
    real = venv.root / "bin/python-real"
    if not real.exists():
        real.symlink_to((venv.root / "bin/python").resolve())
    for name in ("python", "python3"):
        standin.write(venv.root / "bin" / name, magic, str(real), str(venv.root / "bin" / name))


def magic(venv: Venv, module: str) -> str:
    return standin.magic_of(Path(venv.site / f"__pycache__/{module}.{TAG}.pyc"))


def test_the_next_command_says_so_and_the_next_change_compiles_anew(venv: Venv) -> None:
    venv.offer(Wheel("one"), Wheel("two"))
    venv.done("install", "one")
    old = magic(venv, "one")
    other(venv, NEW)
    said = venv.done("install", "one").err
    assert "bytecode of 1 package was made for Python" in said and "the next change compiles it anew" in said
    assert magic(venv, "one") == old
    assert "bytecode of 1 package is compiled anew" in venv.done("install", "two").err
    assert magic(venv, "one") == magic(venv, "two") == NEW
    assert len(venv.history()) == 2
    assert "bytecode" not in venv.done("install", "two").err
    venv.shipway("verify")


def test_repair_compiles_anew(venv: Venv) -> None:
    venv.offer(Wheel("one"))
    venv.done("install", "one")
    other(venv, NEW)
    assert "`shipway repair` compiles it anew" in venv.shipway("verify").err
    venv.shipway("repair")
    assert magic(venv, "one") == NEW
    venv.shipway("verify")


def test_an_environment_that_was_made_for_another_version_is_told(venv: Venv) -> None:
    """The distribution replaced 3.X by 3.Y: pyvenv.cfg says what it was."""
    venv.offer(Wheel("one"))
    configuration = venv.root / "pyvenv.cfg"
    now = f"{sys.version_info[0]}.{sys.version_info[1]}."
    configuration.write_text(configuration.read_text().replace(f"version = {now}", "version = 3.2."))
    assert "was made for Python 3.2, and its interpreter is another now" in venv.done("install", "one").err


def test_what_lies_where_an_interpreter_does_not_look_is_not_forgotten(venv: Venv) -> None:
    venv.offer(Wheel("one"), Wheel("two"))
    venv.done("install", "one")
    assert "somebody else" not in venv.done("install", "--python", demand("3.12").path, "two").err
    assert [each["name"] for each in venv.shipway("--json", "list").json] == ["one", "two"]
    assert (venv.root / "lib/python3.12/site-packages/two.py").is_file()
    venv.shipway("verify")
