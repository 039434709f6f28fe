"""Where in a TOML text a key stands, for messages: the standard library's parser tells none.

Read line by line: tables, arrays of tables, and keys at the beginning of a line are found; what stands inside an inline table
has the line of the key that holds it.  Source: TOML 1.0.0 (https://toml.io/en/v1.0.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

Path = tuple[str | int, ...]
"""A key with all that is above it; the tables of an array by their number."""

_BARE = r"[A-Za-z0-9_-]+"
_NAME = rf"""(?:{_BARE}|"[^"\n]*"|'[^'\n]*')"""
_NAMES = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_NAMES})\s*\]")
_KEY = re.compile(rf"\s*({_NAMES})\s*=")
_PARTS = re.compile(_NAME)
_MULTILINE = re.compile(r'"""|' + "'''")
_SYNTAX = re.compile(r"(.*?) \(at line (\d+), column \d+\)\Z", re.DOTALL)


def lines_of(text: str) -> Mapping[Path, int]:
    """The line on which each key and table is first named."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    above: Path = ()
    for number, line in _outside_of_texts(text):
        if table := _TABLE.match(line):
            above = _table(_split(table[2]), counts, is_array=table[1] == "[[")
            _note(found, (), above, number)
        elif key := _KEY.match(line):
            _note(found, above, _split(key[1]), number)
    return found


def line_of(lines: Mapping[Path, int], path: Sequence[str | int]) -> int:
    """The line of a key, or of the nearest one above it; 0 if none is known."""
    for length in range(len(path), 0, -1):
        if tuple(path[:length]) in lines:
            return lines[tuple(path[:length])]
    return 0


def located(file: str, line: int, what: str) -> str:
    """A message with its place, as compilers have it."""
    return f"{file}:{line}: {what}" if line else f"{file}: {what}"


def syntax_error(file: str, message: str) -> str:
    """What `tomllib` complains of, with its place in front."""
    found = _SYNTAX.match(message)
    return located(file, int(found[2]), found[1]) if found else f"{file}: {message}"


def dotted(path: Sequence[str | int]) -> str:
    """A key as people write it: `source[0].url`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def _split(names: str) -> Path:
    return tuple(name.strip("\"'") for name in _PARTS.findall(names))


def _table(names: Path, counts: dict[Path, int], *, is_array: bool) -> Path:
    """The path of a table header; below an array of tables its last table is meant."""
    path: Path = ()
    for position, name in enumerate(names, 1):
        path = (*path, name)
        if is_array and position == len(names):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _note(found: dict[Path, int], above: Path, names: Path, number: int) -> None:
    for length in range(1, len(names) + 1):
        found.setdefault((*above, *names[:length]), number)


def _outside_of_texts(text: str) -> Iterator[tuple[int, str]]:
    """The lines that do not begin within a text of several lines, by their numbers."""
    closing = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not closing:
            yield number, line
        for mark in _MULTILINE.findall(line):
            if not closing:
                closing = mark
            elif mark == closing:
                closing = ""
