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
from shipway.python.distributions import normal

FILES = ("-r", "--requirement", "--requirements", "-c", "--constraint", "--constraints")
CONSTRAINTS = ("-c", "--constraint", "--constraints")
_FINDING = re.compile(
    r"(-i|--index-url|--pypi-url|--extra-index-url|--no-index|-f|--find-links|--no-binary|--only-binary|--prefer-binary"
    r"|--trusted-host|--pre|--all-releases|--only-final|--use-feature)(?=[\s=]|\Z)"
)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_NESTED = re.compile(r"(?:(-[rc])[\s=]*|(--requirement|--constraint)s?[\s=]+)(.+)")
_BUILDING = re.compile(r"""--(?:config-settings?|global-option)[\s=](?:"[^"]*"|'[^']*'|\S)+""")
_PROJECT = re.compile(r"[A-Za-z0-9._-]*")
_LINKS = re.compile(r"(?:-f|--find-links)[\s=]+(.+)")


class Line(NamedTuple):
    """One logical line, and the file that it is in.  `limits`: it only limits what others ask for (-c)."""

    text: str
    path: str
    limits: bool = False


def named_files(words: Sequence[str]) -> list[str]:
    """The files that words of a command line name with -r and -c."""
    return [value for option, value in itertools.pairwise(words) if option in FILES]


def read(path: str, *, limits: bool = False) -> Iterator[Line]:
    """The lines of a file and of those that it names: without comments, continued ones joined.  Raises UsageError.

    A file elsewhere is not read: the line that names it is given instead.
    """
    yield from _read(path, limits, set())


def finding_options(words: Sequence[str]) -> list[str]:
    """The lines of requirement files that say where projects are found, for a file elsewhere."""
    lines = [line for path in named_files(words) if os.path.isfile(path) for line in read(path)]
    return list(dict.fromkeys(anywhere(line) for line in lines if _FINDING.match(line.text)))


def building_options(words: Sequence[str]) -> dict[str, str]:
    """What requirement files say about the build of single projects, by their compared names."""
    lines = [line.text for path in named_files(words) if os.path.isfile(path) for line in read(path)]
    found = {line: _BUILDING.findall(line) for line in lines if not line.startswith("-")}
    return {normal(_name(line)): " ".join(options) for line, options in found.items() if options}


def _name(line: str) -> str:
    found = _PROJECT.match(line)
    return found[0] if found else ""


def anywhere(line: Line) -> str:
    """A line that means the same in a file that lies elsewhere."""
    found = _LINKS.match(line.text)
    beside = os.path.join(os.path.dirname(os.path.abspath(line.path)), found[1].strip()) if found else ""
    return f"--find-links {beside}" if os.path.exists(beside) else line.text


def _read(path: str, limits: bool, seen: set[tuple[str, bool]]) -> Iterator[Line]:
    real = os.path.realpath(path)
    if (real, limits) in seen:
        return
    seen.add((real, limits))
    for text in _logical(path):
        nested = _NESTED.fullmatch(text)
        if nested is None or "://" in nested[3]:
            yield Line(text, path, limits)
        else:
            more = limits or (nested[1] or nested[2]) in CONSTRAINTS
            yield from _read(os.path.join(os.path.dirname(path), nested[3].strip()), more, seen)


def _logical(path: str) -> Iterator[str]:
    """A comment ends a line that is continued."""
    begun = ""
    for line in _lines(path):
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            begun += line.rstrip("\\")
            continue
        text = _COMMENT.sub("", begun + (f" {line}" if comment else line)).strip()
        begun = ""
        if text:
            yield text
    if begun.strip():
        yield begun.strip()


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.read().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
