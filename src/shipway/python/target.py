"""Where Python packages go: the environment of an interpreter, or a tree that is not one, and what is installed there.

Sources: PEP 405 (virtual environments), PEP 668 (EXTERNALLY-MANAGED), the installation schemes of `sysconfig`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from shipway.errors import ShipwayError, UsageError
from shipway.python.interpreter import ANSWER_WITHIN, Interpreter
from shipway.python.metadata import text_of

_QUESTION = """\
import importlib.util, json, os, sys, sysconfig
base, scheme = sys.argv[1], None
if base:
    scheme = "posix_prefix"
elif sys.prefix != sys.base_prefix and "venv" in sysconfig.get_scheme_names():
    scheme = "venv"
more = {"base": base, "platbase": base, "installed_base": base, "installed_platbase": base} if base else None
paths = sysconfig.get_paths(scheme, more) if scheme else sysconfig.get_paths()
default = getattr(sysconfig, "get_default_scheme", None) or sysconfig._get_default_scheme  # 3.9 and before
marker = os.path.join(sysconfig.get_path("stdlib", default()), "EXTERNALLY-MANAGED")
venv = sys.prefix != sys.base_prefix
managed = ""
if not venv and not base and os.path.isfile(marker):
    with open(marker, encoding="utf-8", errors="replace") as file:
        managed = file.read()
print(json.dumps({
    "root": base or sys.prefix, "version": list(sys.version_info[:3]), "paths": paths, "venv": venv,
    "managed": managed, "executable": sys.executable, "implementation": sys.implementation.name,
    "cache_tag": sys.implementation.cache_tag, "magic": importlib.util.MAGIC_NUMBER.hex(),
}))
"""


class Target(NamedTuple):
    """A place for Python packages.

    `python` runs what is installed; `root` is the prefix that Shipway keeps a record of.  `paths` are the directories of
    a scheme: purelib, platlib, scripts, data, headers (where each project has a directory of its own).
    `isolated`: what is installed is not what `python` itself would import (`--target`, `--prefix`).  `managed` is the text of
    EXTERNALLY-MANAGED, or "".  `interpreter` is what `python` has answered, None where nobody was asked.
    """

    python: str
    root: str
    paths: Mapping[str, str]
    isolated: bool = False
    managed: str = ""
    interpreter: Interpreter | None = None

    @property
    def libraries(self) -> tuple[str, ...]:
        """The directories in which projects are found, without doubles."""
        return tuple(dict.fromkeys((self.paths["purelib"], self.paths["platlib"])))


def of_interpreter(python: str) -> Target:
    """The environment of an interpreter.  Raises ShipwayError if it cannot be asked."""
    found = _ask(python, "")
    paths = found.paths
    major, minor, _ = found.version
    headers = paths["include"]
    if found.venv:
        headers = os.path.join(found.root, "include", "site", f"python{major}.{minor}")
    return Target(
        found.executable,
        os.path.realpath(found.root),
        _scheme(paths, headers),
        managed=found.managed,
        interpreter=found.interpreter,
    )


def of_prefix(python: str, prefix: str) -> Target:
    """PREFIX/lib/pythonX.Y/site-packages, for an interpreter that lies somewhere else: pip's `--prefix`."""
    root = os.path.realpath(prefix)
    found = _ask(python, root)
    return Target(found.executable, root, _scheme(found.paths, found.paths["include"]), True, "", found.interpreter)


def of_directory(python: str, directory: str) -> Target:
    """Projects directly in a directory: pip's `--target`."""
    root = os.path.realpath(directory)
    found = _ask(python, "")
    paths = {"purelib": root, "platlib": root, "scripts": f"{root}/bin", "data": root}
    return Target(found.executable, root, {**paths, "headers": f"{root}/include"}, True, "", found.interpreter)


def target_in(root: str, python: str) -> Target:
    """Where an interpreter keeps packages of a prefix: its own place if the prefix is its own, else lib/pythonX.Y/site-packages.

    Raises UsageError if that is outside of the prefix, ShipwayError if the interpreter cannot be asked.
    """
    own = of_interpreter(python)
    return checked(own if own.root == root else of_prefix(python, root))


def checked(target: Target) -> Target:
    """The target, if all of it lies inside its root.  Raises UsageError if packages would go elsewhere."""
    outside = [path for path in target.paths.values() if not inside(path, target.root)]
    if outside:
        raise UsageError(
            f"{target.python} keeps packages outside of {target.root}",
            details=outside,
            hint="make an environment of its own: python3 -m venv .venv",
        )
    return target


def outgrown(target: Target) -> str:
    """The version that a virtual environment was made for, if its interpreter is of another by now and looks elsewhere for packages; else ""."""
    made = re.search(r"^version(?:_info)? *= *(\d+\.\d+)", text_of(f"{target.root}/pyvenv.cfg"), re.MULTILINE)
    now = target.interpreter and ".".join(map(str, target.interpreter.version[:2]))
    return made[1] if made and now and made[1] != now else ""


def inside(path: str, root: str) -> bool:
    """Whether a path is a directory or lies below it, symlinks of its parents followed."""
    real = os.path.realpath(path)
    return real == root or real.startswith(f"{root}/")


def _scheme(paths: Mapping[str, str], headers: str) -> dict[str, str]:
    return {name: paths[name] for name in ("purelib", "platlib", "scripts", "data")} | {"headers": headers}


class _Answer(NamedTuple):
    root: str
    version: tuple[int, int, int]
    paths: dict[str, str]
    venv: bool
    managed: str
    executable: str
    implementation: str
    cache_tag: str | None
    magic: str

    @property
    def interpreter(self) -> Interpreter:
        major, minor, micro = self.version
        return Interpreter(
            self.executable, (major, minor, micro), self.implementation, self.cache_tag, bytes.fromhex(self.magic)
        )


def _ask(python: str, base: str) -> _Answer:
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _QUESTION, base],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_WITHIN,
            check=True,
        )
        return _Answer(**json.loads(answer.stdout))
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ShipwayError(f"{python} cannot be used: {' '.join(last) or 'it failed'}") from error
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired) as error:
        hint = "Python 3.8 or newer is needed; name another one with --python"
        raise ShipwayError(f"{python} cannot be used: {error}", hint=hint) from error
