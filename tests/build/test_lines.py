from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.build.lines import LONGEST, Lines


def lines_of(*pieces: bytes) -> list[str]:
    lines = Lines()
    return [line for piece in pieces for line in lines.feed(piece)] + lines.finish()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b" 1%\r 50%\r100%\n", ["100%"]),
        (b"\x1b[1;31merror:\x1b[0m x\x1b[K\n", ["error: x"]),
        (b"\x1b]0;title\x07text\n", ["text"]),
        (b"tab\there\n", ["tab\there"]),
        (b"\x00\x07\x7f\n", ["\\x00\\x07\\x7f"]),
        (b"\xff\xfe caf\xc3\xa9\n", ["\\xff\\xfe café"]),
        ("\x85\u2028\n".encode(), ["\\x85\\u2028"]),
        (b"", []),
    ],
)
def test_what_is_written_can_be_read(written: bytes, read: list[str]) -> None:
    assert lines_of(written) == read


def test_lines_come_when_they_are_whole() -> None:
    lines = Lines()
    assert lines.feed(b"a\nb") == ["a"]
    assert lines.feed("é".encode()[:1]) == []
    assert lines.feed("é".encode()[1:] + b"\n") == ["bé"]
    assert lines.finish() == []


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_every_line_is_one_line_of_text_without_control(pieces: list[bytes]) -> None:
    for line in lines_of(*pieces):
        assert line.splitlines() in ([line], [])
        assert not any(ord(c) < 32 and c != "\t" for c in line)
        line.encode("utf-8")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_it_does_not_matter_where_the_pieces_end(data: bytes, where: int) -> None:
    assert lines_of(data[:where], data[where:]) == lines_of(data)


def test_no_line_is_longer_than_the_longest() -> None:
    found = lines_of(b"y" * (3 * LONGEST + 1) + b"\n" + b"z" * LONGEST)
    assert "".join(found) == "y" * (3 * LONGEST + 1) + "z" * LONGEST
    assert {len(line) for line in found} <= {1, LONGEST}
