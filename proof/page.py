"""The counts of a run, put into the page of the documentation that shows the last one."""

from __future__ import annotations

import json
from pathlib import Path

from proof.report import Count, markdown

BEGIN = "<!-- counts: begin -->"
END = "<!-- counts: end -->"


def write_page(page: Path, results: Path) -> None:
    """Show the counts of a run on a page."""
    put(page, section(results))


def put(page: Path, shown: str) -> None:
    """Replace what stands between the two marks.  Raises ValueError if the page has no marks."""
    text = page.read_text()
    head, found, rest = text.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n\n{shown}\n{END}{tail}")


def read_counts(results: Path) -> list[Count]:
    """What write_json wrote."""
    return [Count(**row) for row in json.loads(results.read_text())["counts"]]


def section(results: Path) -> str:
    """A line on the run, and its tables."""
    document = json.loads(results.read_text())
    counts = read_counts(results)
    machine = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in document["machine"].items())
    tries, broken = sum(c.tries for c in counts), sum(not c.held for c in counts)
    line = (
        f"{document['date']}, shipway {document['version']}, {document['seconds']} s, {machine}: {tries} tries, "
        f"{broken or 'no'} cases that are not as promised."
    )
    return f"{line}\n\n{markdown(counts)}"
