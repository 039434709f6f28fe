"""What a shell needs to use a prefix: pure functions from a path to variables, and to the words of each shell.

PATH, MANPATH, PKG_CONFIG_PATH and CMAKE_PREFIX_PATH.  LD_LIBRARY_PATH only on request: it changes which libraries *every*
program finds, while what is linked with a run path needs none.  PYTHONPATH never: it would reach every interpreter,
of whatever version; a prefix's own finds its site-packages by itself.

An empty part of MANPATH stands for the system's own pages (manpath(5)), so one is kept at its end; an empty part of
LD_LIBRARY_PATH stands for the working directory (ld.so(8)), so none is ever made there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from shipway.errors import UsageError

MANPATH = "MANPATH"


class Variable(NamedTuple):
    """A list of directories to put in front of what a variable holds."""

    name: str
    directories: tuple[str, ...]


_STANDARD: Mapping[str, tuple[str, ...]] = {
    "PATH": ("bin",),
    MANPATH: ("share/man",),
    "PKG_CONFIG_PATH": ("lib/pkgconfig", "share/pkgconfig"),
    "CMAKE_PREFIX_PATH": ("",),
}
"""Said whether they exist or not, because a module file is written once and packages come later."""

_IF_THERE: Mapping[str, tuple[str, ...]] = {
    "PATH": ("sbin",),
    MANPATH: ("man",),
    "PKG_CONFIG_PATH": ("lib64/pkgconfig",),
}

_LIBRARIES = ("lib", "lib64")

OPTIONAL = ("lib64", *(path for paths in _IF_THERE.values() for path in paths))
"""Directories, relative to a prefix, that are named only if they exist."""


def variables(root: str, there: Collection[str], *, libraries: bool = False) -> tuple[Variable, ...]:
    """What to set for a prefix; `there` are those of OPTIONAL that exist.

    Raises UsageError if the prefix's path holds a colon or a line break, which no such variable can carry.
    """
    if ":" in root or "\n" in root:
        raise UsageError(f"{root!r} cannot stand in a list of directories", hint="use a prefix without : in its path")
    names = {name: [*paths, *(p for p in _IF_THERE.get(name, ()) if p in there)] for name, paths in _STANDARD.items()}
    if libraries:
        names["LD_LIBRARY_PATH"] = [path for path in _LIBRARIES if path == "lib" or path in there]
    return tuple(Variable(name, tuple(f"{root}/{p}".rstrip("/") for p in paths)) for name, paths in names.items())


def render(shell: str, found: Collection[Variable], root: str) -> str:
    """The variables as a text for `eval` or `source`, or as a module file."""
    return SHELLS[shell](found, root)


def _sh(found: Collection[Variable], root: str) -> str:
    """POSIX sh; run twice it changes nothing more, also under `set -u`."""
    lines = []
    for variable in found:
        name = variable.name
        rest = f':"${{{name}-}}"' if name == MANPATH else f'"${{{name}:+:${name}}}"'
        for directory in reversed(variable.directories):
            word = shlex.quote(directory)
            add = f"{name}={word}{rest}; export {name}"
            lines.append(f'case ":${{{name}-}}:" in *:{word}:*) ;; *) {add} ;; esac')
    return "\n".join(lines) + "\n"


def _fish(found: Collection[Variable], root: str) -> str:
    """Fish keeps variables whose names end in PATH as lists."""
    lines = []
    for variable in found:
        if variable.name == MANPATH:
            lines.append("set -q MANPATH; or set -gx MANPATH ''")
        for directory in reversed(variable.directories):
            word = "'" + directory.replace("\\", "\\\\").replace("'", "\\'") + "'"
            lines.append(
                f"contains -- {word} ${variable.name}; or set -gx --path {variable.name} {word} ${variable.name}"
            )
    return "\n".join(lines) + "\n"


def _csh(found: Collection[Variable], root: str) -> str:
    """C shell, one statement a line.

    It substitutes variables even in branches that are not taken; `eval` puts that off until they are.
    """
    lines = []
    for variable in found:
        name, words = variable.name, ":".join(map(_csh_word, variable.directories))
        inner = f'setenv {name} {words}:"${{{name}}}"'.replace("'", "'\\''")
        lines.append(f"if ( $?{name} ) eval '{inner}';")
        lines.append(f"if ( ! $?{name} ) setenv {name} {words}{':' if name == MANPATH else ''};")
    return "\n".join(lines) + "\n"


def _csh_word(text: str) -> str:
    return shlex.quote(text).replace("!", "\\!")


def _modulefile(found: Collection[Variable], root: str) -> str:
    """Environment Modules (https://modules.readthedocs.io/en/stable/modulefile.html), in Tcl."""
    title = _tcl(f"What is installed in {root}")
    lines = ["#%Module1.0", f"module-whatis {title}", f"proc ModulesHelp {{}} {{ puts stderr {title} }}", ""]
    for variable in found:
        if variable.name == MANPATH:
            lines.append("if {![info exists env(MANPATH)]} { setenv MANPATH : }")
        lines += [f"prepend-path {variable.name} {_tcl(directory)}" for directory in reversed(variable.directories)]
    return "\n".join(lines) + "\n"


def _tcl(text: str) -> str:
    return '"' + "".join(f"\\{c}" if c in '\\"$[]{}' else c for c in text) + '"'


def _lmod(found: Collection[Variable], root: str) -> str:
    """Lmod (https://lmod.readthedocs.io), in Lua."""
    title = _lua(f"What is installed in {root}")
    lines = [f"whatis({title})", f"help({title})", ""]
    for variable in found:
        if variable.name == MANPATH:
            lines.append('if not os.getenv("MANPATH") then setenv("MANPATH", ":") end')
        lines += [f'prepend_path("{variable.name}", {_lua(directory)})' for directory in reversed(variable.directories)]
    return "\n".join(lines) + "\n"


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


SHELLS: Mapping[str, Callable[[Collection[Variable], str], str]] = {
    "sh": _sh,
    "fish": _fish,
    "csh": _csh,
    "modulefile": _modulefile,
    "lmod": _lmod,
}
"""What `env --shell` knows."""
