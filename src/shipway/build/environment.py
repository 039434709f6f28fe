"""The environment of a build: a pure function.  docs/reference/building.md tells every variable.

Nothing of the caller's environment comes in but what `--keep-env` names.  What is kept of lists and flags is put behind ours;
what names the build itself cannot be replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from shipway.build.directory import Directory
from shipway.build.recipe import Recipe, fill

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH behind the prefix's own, unless PATH is kept."""

_LISTS = ("PATH", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH", "ACLOCAL_PATH", "PYTHONPATH")
_FLAGS = ("CFLAGS", "CXXFLAGS", "FFLAGS", "FCFLAGS", "CPPFLAGS", "LDFLAGS")


class Compilers(NamedTuple):
    """The commands that compile; "" for one that is not there."""

    c: str = "cc"
    cxx: str = "c++"
    fortran: str = ""


class Flags(NamedTuple):
    """What compilers are given for every package; paths of the prefix are added."""

    c: str = "-O2"
    cxx: str = "-O2"
    fortran: str = "-O2"
    cpp: str = ""
    ld: str = ""


class Interpreter(NamedTuple):
    """The Python that packages are built with and for.

    `pip` are the words that run pip for it; none: its own.  `paths` are directories of modules that it would not find by itself,
    because the prefix is not its own.
    """

    executable: str = "python3"
    pip: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class Tools(NamedTuple):
    """What everything is built with.  `kept` are the caller's variables that come in."""

    compilers: Compilers = Compilers()
    flags: Flags = Flags()
    python: Interpreter = Interpreter()
    kept: Mapping[str, str] = {}


class Target(NamedTuple):
    """What is built, where and for what: `prefix` is where it will lie, `source` where its source lies.

    `jobs` is how many processes it may use, `epoch` the time, in seconds since 1970, that stands for now.
    """

    recipe: Recipe
    prefix: str
    directory: Directory
    source: str
    recipe_directory: str
    jobs: int = 1
    epoch: int = 0

    @property
    def parallel(self) -> int:
        """How many processes it uses."""
        return self.jobs if self.recipe.build.parallel else 1

    def fill(self, text: str) -> str:
        """A text of the recipe with its holes filled."""
        return fill(text, {**self.recipe.holes, "prefix": self.prefix, "jobs": str(self.parallel)})


def kept(environment: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """The variables whose names match one of the patterns (as in the shell)."""
    wanted = tuple(patterns)
    return {name: value for name, value in environment.items() if any(fnmatchcase(name, each) for each in wanted)}


def environment(target: Target, tools: Tools, phase: str) -> dict[str, str]:
    """Every variable that a phase finds."""
    found = {**_of_tools(target, tools), **_of_programs()}
    for name, value in tools.kept.items():
        found[name] = _behind(name, found.get(name, ""), value)
    found |= {name: target.fill(value) for name, value in target.recipe.environment.items()}
    found |= _of_build(target)
    if phase == "install":
        found["DESTDIR"] = target.directory.destdir
    return dict(sorted(found.items()))


def _behind(name: str, ours: str, theirs: str) -> str:
    if name == "PATH":
        ours = ours.removesuffix(f":{SYSTEM_PATH}")
    separator = ":" if name in _LISTS else " " if name in _FLAGS else ""
    return separator.join(filter(None, (ours, theirs))) if separator else theirs


def _of_tools(target: Target, tools: Tools) -> dict[str, str]:
    prefix, compilers, flags = target.prefix, tools.compilers, tools.flags
    found = {
        "PATH": f"{prefix}/bin:{SYSTEM_PATH}",
        "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig:{prefix}/share/pkgconfig",
        "CMAKE_PREFIX_PATH": prefix,
        "ACLOCAL_PATH": f"{prefix}/share/aclocal",
        "CPPFLAGS": _joined(f"-I{prefix}/include", flags.cpp),
        "LDFLAGS": _joined(f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib", flags.ld),
        "PYTHON": tools.python.executable,
        "PYTHONPATH": ":".join(tools.python.paths),
    }
    if compilers.c:
        found |= {"CC": compilers.c, "CFLAGS": flags.c}
    if compilers.cxx:
        found |= {"CXX": compilers.cxx, "CXXFLAGS": flags.cxx}
    if compilers.fortran:
        found |= {"FC": compilers.fortran, "F77": compilers.fortran, "FCFLAGS": flags.fortran, "FFLAGS": flags.fortran}
    return {name: value for name, value in found.items() if value}


def _joined(*flags: str) -> str:
    return " ".join(filter(None, flags))


def _of_programs() -> dict[str, str]:
    """How programs are to behave that nobody sits at."""
    return {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PAGER": "cat",
        "SHELL": "/bin/sh",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }


def _of_build(target: Target) -> dict[str, str]:
    jobs = target.parallel
    return {
        "NAME": target.recipe.name,
        "VERSION": target.recipe.version,
        "PREFIX": target.prefix,
        "SOURCE": target.source,
        "RECIPE": target.recipe_directory,
        "HOME": target.directory.home,
        "TMPDIR": target.directory.temporary,
        "JOBS": str(jobs),
        "MAKEFLAGS": f"-j{jobs}",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
        "SOURCE_DATE_EPOCH": str(target.epoch),
    }
