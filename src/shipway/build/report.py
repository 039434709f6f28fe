"""One text to attach to a report: what the machine is, and a log.  Variables that look secret are not in a log to begin with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from shipway import __version__

PROGRAMS = ("cc", "c++", "gfortran", "ld", "make", "cmake", "ninja", "meson", "pkg-config", "python3", "sh")
PATIENCE = 10
"""Seconds that a program has to say its version."""


def report(log: str, installed: Iterable[str]) -> str:
    """The text: the machine, its tools, what is `installed` (one line each), and the log at a path.  Raises OSError."""
    with open(log, encoding="utf-8", errors="surrogateescape") as file:
        said = file.read()
    parts = {"machine": machine(), "tools": tools(), "installed": installed, log: said.splitlines()}
    return "\n".join(line for title, lines in parts.items() for line in (f"## {title}", *lines, "")) + "\n"


def machine() -> Iterator[str]:
    """What runs here."""
    yield f"shipway {__version__}, {platform.python_implementation()} {platform.python_version()}"
    yield " ".join(part for part in (os.uname().sysname, *os.uname()[2:]))
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return
    yield release.get("PRETTY_NAME", release.get("NAME", ""))


def tools() -> Iterator[str]:
    """The first line that each program says of its version, of those that are there."""
    for program in PROGRAMS:
        path = shutil.which(program)
        if path:
            yield f"{path}: {_version(path)}"


def _version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run: {error}"
    return next(iter(done.stdout.splitlines()), f"ended with status {done.returncode}")
