"""What requirement files say beside requirements, and the names in them.  Resolving them is pip's business.

Source: "Requirements File Format" (pip's documentation).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shipway.errors import UsageError

_FILES = ("-r", "--requirement", "--requirements", "-c", "--constraint", "--constraints")
_FINDING = re.compile(
    r"(-i|--index-url|--pypi-url|--extra-index-url|--no-index|-f|--find-links|--no-binary|--only-binary|--prefer-binary"
    r"|--trusted-host|--pre)(?=[\s=]|\Z)"
)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_NESTED = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]*(.+)")
_LINKS = re.compile(r"(?:-f|--find-links)[\s=]+(.+)")


class Line(NamedTuple):
    """One logical line, and the file that it is in."""

    text: str
    path: str


def named_files(words: Sequence[str]) -> list[str]:
    """The files that words of a command line name with -r and -c."""
    return [value for option, value in itertools.pairwise(words) if option in _FILES]


def read(path: str) -> Iterator[Line]:
    """The lines of a file and of those that it names: without comments, continued ones joined.  Raises UsageError."""
    yield from _read(path, set())


def finding_options(words: Sequence[str]) -> list[str]:
    """The lines of requirement files that say where projects are found, for a file elsewhere."""
    lines = [line for path in named_files(words) if os.path.isfile(path) for line in read(path)]
    return list(dict.fromkeys(_anywhere(line) for line in lines if _FINDING.match(line.text)))


def _anywhere(line: Line) -> str:
    """A line that means the same in a file that lies elsewhere."""
    found = _LINKS.match(line.text)
    beside = os.path.join(os.path.dirname(os.path.abspath(line.path)), found[1].strip()) if found else ""
    return f"--find-links {beside}" if os.path.exists(beside) else line.text


def _read(path: str, seen: set[str]) -> Iterator[Line]:
    real = os.path.realpath(path)
    if real in seen:
        return
    seen.add(real)
    for text in _logical(path):
        nested = _NESTED.fullmatch(text)
        if nested is None:
            yield Line(text, path)
        elif "://" not in nested[1]:
            yield from _read(os.path.join(os.path.dirname(path), nested[1].strip()), seen)


def _logical(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            joined = file.read().replace("\\\r\n", "").replace("\\\n", "")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    lines = (_COMMENT.sub("", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]
