"""What `shipway pip` did, or would do: for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.report import document as report_of
from shipway.cli.report import footnote

if TYPE_CHECKING:
    from shipway.adopting import Adopted
    from shipway.installing import Change, Done


def tell_adopted(call: Call, adopted: Iterable[Adopted]) -> None:
    """What was taken over from others, and how it was found."""
    for name, version, damage in adopted:
        call.console.say(f"{name} {version} was installed by somebody else; it was taken over as it was")
        for text in damage:
            call.console.warn(f"{name} was damaged: {text}")


def document(call: Call, done: Done) -> dict[str, object]:
    """The change set; of a dry run the plan, whose `transaction` is null."""
    changes = [{"name": c.name, "old": c.old or None, "new": c.new or None} for c in done.changes]
    rest = report_of(call, done.outcome) if done.outcome else {"transaction": None}
    return {**rest, "changes": changes, "adopted": [a._asdict() for a in done.adopted]}


def sentences(call: Call, done: Done, *, dry_run: bool) -> list[str]:
    """A line for each project, then what became of it all."""
    if not done.changes:
        return [f"everything is as wanted in {call.root}"]
    lines = [f"  {_brief(change)}" for change in sorted(done.changes)]
    if dry_run:
        return [f"would change {call.root}:", *lines]
    assert done.outcome is not None
    if not done.outcome.number:
        return [f"everything is as wanted in {call.root}"]
    return [*lines, f"{call.root} is changed {footnote(done.outcome)}"]


def _brief(change: Change) -> str:
    if not change.new:
        return f"- {change.name} {change.old}"
    if not change.old:
        return f"+ {change.name} {change.new}"
    return (
        f"  {change.name} {change.old} → {change.new}"
        if change.old != change.new
        else f"  {change.name} {change.new} again"
    )
