"""Editable wheels: a project directory's build backend makes a wheel that leads back to the directory.

Sources: PEP 517 (backends, `backend-path`, `requires`), PEP 518 (build requirements), PEP 660 (`build_editable`).
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from shipway.errors import ShipwayError
from shipway.python.heard import SHOWN, heard
from shipway.python.target import Target
from shipway.python.tools import ToolError

_LEGACY = {"requires": ["setuptools>=64"], "build-backend": "setuptools.build_meta:__legacy__"}

# Runs in the target's interpreter, in the project's directory.  Its one line of answer comes last on stdout.
_HOOK = """\
import importlib, json, sys
name, path, hook, arguments = json.loads(sys.argv[1])
sys.path[:0] = path
module, _, attribute = name.partition(":")
backend = importlib.import_module(module)
for part in filter(None, attribute.split(".")):
    backend = getattr(backend, part)
found = getattr(backend, hook, None)
if found is None and hook == "build_editable":
    sys.exit("the build backend %s knows no editable installs (PEP 660)" % name)
print("\\n" + json.dumps(found(*arguments) if found else []))
"""


class _Backend(NamedTuple):
    name: str
    requires: list[str]
    path: list[str]


Install = Callable[[Sequence[str], str], None]
"""Installs requirements into a directory."""


def build(target: Target, directory: str, area: str, install: Install | None) -> str:
    """Build an editable wheel of a directory; returns its path.  Raises ShipwayError with the backend's last words.

    `install` provides what the build needs; None if the environment already has it (`--no-build-isolation`).
    """
    backend = _backend(directory)
    tools = f"{area}/tools"
    if install is not None:
        _provide(install, backend.requires, tools)
        _provide(install, _call(target, directory, backend, tools, ("get_requires_for_build_editable",)), tools)
    name = _call(target, directory, backend, tools, ("build_editable", area))
    return f"{area}/{name}"


def _provide(install: Install, requirements: Sequence[str], tools: str) -> None:
    if requirements:
        install(requirements, tools)


def _backend(directory: str) -> _Backend:
    """What pyproject.toml says of the build; without it setuptools builds."""
    try:
        with open(f"{directory}/pyproject.toml", "rb") as file:
            said = tomllib.load(file).get("build-system", {})
    except FileNotFoundError:
        said = {}
    except tomllib.TOMLDecodeError as error:
        raise ShipwayError(f"{directory}/pyproject.toml cannot be read: {error}") from error
    path = [os.path.join(directory, each) for each in said.get("backend-path", ())]
    name = said.get("build-backend", _LEGACY["build-backend"])
    return _Backend(name, list(said.get("requires", _LEGACY["requires"])), path)


def _call(target: Target, directory: str, backend: _Backend, tools: str, hook: tuple[str, ...]) -> Any:
    name, *arguments = hook
    question = json.dumps([backend.name, [*backend.path, tools], name, arguments])
    environment = {**os.environ, "PYTHONPATH": tools, "PATH": f"{tools}/bin:{os.environ.get('PATH', '')}"}
    done = heard([target.python, "-c", _HOOK, question], environment, directory)
    if done.code:
        message = f"{directory} could not be built as editable"
        raise ToolError(message, done.lines, done.lines[-SHOWN:], "the build backend's")
    return json.loads(done.stdout.rstrip().rpartition("\n")[2])
