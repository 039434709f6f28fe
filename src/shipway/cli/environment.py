"""Which Python environment is meant: what stands after `pip`, then -p PREFIX, VIRTUAL_ENV, the nearest .venv."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.python.pip_arguments import Arguments
    from shipway.python.target import Target


def target_of(call: Call, arguments: Arguments) -> Target:
    """Where a command line wants packages.  Raises UsageError if there is no such place, ShipwayError if its interpreter cannot be asked."""
    from shipway.python.target import of_directory, of_interpreter, of_prefix

    python = arguments.python and _executable(arguments.python)
    if arguments.directory:
        return of_directory(python or interpreter_of(call), arguments.directory)
    if arguments.prefix:
        return of_prefix(python or interpreter_of(call), arguments.prefix)
    if arguments.system:
        return of_interpreter(_executable("python3"))
    if python and call.prefix:
        return of_prefix(python, call.prefix)
    return of_interpreter(python or interpreter_of(call, strict=True))


def _executable(word: str) -> str:
    """An interpreter by name, by path, or by the directory of its environment (as pip's --python)."""
    for path in (f"{word}/bin/python", f"{word}/bin/python3"):
        if os.path.isfile(path):
            return os.path.abspath(path)
    found = shutil.which(word)
    if found is None:
        raise UsageError(f"there is no interpreter {word}")
    return os.path.abspath(found)


def interpreter_of(call: Call, *, strict: bool = False) -> str:
    """That of the prefix, of VIRTUAL_ENV, or of the nearest .venv; unless `strict`, else the one on PATH."""
    from shipway.python.interpreter import of_prefix

    places: list[Callable[[], str]] = [lambda: call.prefix, lambda: os.environ.get("VIRTUAL_ENV", ""), _nearest_venv]
    for place in places:
        root = place()
        found = of_prefix(os.path.abspath(root)) if root else None
        if found:
            return found
        if root:
            raise UsageError(
                f"{root} has no Python of its own", hint="say which after the command: pip install -p EXE …"
            )
    if not strict:
        return _executable("python3")
    raise UsageError("there is no environment to install into", hint="make one: python3 -m venv .venv")


def _nearest_venv() -> str:
    directory = os.getcwd()
    while not os.path.isfile(f"{directory}/.venv/pyvenv.cfg"):
        above = os.path.dirname(directory)
        if above == directory:
            return ""
        directory = above
    return f"{directory}/.venv"
