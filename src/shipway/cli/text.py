"""Words for numbers, times and paths: pure functions from values to what a person reads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def plural(count: int, word: str, more: str = "") -> str:
    """A number of things: 1 file, 2 files, 2 directories."""
    return f"{count:,} {word if count == 1 else more or word + 's'}"


def size(count: int) -> str:
    """Bytes as people say them: 812 bytes, 1.4 MiB."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{count} bytes" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def milliseconds(spent: float) -> str:
    """4 ms, 1.2 s; never 0."""
    return f"{max(spent, 1):.0f} ms" if spent < 1000 else f"{spent / 1000:.1f} s"


def seconds(spent: float) -> str:
    """0.4 s, 45 s, 2 min 5 s, 1 h 12 min."""
    if spent < 60:
        return f"{spent:.1f} s" if spent < 10 else f"{spent:.0f} s"
    minutes, rest = divmod(round(spent), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def utc(seconds: float) -> str:
    """ISO 8601 in UTC, for machines."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def local(seconds: float) -> str:
    """The time on the clock on the wall, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def visible(text: str) -> str:
    """A text that may hold a file name, safe for a terminal: control characters, and bytes that are no text, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else _escape(c) for c in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as aligned lines; the columns numbered in `right` are set to the right."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(_cell(row[i], widths[i], i in right) for i in range(len(row))).rstrip() for row in rows]


def _cell(text: str, width: int, to_the_right: bool) -> str:
    return text.rjust(width) if to_the_right else text.ljust(width)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def ranges(numbers: Sequence[int]) -> str:
    """Numbers with runs drawn together: 1-4, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
