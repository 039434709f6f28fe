"""Changes of the recipe's own to a source, by patch(1): all of a file applies, or it is an error that shows what did not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from shipway.build.recipe import Patch
from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem

SHOWN = 40
"""Lines of what did not apply that are shown."""

_OPTIONS = ("--batch", "--forward", "--no-backup-if-mismatch", "--quoting-style=literal")
_NAME = re.compile(rb"(?:---|\+\+\+|\*\*\*|Index:|rename (?:from|to)|copy (?:from|to)) (\S+)", re.MULTILINE)
_SYMLINK = re.compile(rb"^(?:new|new file) mode 120000\s*$", re.MULTILINE)


class PatchError(ShipwayError):
    """A patch does not apply."""


def apply(patch: Patch, beside: str, source: str) -> None:
    """Apply a patch that lies in the directory `beside` to the tree `source`.  Raises PatchError; the tree is then of no use."""
    file, place = os.path.join(beside, patch.file), os.path.normpath(os.path.join(source, patch.directory))
    program = shutil.which("patch")
    if program is None:
        raise PatchError(f"{patch.file} needs the program patch", hint="install patch")
    if not _lies_in(place, source):
        raise PatchError(f"{patch.file}: the source has no directory {patch.directory}")
    _refuse_escapes(file, patch)
    with FileSystem().scratch(os.path.dirname(os.path.abspath(source))) as area:
        rejects = f"{area}/rejects"
        words = [
            program,
            *_OPTIONS,
            f"--strip={patch.strip}",
            f"--reject-file={rejects}",
            f"--input={os.path.abspath(file)}",
        ]
        done = subprocess.run(
            words, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, env=_environment(), check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
            raise PatchError(f"{patch.file} does not apply", details=_shown([*said, *_lines(rejects)]))


def _refuse_escapes(file: str, patch: Patch) -> None:
    """Not every patch(1) refuses names that lead out of where it was started."""
    try:
        with open(file, "rb") as opened:
            text = opened.read()
    except OSError as error:
        raise PatchError(f"{file} cannot be read: {error.strerror}") from error
    for name in _names(text):
        parts = [part for part in name.split("/") if part]
        if name != "/dev/null" and (".." in parts or (name.startswith("/") and patch.strip == 0)):
            raise PatchError(f"{patch.file} would change {name}, which lies outside of the source")
    if _SYMLINK.search(text):
        raise PatchError(f"{patch.file} would make a symlink", hint="let a phase of the recipe make it")


def _names(text: bytes) -> Iterator[str]:
    for found in _NAME.finditer(text):
        if found.start() == 0 or text[found.start() - 1 : found.start()] == b"\n":
            yield os.fsdecode(found[1]).strip('"')


def _lies_in(place: str, source: str) -> bool:
    real = os.path.realpath(source)
    return os.path.isdir(place) and f"{os.path.realpath(place)}/".startswith(f"{real}/")


def _environment() -> dict[str, str]:
    """patch(1) as it is, whatever variables of its own are set."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PATCH_", "POSIXLY_"))},
        "LC_ALL": "C",
    }


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def _shown(lines: list[str]) -> list[str]:
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"… and {more} lines more"] if more > 0 else lines
