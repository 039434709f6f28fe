"""The result as a table, and as a page of the documentation."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import NamedTuple

_MARK = "<!-- result -->\n"


class Row(NamedTuple):
    """One package: what became of it, seconds that its build took, files that it installs."""

    name: str
    version: str
    deed: str
    seconds: float
    files: int


def table(rows: list[Row]) -> str:
    """As Markdown."""
    lines = [f"| {r.name} | {r.version} | {r.deed} | {r.seconds:.1f} s | {r.files:,} |" for r in rows]
    return "\n".join(["| package | version | | built in | files |", "| --- | --- | --- | --- | --- |", *lines])


def write_page(page: Path, rows: list[Row], seconds: float) -> None:
    """Replace what stands behind the mark of a page."""
    machine = (
        f"{os.cpu_count()} processors, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )
    said = f"{time.strftime('%Y-%m-%d')}, `make collection`, on a virtual machine with {machine}: {len(rows)} packages in {seconds / 60:.0f} min.\n\n"
    above = page.read_text().partition(_MARK)[0]
    page.write_text(f"{above}{_MARK}\n{said}{table(rows)}\n")
