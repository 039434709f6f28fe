"""A scene that every user can reach: where our interpreter, or the scene's place, lies in somebody's closed home, another is found.

The command is then a copy of ours, run by an interpreter that everybody may run.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import shipway
from proof.persons import STRANGER
from proof.scene import Scene, environment, leave, run

_GOOD = "import ctypes, sqlite3, sys; sys.exit(sys.version_info < (3, 11))"
_NOT_NEEDED = "pip"


class OutOfReachError(Exception):
    """Nobody else can be tried here."""


@contextmanager
def within_reach(scene: Scene) -> Iterator[Scene]:
    """A scene in which other users can work.  Raises OutOfReachError, with the reason, where there is none."""
    if os.geteuid() != 0:
        raise OutOfReachError("only root can become other users")
    with _open_place(scene.place) as place:
        scene = replace(scene, place=place)
        if not _can_be_run(scene):
            scene = _copied(scene)
        if not _can_be_run(scene):
            raise OutOfReachError(f"another user cannot run {scene.shipway}")
        yield scene


@contextmanager
def _open_place(place: Path) -> Iterator[Path]:
    """The place itself, else one for the time being that everybody can reach."""
    place.chmod(0o755)
    if _done(["ls", str(place)]):
        yield place
        return
    other = Path(tempfile.mkdtemp(prefix="shipway-proof-"))
    other.chmod(0o755)
    try:
        if not _done(["ls", str(other)]):
            raise OutOfReachError(f"another user can reach neither {place} nor {other}")
        yield other
    finally:
        leave(other)


def _can_be_run(scene: Scene) -> bool:
    programs = [[scene.python, "-c", f"open({str(path)!r})"] for path in scene.programs.glob("*.py")]
    return all(map(_done, [[scene.shipway, "--version"], *programs[:1]]))


def _done(command: list[str]) -> bool:
    """Whether a stranger can do something."""
    try:
        return run(command, **STRANGER.options, env=environment(HOME="/")).returncode == 0
    except OSError:
        return False


def _copied(scene: Scene) -> Scene:
    """The scene with a copy of the command."""
    if Path(scene.shipway).parent != Path(sys.executable).parent:
        raise OutOfReachError(f"another user cannot run {scene.shipway}, and it is not ours to copy")
    room = scene.room("within reach")
    library, programs = room / "lib", room / "programs"
    _copy_library(library)
    shutil.copytree(scene.programs, programs, ignore=shutil.ignore_patterns("__pycache__"))
    run(["chmod", "-R", "a+rX", str(room)])
    interpreter = _interpreter()
    python = _script(room / "python", f'PYTHONPATH={shlex.quote(str(library))} exec {interpreter} "$@"')
    run([python, "-m", "compileall", "-q", str(library), str(programs)])
    command = _script(room / "shipway", f'exec {shlex.quote(python)} -m shipway "$@"')
    return replace(scene, shipway=command, python=python, programs=programs)


def _copy_library(library: Path) -> None:
    """Shipway, and what its command line needs."""
    shutil.copytree(Path(shipway.__file__).parent, library / "shipway", ignore=shutil.ignore_patterns("__pycache__"))
    for name in _needed("shipway", set()):
        for file in metadata.files(name) or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                target = library / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)


def _needed(name: str, found: set[str]) -> set[str]:
    for requirement in map(Requirement, metadata.requires(name) or ()):
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in {*found, _NOT_NEEDED}:
            found.add(requirement.name)
            _needed(requirement.name, found)
    return found


def _interpreter() -> str:
    """One that a stranger can run, and that Shipway can run on."""
    for candidate in _candidates():
        if _done([candidate, "-c", _GOOD]):
            return shlex.quote(candidate)
    raise OutOfReachError("another user can run no Python that is new enough")


def _candidates() -> Iterable[str]:
    for directory in os.get_exec_path():
        for name in ("python3", *(f"python3.{minor}" for minor in range(11, 20))):
            if os.access(path := f"{directory}/{name}", os.X_OK):
                yield path


def _script(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)
