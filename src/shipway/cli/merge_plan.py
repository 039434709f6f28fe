"""The plan of a dry run of `merge`, for people and as JSON.  Not a command of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.report import note_of, tell
from shipway.cli.text import plural
from shipway.errors import CONFLICT

if TYPE_CHECKING:
    from shipway.api import Image, Prefix
    from shipway.model.planning import Conflict, Plan
    from shipway.model.unit import Unit


def show(call: Call, prefix: Prefix, image: Image, plan: Plan, *, explain: bool) -> int:
    """Show what a merge would do; returns 3 if it would meet conflicts, else 0."""
    before = prefix.site.database.installed().get(image.package.identity)
    if call.json:
        change: dict[str, object] = {
            "name": image.package.name,
            "old": before.version if before else None,
            "new": image.package.version,
        }
        call.console.document(_document(plan, image, change))
    else:
        tell(call, (*image.notes, *plan.notes))
        call.console.answer(*(_line(unit, explain=explain) for unit in plan.units))
        if plan.conflicts:
            call.console.error(
                f"{plural(len(plan.conflicts), 'path')} in conflict; nothing was changed",
                map(_conflict, plan.conflicts),
            )
        call.console.say(f"dry run: {plural(len(plan.units), 'unit')}; nothing was changed")
    return CONFLICT if plan.conflicts else 0


def _line(unit: Unit, *, explain: bool) -> str:
    line = f"{unit.verb:<6}  {unit.path}{'/' if unit.kind == 'd' else ''}"
    return f"{line}  ({unit.why})" if explain and unit.why else line


def _conflict(conflict: Conflict) -> str:
    owners = f" ({' and '.join(conflict.owners)})" if conflict.owners else ""
    settled = (
        f"; --on-conflict {' or '.join(conflict.settled_by)} settles it" if conflict.settled_by else "; no policy helps"
    )
    return f"{conflict.path}: {conflict.problem}{owners}{settled}"


def _document(plan: Plan, image: Image, change: dict[str, object]) -> dict[str, object]:
    return {
        "dry_run": True,
        "changes": [change],
        "units": [
            {"verb": u.verb, "path": u.path, "kind": u.kind, "why": u.why, "derived": u.derived} for u in plan.units
        ],
        "conflicts": [
            {"path": c.path, "problem": c.problem, "owners": list(c.owners), "settled_by": list(c.settled_by)}
            for c in plan.conflicts
        ],
        "notes": [note_of(note) for note in (*image.notes, *plan.notes)],
    }
