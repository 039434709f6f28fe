"""Which wheels a set of requirements comes to, by uv.

uv's sound answer is a pylock.toml (`pip compile --format pylock.toml`): names, versions, addresses, digests.  It knows nothing of what is
installed.  So where something is, `pip install --dry-run` is asked first what it would change, in an environment of its own whose
site-packages are those of the target (uv leaves a lock file in the environment that it is pointed at), and then only these versions are
looked up.  Directories have no version before they are built: pip tells it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from shipway.errors import ShipwayError, UsageError
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.python.chosen import Chosen
from shipway.python.compatible import markers, tags
from shipway.python.distributions import Distribution
from shipway.python.heard import SHOWN, Heard, heard
from shipway.python.interpreter import inspect
from shipway.python.pip_arguments import Arguments
from shipway.python.pip_options import pairs
from shipway.python.pylock import Terms, locked, path_of
from shipway.python.resolver import resolve
from shipway.python.steps import Steps, Tell, silent
from shipway.python.target import Target
from shipway.python.tools import ToolError
from shipway.python.understanding import Understanding, understanding
from shipway.python.uv_options import Told, told, without_dependencies

_CHANGE = re.compile(r" [+~] (?P<name>\S+?)(?:==(?P<version>\S+)(?: \(from (?P<origin>.+)\))?| @ (?P<url>\S+))")
_LOCK = "pylock.toml"


class _Asker(NamedTuple):
    """uv, and what it is always told."""

    program: str
    told: Told
    tell: Tell

    def ask(self, command: str, python: str, *words: str) -> Heard:
        """Run `uv pip COMMAND`.  Raises ToolError."""
        environment = {**os.environ, **self.told.variables, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
        done = heard(
            [self.program, "pip", command, "--python", python, *self.told.words, *words],
            environment,
            listen=Steps(self.tell),
        )
        if done.code:
            said = done.stderr.strip().splitlines()
            details = [line.removeprefix("error: ") for line in said if not line.startswith(("warning:", "Using "))]
            raise ToolError("uv could not resolve what was asked for", done.lines, details[:SHOWN], "uv's")
        return done


def uv() -> str:
    """Where uv is.  Raises UsageError if it is nowhere."""
    beside = os.path.join(os.path.dirname(sys.executable), "uv")
    for path in (os.environ.get("UV", ""), shutil.which("uv") or "", beside):
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise UsageError("uv is not found", hint="install it (pip install uv), or resolve with pip: --resolver pip")


def resolve_by_uv(
    target: Target, arguments: Arguments, before: Mapping[str, Distribution], area: str, tell: Tell = silent
) -> list[Chosen]:
    """What uv would install, dependencies and all.  Raises ShipwayError with uv's own words."""
    program = uv()
    try:
        found = understanding(target, arguments)
    except (ValueError, OSError) as error:
        raise ShipwayError(f"the settings of pip cannot be read: {error}") from error
    asker = _Asker(program, told(found), tell)
    wanted = f"{area}/asked.txt"
    _write(wanted, _lines(found))
    if not (target.isolated or found.arguments.reinstalls or not before):
        changes = _changes(asker, found, _shadow(target, f"{area}/environment"), wanted)
        asker, wanted = asker._replace(told=without_dependencies(asker.told)), f"{area}/changes.txt"
        _write(wanted, changes)
        if not changes:
            return []
    asker.ask("compile", target.python, "--no-header", "--output-file", f"{area}/{_LOCK}", wanted)
    return _chosen(target, found, area)


def _chosen(target: Target, found: Understanding, area: str) -> list[Chosen]:
    hashes = {wish.key: wish.hashes for wish in found.asked.wishes} if found.hashed else {}
    requested = [wish.key for wish in found.asked.wishes]
    terms = Terms(area, markers(target.python), partial(tags, target.python), hashes, requested)
    with open(f"{area}/{_LOCK}", encoding="utf-8") as file:
        lock = locked(file.read(), terms)
    words = [word for path, editable in lock.directories for word in (["-e", path] if editable else [path])]
    if not words:
        return [*lock.chosen]
    alone = found.given._replace(requirements=tuple(words), resolving=("--no-deps", "--ignore-installed"))
    return [*lock.chosen, *resolve(target, alone, area)]


def _lines(found: Understanding) -> list[str]:
    """What is asked for as a requirement file; its relative paths begin in the working directory, as with pip."""
    short = {"": "", "--requirement": "-r ", "--constraint": "-c ", "--editable": "-e "}
    lines = []
    for name, value in pairs(found.arguments.requirements):
        if name in short:
            absolute = name in ("--requirement", "--constraint") and "://" not in value
            lines.append(short[name] + (os.path.abspath(value) if absolute else value))
    return lines


def _write(path: str, lines: Sequence[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


# -- what is installed -------------------------------------------------------------------------------------------


def _shadow(target: Target, place: str) -> str:
    """An environment with the target's interpreter and site-packages, where uv may leave what it likes; returns its interpreter."""
    fs = FileSystem()
    major, minor, _ = inspect(target.python).version
    library, home = f"lib/python{major}.{minor}/site-packages", os.path.dirname(os.path.realpath(target.python))
    if os.path.isfile(f"{target.root}/pyvenv.cfg"):
        library, home = os.path.relpath(target.paths["purelib"], target.root), _home(target) or home
    for directory in (f"{place}/bin", os.path.dirname(f"{place}/{library}")):
        make_directories(directory, 0o700, fs.mkdir)
    fs.symlink(target.paths["purelib"], f"{place}/{library}")
    fs.symlink(os.path.realpath(target.python), f"{place}/bin/python")
    _write(f"{place}/pyvenv.cfg", [f"home = {home}"])
    return f"{place}/bin/python"


def _home(target: Target) -> str:
    with open(f"{target.root}/pyvenv.cfg", encoding="utf-8", errors="replace") as file:
        found = dict(line.partition("=")[::2] for line in file)
    return next((value.strip() for key, value in found.items() if key.strip() == "home"), "")


def _changes(asker: _Asker, found: Understanding, python: str, wanted: str) -> list[str]:
    """What uv would install beside or instead of what is there, as requirements; directories always, since nobody knows what changed in them."""
    done = asker.ask("install", python, "--dry-run", *asker.told.choosing, "--requirement", wanted)
    directories = {line: path for line in found.asked.strange if (path := _directory(line))}
    places = {os.path.realpath(path) for path in directories.values()}
    changes = list(directories)
    for change in filter(None, map(_CHANGE.fullmatch, done.stderr.splitlines())):
        url = change["url"] or change["origin"]
        if not url:
            changes.append(f"{change['name']}=={change['version']}")
        elif os.path.realpath(path_of(url) or "/") not in places:
            changes.append(f"{change['name']} @ {url}")
    return changes


def _directory(line: str) -> str:
    """The path of the directory that a requirement names, or ""."""
    words = line.removeprefix("-e ").removeprefix("--editable ").partition(";")[0].strip()
    named = words.partition(" @ ")[2].strip() or words
    path = path_of(named) or re.sub(r"\[[^]]*\]\Z", "", named)
    return path if os.path.isdir(path) else ""
