"""What was measured, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import shipway


@dataclass(frozen=True)
class Measure:
    """One line of the table: values of all rounds, of which the median counts.

    `unit` is "of" for a ratio to the time of something else, else "ms" or "MB"; `target` is the most that is allowed, None
    where a number is only told.  `raw` holds what the values were made from, for the JSON.
    """

    work: str
    unit: str
    values: Sequence[float]
    target: float | None = None
    raw: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The number that counts."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.median <= self.target


def ratio(work: str, ours: Sequence[float], theirs: Sequence[float], target: float | None) -> Measure:
    """The time of ours to that of theirs, round by round; both in seconds."""
    values = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Measure(work, "of", values, target, {"shipway_s": list(ours), "other_s": list(theirs)})


def table(measures: Iterable[Measure]) -> str:
    """Work, median, range, target, and whether it is met."""
    lines = [("", "median", "least", "most", "target", ""), *map(_cells, measures)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_join(line, widths) for line in lines)


def _cells(measure: Measure) -> tuple[str, ...]:
    low, high = min(measure.values), max(measure.values)
    target = "" if measure.target is None else f"≤ {_number(measure.target, measure.unit)}"
    met = {True: "met", False: "MISSED", None: ""}[measure.met]
    return (measure.work, *(_number(value, measure.unit) for value in (measure.median, low, high)), target, met)


def _number(value: float, unit: str) -> str:
    if unit == "of":
        return f"{value:.2f}"
    return f"{value:.0f} {unit}" if value >= 20 else f"{value:.1f} {unit}"


def _join(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
    return "  ".join([line[0].ljust(widths[0]), *cells]).rstrip()


def machine(place: Path) -> dict[str, object]:
    """What the numbers depend on, without names."""
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "file_system": _file_system(place),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _file_system(place: Path) -> str:
    """The type of the mount that holds a place (proc(5), mountinfo)."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    holding = [m for m in mounts if place.resolve().is_relative_to(m[4])]
    innermost = max(holding, key=lambda m: len(m[4]))
    return innermost[innermost.index("-") + 1]


def write_json(path: Path, measures: Iterable[Measure], place: Path) -> None:
    """Write everything measured, raw values too."""
    rows = [
        {"work": m.work, "unit": m.unit, "median": m.median, "target": m.target, "met": m.met,
         "values": list(m.values), **({"raw": dict(m.raw)} if m.raw else {})}
        for m in measures
    ]  # fmt: skip
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": shipway.__version__,
        "machine": machine(place),
        "measures": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
