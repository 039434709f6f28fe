"""Who runs with what, as far as recipes have said so: pure functions of the notes that images have."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping

from shipway.schedule.ingredients import Ingredients


def dependents(notes: Mapping[str, Ingredients], going: Names[str]) -> dict[str, list[str]]:
    """For packages that run with one of `going`, and are not among them, which these are; all by identity.

    Those that run with dependents are dependents too: whoever takes all of them away leaves nothing behind that lacks something.
    """
    gone = set(going)
    found: dict[str, list[str]] = {}
    while True:
        new = {
            identity: sorted(gone.intersection(note.runs))
            for identity, note in notes.items()
            if identity not in gone and gone.intersection(note.runs)
        }
        if not new:
            return found
        found |= new
        gone |= new.keys()
