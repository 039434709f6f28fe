"""The commands of each phase, for every build system: pure functions from a target to words.

docs/reference/building.md shows them all.  A phase of the recipe's own takes the place of the build system's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from shipway.build.environment import Interpreter, Target
from shipway.build.recipe import Script
from shipway.fs.apart import Command

BEFORE_COMMIT = ("prepare", "configure", "build", "check", "install")
AFTER_COMMIT = ("check", "post_install")

_BESIDE = ("cmake", "meson")
"""Systems that never build in the source."""


class Steps(NamedTuple):
    """What a phase does.  `text` is shell text that the last word names a file for; "" if there is none."""

    commands: tuple[Command, ...] = ()
    text: str = ""


def steps(target: Target, python: Interpreter, phase: str) -> Steps:
    """What a phase does for a target; nothing if there is nothing to do."""
    own: Script | None = getattr(target.recipe.phases, phase)
    if own is not None:
        return _own(target, own, phase)
    lines = _SYSTEMS[target.recipe.build.system](target, python).get(phase, ())
    place = where(target, phase)
    return Steps(tuple(Command(place, tuple(words)) for words in lines))


def begins(target: Target) -> str:
    """The directory of the source where the build begins."""
    return os.path.normpath(f"{target.source}/{target.recipe.build.directory}")


def beside(target: Target) -> bool:
    """Whether it is built in a directory beside the source."""
    return target.recipe.build.out_of_tree or target.recipe.build.system in _BESIDE


def where(target: Target, phase: str) -> str:
    """The directory that a phase runs in."""
    return target.directory.build if beside(target) and phase != "prepare" else begins(target)


def _own(target: Target, script: Script, phase: str) -> Steps:
    """A file that can be executed is, any other is read by the shell, which stops at the first error."""
    place = where(target, phase)
    if script.script:
        file = f"{target.recipe_directory}/{script.script}"
        words = (file,) if os.access(file, os.X_OK) else ("sh", "-e", file)
        return Steps((Command(place, words),))
    if not (script.run or "").strip():
        return Steps()
    return Steps((Command(place, ("sh", "-e", f"{target.directory.scripts}/{phase}.sh")),), script.run or "")


Lines = Mapping[str, Sequence[Sequence[str]]]


def _options(target: Target) -> list[str]:
    return [target.fill(option) for option in target.recipe.build.options]


def _make(target: Target, *words: str) -> list[str]:
    return ["make", *words, *(target.fill(word) for word in target.recipe.build.make)]


def _destdir(target: Target) -> list[str]:
    """The word for make, which wins over what a makefile says; recipes without are known not to heed it."""
    return [f"DESTDIR={target.directory.destdir}"] if target.recipe.build.destdir else []


def _autotools(target: Target, _: Interpreter) -> Lines:
    configure = f"{begins(target)}/configure" if beside(target) else "./configure"
    return {
        "configure": [[configure, f"--prefix={target.prefix}", f"--libdir={target.prefix}/lib", *_options(target)]],
        "build": [_make(target)],
        "check": [_make(target, "check")],
        "install": [_make(target, "-j1", "install", *_destdir(target))],
    }


def _make_alone(target: Target, _: Interpreter) -> Lines:
    places = [f"PREFIX={target.prefix}", f"prefix={target.prefix}"]
    return {
        "build": [_make(target, *places)],
        "check": [_make(target, "check", *places)],
        "install": [_make(target, "-j1", "install", *places, *_destdir(target))],
    }


def _cmake(target: Target, _: Interpreter) -> Lines:
    prefix, jobs = target.prefix, str(target.parallel)
    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_INSTALL_PREFIX": prefix,
        "CMAKE_INSTALL_LIBDIR": "lib",
        "CMAKE_INSTALL_RPATH": f"{prefix}/lib",
        "CMAKE_INSTALL_RPATH_USE_LINK_PATH": "ON",
    }
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    build = ["cmake", "--build", "."]
    make = [target.fill(word) for word in target.recipe.build.make]
    return {
        "configure": [["cmake", "-S", begins(target), "-B", ".", *defined, *_options(target)]],
        "build": [[*build, "--parallel", jobs, *(["--", *make] if make else [])]],
        "check": [["ctest", "--output-on-failure", "--parallel", jobs]],
        "install": [[*build, "--target", "install"]],
    }


def _meson(target: Target, _: Interpreter) -> Lines:
    jobs = str(target.parallel)
    fixed = [f"--prefix={target.prefix}", "--libdir=lib", "--buildtype=release", "--wrap-mode=nodownload"]
    return {
        "configure": [["meson", "setup", ".", begins(target), *fixed, *_options(target)]],
        "build": [["meson", "compile", "-j", jobs]],
        "check": [["meson", "test", "--print-errorlogs", "--num-processes", jobs]],
        "install": [["meson", "install", "--no-rebuild"]],
    }


_ALONE = ("--isolated", "--disable-pip-version-check", "--no-input", "--no-color", "--no-cache-dir")
"""pip without anybody's settings."""


def _pip(python: Interpreter, command: str, *words: str) -> list[str]:
    run = python.pip or (python.executable, "-m", "pip")
    return [*run, command, *_ALONE, "--no-index", "--no-deps", *words]


def _wheel(target: Target, python: Interpreter) -> Lines:
    return {"install": [_install_wheels(target, python, target.source)]}


def _python(target: Target, python: Interpreter) -> Lines:
    made = target.directory.wheels
    build = _pip(python, "wheel", "--no-build-isolation", "--wheel-dir", made, *_options(target), begins(target))
    return {"build": [build], "install": [_install_wheels(target, python, made)]}


def _install_wheels(target: Target, python: Interpreter, directory: str) -> list[str]:
    """The shell finds them: their names hold tags that nobody knows before."""
    where = ["--root", target.directory.destdir, "--prefix", target.prefix, "--root-user-action", "ignore"]
    words = _pip(python, "install", "--ignore-installed", "--no-compile", "--no-warn-script-location", *where)
    return ["sh", "-c", 'wheels=$1; shift; exec "$@" "$wheels"/*.whl', "sh", directory, *words]


def _nothing(target: Target, python: Interpreter) -> Lines:
    return {}


_SYSTEMS: Mapping[str, Callable[[Target, Interpreter], Lines]] = {
    "autotools": _autotools,
    "cmake": _cmake,
    "meson": _meson,
    "make": _make_alone,
    "python": _python,
    "wheel": _wheel,
    "script": _nothing,
    "host": _nothing,
}
