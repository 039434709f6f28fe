"""The stack of claims on a path (I5): who owns it before and after, and whether that is a conflict.

Where all claims agree there is no order among them and nothing is recorded.  Where they differ the stack is: a
claim pushed by `backup` or `overwrite` lies on top, and when it goes the one below comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shipway.model.entry import DIRECTORY, KIND_NAMES
from shipway.model.facts import BACKUP
from shipway.model.planning import Claim, Conflict, Policy

SETTLED = (Policy.BACKUP, Policy.OVERWRITE)


class Path(NamedTuple):
    """All claims on one path: of the packages that change (`old`, `new`) and of everybody else."""

    path: str
    old: Sequence[Claim]
    new: Sequence[Claim]
    others: Sequence[Claim]


class Outcome(NamedTuple):
    """The claim that shows before and after, the stack after (empty where claims agree), and a conflict."""

    before: Claim | None
    after: Claim | None
    stack: tuple[str, ...]
    conflict: Conflict | None


def top(claims: Sequence[Claim], stack: Sequence[str]) -> Claim | None:
    """The claim that shows: the highest of the stack, or any where they agree."""
    by_owner = {claim.owner: claim for claim in claims}
    for owner in reversed(stack):
        if owner in by_owner:
            return by_owner[owner]
    return claims[-1] if claims else None


def settle(at: Path, contest: Sequence[str], policy: Policy, wanted: Sequence[str] | None = None) -> Outcome:
    """Who shows at a path before and after, given the recorded stack there; `wanted` is the stack an undo goes back to."""
    before = top([*at.others, *at.old], contest)
    claims = {claim.owner: claim for claim in (*at.others, *at.new)}
    stack = [owner for owner in (contest if wanted is None else wanted) if owner in claims]
    stack += [claim.owner for claim in at.others if claim.owner not in stack]
    conflict = None
    for claim in at.new:
        if claim.owner in contest or claim.owner in stack:
            continue
        below = claims[stack[-1]] if stack else None
        if below is not None and not below.entry.same_as(claim.entry) and policy is Policy.FAIL:
            conflict = Conflict(at.path, differs(claim, below), (claim.owner, below.owner), SETTLED)
        stack.append(claim.owner)
    shown = claims[stack[-1]] if stack else None
    only_backups = all(owner.startswith(BACKUP) for owner in stack)
    contested = not only_backups and _differ([claims[owner] for owner in stack])
    return Outcome(before, shown, tuple(stack) if contested else (), conflict)


def differs(one: Claim, other: Claim) -> str:
    """In words, how two claims on one path differ."""
    if one.entry.kind != other.entry.kind:
        return f"{KIND_NAMES[one.entry.kind]} against {KIND_NAMES[other.entry.kind]}"
    if one.entry.kind == DIRECTORY or one.entry.digest != other.entry.digest:
        return "differing content"
    if one.entry.target != other.entry.target:
        return f"link to {one.entry.target} against link to {other.entry.target}"
    if one.entry.mode != other.entry.mode:
        return f"mode {one.entry.mode:04o} against {other.entry.mode:04o}"
    return "differing attributes"


def _differ(claims: Sequence[Claim]) -> bool:
    return any(not claim.entry.same_as(claims[0].entry) or claim.owner.startswith(BACKUP) for claim in claims)
