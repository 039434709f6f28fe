r"""What tools write, as lines that can be read: a pure function of bytes.

Colours and movements of the cursor are left out, a line that was written over shows its last text, and bytes that are no text
stand as \xNN.  Lines are broken at 8 KiB.
"""

from __future__ import annotations

import re

LONGEST = 8192
"""So many bytes are a line, whatever comes."""

_CONTROL_SEQUENCE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Za-z]|\x1b[=>78cM]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]")
_PLAIN = re.compile(rb"[\t\n -~]*\Z")


class Lines:
    """Takes bytes as they come and gives whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        text = self._rest + data
        whole, newline, self._rest = text.rpartition(b"\n")
        found = _readable(whole) if newline else []
        if len(self._rest) > LONGEST:
            found += _pieces(self._rest)
            self._rest = b""
        return found

    def finish(self) -> list[str]:
        """What was written without a line's end."""
        rest, self._rest = self._rest, b""
        return _readable(rest) if rest else []


def _readable(data: bytes) -> list[str]:
    if _PLAIN.match(data):
        lines = data.decode("ascii").split("\n")
        return (
            lines
            if max(map(len, lines)) <= LONGEST
            else [piece for line in data.split(b"\n") for piece in _pieces(line)]
        )
    return [piece for line in data.split(b"\n") for piece in _pieces(line)]


def _pieces(line: bytes) -> list[str]:
    line = _last_written(_CONTROL_SEQUENCE.sub(b"", line))
    return [_text(line[start : start + LONGEST]) for start in range(0, max(len(line), 1), LONGEST)]


def _last_written(line: bytes) -> bytes:
    """What stands in a line after the cursor went back to its beginning, perhaps more than once."""
    line = line.rstrip(b"\r")
    return line.rpartition(b"\r")[2]


def _text(line: bytes) -> str:
    return _CONTROL.sub(_escaped, line.decode("utf-8", "surrogateescape"))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code & 0xFF:02x}" if code < 0x100 or code >= 0xDC80 else f"\\u{code:04x}"
