"""The demo's table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from demo.rounds import Track

HEADINGS = (
    ("", "", "installs", "imports", "saw two", "files", "old files", "wrong"),
    ("", "rounds", "failed", "that broke", "versions", "missing", "left", "afterwards"),
)


def layout(tracks: Sequence[Track]) -> str:
    """A block for each race, a line for each method; files and imports are summed over the rounds."""
    lines = [*HEADINGS, *map(_cells, tracks)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_join(line, widths) for line in HEADINGS]
    for title, race in groupby(tracks, key=lambda track: track.race.title):
        text += [title, *(_join(_cells(track), widths) for track in race)]
    return "\n".join(text)


def _cells(track: Track) -> tuple[str, ...]:
    tally = track.tally
    numbers = (tally.seen.mixed, tally.missing, tally.left_over, tally.wrong_after)
    broken = f"{tally.seen.broken} of {tally.seen.found}"
    return (f"  {track.method.name}", str(tally.rounds), str(tally.failed), broken, *map(str, numbers))


def _join(line: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_aligned(line, widths)).rstrip()


def _aligned(line: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    yield line[0].ljust(widths[0])
    for cell, width in zip(line[1:], widths[1:], strict=True):
        yield cell.rjust(width)
