"""A stand-in for an interpreter of another bytecode: this one, saying and writing another magic number.

CPython changes the number between minor versions alone, so two real interpreters of one minor version always agree.  The stand-in
answers `-c`, which is how interpreters are asked and made to compile; anything else runs on the real one.
"""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = """\
#!{python}
import os, sys
import _frozen_importlib_external as external
import importlib.util
if "-c" not in sys.argv:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
external.MAGIC_NUMBER = importlib.util.MAGIC_NUMBER = bytes.fromhex({magic!r})
place = sys.argv.index("-c")
code = sys.argv[place + 1]
sys.argv[:] = ["-c", *sys.argv[place + 2:]]
sys.executable = {path!r} or os.path.abspath(__file__)
exec(compile(code, "<string>", "exec"), {{"__name__": "__main__"}})
"""


def write(path: Path, magic: str, python: str = sys.executable, executable: str = "") -> Path:
    """Write one; `magic` is in hex, `python` what runs it.  It says that it lies at `executable`, else where it does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(SCRIPT.format(python=python, magic=magic, path=executable))
    path.chmod(0o755)
    return path


def magic_of(bytecode: Path) -> str:
    """What bytecode begins with, in hex."""
    return bytecode.read_bytes()[:4].hex()
