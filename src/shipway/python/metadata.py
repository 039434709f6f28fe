"""Core metadata of installed projects, as far as it is needed here: name and version.

Source: "Core metadata specifications" (packaging.python.org).
"""

from __future__ import annotations

from collections.abc import Iterable


def stated(text: str) -> dict[str, str]:
    """`name` and `version` as the headers of a METADATA or PKG-INFO state them."""
    found: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, colon, value = line.partition(":")
        if colon and name.lower() in ("name", "version"):
            found.setdefault(name.lower(), value.strip())
    return found


def text_of(path: str) -> str:
    """What a file holds, "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


def entry_points(lines: Iterable[str]) -> list[str]:
    """The names of the scripts that lines of an entry_points.txt ask for."""
    section, found = "", []
    for line in lines:
        if line.startswith("["):
            section = line.strip()
        elif section in ("[console_scripts]", "[gui_scripts]") and "=" in line:
            found.append(line.partition("=")[0].strip())
    return found
