"""Reading the logs of builds: which there are, what looks like an error in one, and what is written into one just now."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator

from shipway.build.log import OURS, Line
from shipway.errors import ShipwayError
from shipway.fs.lock import is_locked

BEFORE, AFTER = 3, 2
"""So many lines around an error are shown with it."""
PAUSE = 0.2
"""Seconds between two looks at a log that is being written."""

_ERROR = re.compile(
    r"\b(?:fatal )?error(?: [A-Z]+\d+)?:|\bundefined reference\b|\bcannot find -l|\bNo such file or directory\b|"
    r"^Traceback \(most recent call last\)|^\w*(?:Error|Exception)\b:|\bmake(?:\[\d+\])?: \*\*\* |: not found$|: command not found$|"
    r"\bPermission denied\b|\bRead-only file system\b|\bNo space left on device\b|\bSegmentation fault\b|^(?:FAIL|FAILED|ERROR)\b",
    re.IGNORECASE,
)
_FAILED = re.compile(r"(?:failed|interrupted): ")
_FIRST = re.compile(rf"{OURS}(\S+) (\S+) for ")
_OF_A_RUN_BEFORE = re.compile(r"\.\d{8}T\d{6}(?:-\d+)?\.log\Z")


def find(directory: str, name: str) -> str:
    """The newest log of a package, of whatever version.  Raises ShipwayError if there is none."""
    found = [path for path in _logs(directory, f"{name}-") if _subject(path) == name]
    if not found:
        raise ShipwayError(f"there is no log of a build of {name}", hint=f"logs lie in {directory}")
    return max(found, key=lambda path: os.stat(path).st_mtime)


def _logs(directory: str, start: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ShipwayError(f"{directory} cannot be read: {error.strerror}") from error
    return [
        f"{directory}/{n}"
        for n in names
        if n.startswith(start) and n.endswith(".log") and not _OF_A_RUN_BEFORE.search(n)
    ]


def _subject(path: str) -> str:
    """Whose log it is, by its first line: a name alone may be the beginning of another."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        first = _FIRST.match(file.readline())
    return first[1] if first else ""


def errors(lines: Iterable[Line]) -> Iterator[Line]:
    """What looks like an error, with the lines around it, and what Shipway says of the failure."""
    before: list[Line] = []
    after = 0
    for line in lines:
        if line.ours:
            before.clear()
            after = 0
            if _FAILED.match(line.text):
                yield line
        elif _ERROR.search(line.text):
            yield from before
            yield line
            before.clear()
            after = AFTER
        elif after:
            after -= 1
            yield line
        else:
            before = [*before, line][-BEFORE:]


def follow(path: str) -> Iterator[str]:
    """The lines of a log, from its beginning, as they are written; ends with its writer."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        rest = ""
        while True:
            living = is_locked(path)
            while text := file.read(1 << 16):
                *lines, rest = (rest + text).split("\n")
                yield from lines
            if not living:
                break
            time.sleep(PAUSE)
        if rest:
            yield rest
