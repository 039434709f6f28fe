"""The rows of all tools: as a table, as JSON, and as the table of the documentation's page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import shipway
from bench.report import machine
from proof.peers.attacks import Crowd, Kills, Reads
from proof.peers.case import Times

HEAD = (
    "tool", "kills", "mixed", "holes", "again: refused", "broken", "“success”", "beyond remedy",
    "passes", "missing", "torn", "mixed", "rounds of 4", "failed", "broken", "old left",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What became of a tool; `skipped` says why it was not tried.  `left` counts old files after an undisturbed upgrade."""

    tool: str
    version: str = ""
    skipped: str = ""
    left: int = 0
    times: Times | None = None
    kills: Kills = field(default_factory=Kills)
    reads: Reads = field(default_factory=Reads)
    crowd: Crowd = field(default_factory=Crowd)
    seconds: int = 0

    @property
    def sound(self) -> bool:
        """Whether it did what Shipway promises: no holes, nothing broken afterwards, nobody failed."""
        killed = (self.kills.holes, self.kills.broken, self.kills.refused)
        return not any((*killed, self.reads.missing, self.reads.torn, self.crowd.failed, self.crowd.broken, self.left))


def table(rows: Iterable[Row]) -> str:
    """All tools, and under them what was found with each."""
    rows = list(rows)
    lines = [HEAD, *(_cells(row) for row in rows if not row.skipped)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_join(line, widths) for line in lines]
    text += [f"{row.tool}: not tried: {row.skipped}" for row in rows if row.skipped]
    return "\n".join(text)


def findings(row: Row) -> list[str]:
    """Some of what was found, in full."""
    named = (("kills", row.kills.found), ("reader", row.reads.found), ("at once", row.crowd.found))
    return [f"  {row.tool}, {name}: {found}" for name, all_found in named for found in all_found[:3]]


def _cells(row: Row) -> tuple[str, ...]:
    k, r, c = row.kills, row.reads, row.crowd
    killed = (k.landed, k.mixed, k.holes, k.refused, k.broken, k.claimed, k.beyond)
    numbers = (*killed, r.passes, r.missing, r.torn, r.mixed, c.rounds, c.failed, c.broken, row.left)
    return (row.version, *map(str, numbers))


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers])


def write_json(path: Path, rows: Iterable[Row], place: Path, seconds: float) -> None:
    """Everything that was counted."""
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": shipway.__version__,
        "machine": machine(place),
        "seconds": round(seconds),
        "rows": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def read_json(path: Path) -> tuple[str, list[Row]]:
    """A line on the run, and its rows."""
    document = json.loads(path.read_text())
    on = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in document["machine"].items())
    return f"{document['date']}, {document['seconds']} s, {on}.", [_row(row) for row in document["rows"]]


def _row(row: dict[str, object]) -> Row:
    parts = {"kills": Kills, "reads": Reads, "crowd": Crowd, "times": Times}
    made = {
        name: parts[name](**held) if name in parts and isinstance(held, dict) else held for name, held in row.items()
    }
    return Row(**made)  # type: ignore[arg-type]


def markdown(path: Path) -> str:
    """The tables of the page: one for each attack."""
    line, rows = read_json(path)
    tried = [row for row in rows if not row.skipped]
    text = [line, "", "### Killed in the middle", *_killed(tried), "", "### A reader during upgrades", *_read(tried)]
    text += ["", "### Four upgrades at once", *_crowded(tried), ""]
    text += [f"Not tried: {row.tool}: {row.skipped}." for row in rows if row.skipped]
    return "\n".join(text)


def _killed(rows: Iterable[Row]) -> list[str]:
    head = (
        "kills", "mixed right after", "holes right after", "the same command again: refused", "broken",
        "whole, old files left over", "“success” over a broken tree", "still broken after the manual's remedy", "left litter",
    )  # fmt: skip
    text = _head(head)
    for row in rows:
        k = row.kills
        text.append(
            _line(row, k.landed, k.mixed, k.holes, k.refused, k.broken, k.surplus, k.claimed, k.beyond, k.littered)
        )
    return text


def _read(rows: Iterable[Row]) -> list[str]:
    text = _head(
        ("upgrades", "ms each", "passes", "files missing", "files torn", "passes with both versions", "old files left")
    )
    for row in rows:
        r, whole = row.reads, row.times.whole if row.times else 0
        text.append(_line(row, r.upgrades, round(1000 * whole), r.passes, r.missing, r.torn, r.mixed, row.left))
    return text


def _crowded(rows: Iterable[Row]) -> list[str]:
    text = _head(
        (
            "rounds",
            "processes",
            "failed",
            "rounds that ended broken",
            "whole, files of another left over",
            "rounds that left litter",
        )
    )
    for row in rows:
        c = row.crowd
        text.append(_line(row, c.rounds, 4 * c.rounds, c.failed, c.broken, c.surplus, c.littered))
    return text


def _head(names: Sequence[str]) -> list[str]:
    return ["", f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]


def _line(row: Row, *numbers: int) -> str:
    return f"| {row.version} | {' | '.join(map(str, numbers))} |"
