"""What an attack found: counts, as a table, as JSON, and as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import shipway
from bench.report import machine

SHOWN = 5
"""Broken tries that are told in full, for each case."""


@dataclass(frozen=True)
class Count:
    """One line: how often a case was tried, and what broke ("which try: what was found").

    `promises` are the invariants at stake.  `skipped` says why a case could not be tried here; then there were no tries.
    `figures` are measurements beside, by their names with the unit.  `naive` marks the twin that must break: what others do,
    attacked by the same code.
    """

    attack: str
    case: str
    tries: int
    broken: Sequence[str] = ()
    promises: str = ""
    skipped: str = ""
    figures: Mapping[str, float | str] = field(default_factory=dict)
    naive: bool = False

    @property
    def held(self) -> bool:
        """Whether it is as it should be: ours unbroken, the naive twin broken."""
        return bool(self.broken) if self.naive and not self.skipped else not self.broken


def table(counts: Iterable[Count]) -> str:
    """A block for each attack, a line for each case, then what broke."""
    text = []
    for attack, group in groupby(counts, key=lambda count: count.attack):
        lines = [_cells(count) for count in group]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text += [attack, *(f"  {_join(line, widths)}" for line in lines)]
    return "\n".join(text)


def _cells(count: Count) -> tuple[str, str, str, str]:
    if count.skipped:
        return count.case, "", "", f"skipped: {count.skipped}"
    figures = ", ".join(f"{name} {value}" for name, value in count.figures.items())
    verdict = f"{len(count.broken)} broke" + (" (the naive way)" if count.naive else "" if count.held else "  <<<")
    return count.case, f"{count.tries} tries", verdict, figures


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def complaints(counts: Iterable[Count]) -> str:
    """What broke, in full, of ours alone."""
    text = []
    for count in counts:
        if not count.held:
            found = list(count.broken[:SHOWN]) or ["nothing broke, so the attack proves nothing"]
            text += [f"{count.attack}, {count.case}:", *(f"  {line}" for line in found)]
            text += [f"  … and {len(count.broken) - SHOWN} more"] if len(count.broken) > SHOWN else []
    return "\n".join(text)


def write_json(path: Path, counts: Iterable[Count], place: Path, seconds: float) -> None:
    """Everything that was counted."""
    rows = [
        {"attack": c.attack, "case": c.case, "promises": c.promises, "tries": c.tries, "broken": list(c.broken),
         "skipped": c.skipped, "figures": dict(c.figures), "naive": c.naive}
        for c in counts
    ]  # fmt: skip
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": shipway.__version__,
        "machine": machine(place),
        "seconds": round(seconds),
        "counts": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def markdown(counts: Iterable[Count]) -> str:
    """The tables of docs/proof.md: one for each attack."""
    text = []
    for attack, group in groupby(counts, key=lambda count: count.attack):
        text += [f"### {attack}", "", "| case | promises | tries | broke | |", "| --- | --- | ---: | ---: | --- |"]
        text += [_row(count) for count in group]
        text.append("")
    return "\n".join(text)


def _row(count: Count) -> str:
    figures = ", ".join(f"{name} {value}" for name, value in count.figures.items())
    remark = f"skipped: {count.skipped}" if count.skipped else figures
    broke = "" if count.skipped else f"{len(count.broken)}{' (the naive way)' if count.naive else ''}"
    return f"| {count.case} | {count.promises} | {count.tries or ''} | {broke} | {remark} |"
