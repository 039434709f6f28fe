"""The mtimes that sealed files get, so that no bytecode can outlive its source unnoticed (I6).

An interpreter believes bytecode as long as its source has the mtime, in whole seconds, that the bytecode
was made for; CPython 3 looks at the size too, 2.7 at nothing else.  Both keep 32 bits of the seconds (PEP 3147,
PEP 552).  Builds that set every mtime to one constant (the zip epoch, SOURCE_DATE_EPOCH) would therefore let the
bytecode of one version pass for that of the next.  Three rules, the first that fits:

1. What is the same as in the installed version keeps the installed version's mtime: its bytecode stays good.
2. A `*.py` whose mtime is a constant, or equals the mtime of differing content at its path in the installed version,
   gets one that is derived from its content.
3. Should that still equal the installed version's: a second more.

Pure functions; times are nanoseconds since the epoch, constants and limits whole seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from shipway.model.entry import FILE, Entry

NANOSECONDS = 1_000_000_000

ZIP_EPOCH = 315_532_800
"""1980-01-01 UTC, the earliest time that a zip archive can hold."""

LAST_CONSTANT = ZIP_EPOCH + 86_400 + 14 * 3_600
"""Nothing is older by its own right: the second day of 1980 is over wherever the archive was packed."""

FIRST_DERIVED = ZIP_EPOCH + 2 * 86_400
SPAN = 1_000_000_000
"""Derived times lie between 1980-01-03 and 2011-09-12: never a constant, never in the future."""

_WRAP = 1 << 32


def settled(names: Sequence[Entry], references: Sequence[Entry | None], constants: frozenset[int]) -> int:
    """The mtime for one file of which `names` are the names (more than one: hard links).

    `references` are the entries at the same paths in the installed version, None where there is none;
    `constants` are times in whole seconds that say nothing, besides those of 1980 and before.
    """
    first, before = names[0], references[0]
    if len(names) == 1 and before is not None and before.kind == first.kind and first.same_as(before):
        return before.mtime
    pairs = [(entry, old) for entry, old in zip(names, references, strict=True) if old is not None]
    kept = next((old.mtime for entry, old in pairs if old.kind == entry.kind and entry.same_as(old)), None)
    taken = [old.mtime for entry, old in pairs if _is_python(entry) and old.digest != entry.digest]
    if kept is not None:
        mtime = kept
    elif any(map(_is_python, names)) and is_constant(first.mtime, constants):
        mtime = from_content(first.digest)
    else:
        mtime = first.mtime
    if any(same_second(mtime, other) for other in taken):
        mtime = from_content(first.digest)
    while any(same_second(mtime, other) for other in taken):
        mtime += NANOSECONDS
    return mtime


def is_source(name: str) -> bool:
    """Whether interpreters keep bytecode of a file of this name."""
    return name.endswith(".py")


def _is_python(entry: Entry) -> bool:
    return entry.kind == FILE and is_source(entry.name)


def is_constant(mtime: int, constants: frozenset[int]) -> bool:
    """Whether an mtime says nothing about its file: 1980 and before, or one of `constants` (whole seconds)."""
    seconds = mtime // NANOSECONDS
    return seconds <= LAST_CONSTANT or seconds in constants


def from_content(digest: str) -> int:
    """An mtime that stands for content: the same for the same SHA-256 (hex), else almost surely another."""
    return (FIRST_DERIVED + int(digest[:8], 16) % SPAN) * NANOSECONDS


def same_second(one: int, other: int) -> bool:
    """Whether an interpreter, which keeps 32 bits of the whole seconds, takes two mtimes for one."""
    return (one // NANOSECONDS - other // NANOSECONDS) % _WRAP == 0
