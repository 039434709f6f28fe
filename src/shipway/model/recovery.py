"""What to do about one unit of a transaction that may have been interrupted: a pure table.

Every unit has two sides: `staged`, its place in the work area, and `live`, its path in the prefix.  For each side
we say which role what lies there plays: the new content, the old content, nothing, or something else.  The
living process and recovery ask the same table, forward to finish and backward to take back.

| verb   | to do          | done           |
|---|---|---|
| place  | (new, absent)  | (absent, new)  |
| swap   | (new, old)     | (old, new)     |
| retire | (absent, old)  | (old, absent)  |
| rmdir  | (absent, old)  | (absent, absent) |

In fall-back mode (no exchange) the old content lies in a third place, `saved`, before the commit point, and a swap
is done when (absent, new).  There a file is placed by a link and an unlink: (new, new) lies between.  Where a kind changes without an exchange, the instant between is (new, absent).

To take back is easier than to finish: while the new content is still staged (or nothing was taken yet) the unit has not been
carried out, whatever somebody else has put at the live path since, and there is nothing to take back.

What was retired lies in our own area: something else at its path came afterwards and is somebody's, who may keep it.
"""

from __future__ import annotations

from enum import StrEnum

from shipway.model.unit import Verb


class Role(StrEnum):
    """What lies on one side of a unit."""

    NEW = "new"
    OLD = "old"
    ABSENT = "absent"
    OTHER = "other"


class Action(StrEnum):
    """What to do about a unit, forward or backward."""

    DONE = "done"
    PLACE = "place"
    """staged → live, which is free"""
    EXCHANGE = "exchange"
    """staged ↔ live"""
    TAKE = "take"
    """live → staged, which is free"""
    DROP = "drop"
    """live, which is the same file as staged, loses its name"""
    RMDIR = "rmdir"
    MKDIR = "mkdir"
    RESTORE = "restore"
    """saved → live (fall-back mode)"""
    REGAIN = "regain"
    """staged → live, name by name: what somebody else has put there meanwhile makes way where a name is needed"""
    UNCLEAR = "unclear"


_FORWARD: dict[tuple[Verb, Role, Role], Action] = {
    (Verb.PLACE, Role.NEW, Role.ABSENT): Action.PLACE,
    (Verb.PLACE, Role.ABSENT, Role.NEW): Action.DONE,
    (Verb.PLACE, Role.NEW, Role.NEW): Action.DONE,
    (Verb.PLACE, Role.OTHER, Role.NEW): Action.DONE,
    (Verb.SWAP, Role.NEW, Role.NEW): Action.DONE,
    (Verb.SWAP, Role.NEW, Role.OLD): Action.EXCHANGE,
    (Verb.SWAP, Role.OLD, Role.NEW): Action.DONE,
    (Verb.SWAP, Role.ABSENT, Role.NEW): Action.DONE,
    (Verb.SWAP, Role.OTHER, Role.NEW): Action.DONE,
    (Verb.SWAP, Role.NEW, Role.ABSENT): Action.PLACE,
    (Verb.RETIRE, Role.ABSENT, Role.OLD): Action.TAKE,
    (Verb.RETIRE, Role.OLD, Role.ABSENT): Action.DONE,
    (Verb.RETIRE, Role.OTHER, Role.ABSENT): Action.DONE,
    (Verb.RETIRE, Role.OLD, Role.OTHER): Action.DONE,
    (Verb.RETIRE, Role.OTHER, Role.OTHER): Action.DONE,
    (Verb.RETIRE, Role.ABSENT, Role.ABSENT): Action.DONE,
    (Verb.RMDIR, Role.ABSENT, Role.OLD): Action.RMDIR,
    (Verb.RMDIR, Role.ABSENT, Role.ABSENT): Action.DONE,
}

_BACKWARD: dict[tuple[Verb, Role, Role], Action] = {
    (Verb.PLACE, Role.NEW, Role.ABSENT): Action.DONE,
    (Verb.PLACE, Role.NEW, Role.OTHER): Action.DONE,
    (Verb.PLACE, Role.ABSENT, Role.NEW): Action.TAKE,
    (Verb.PLACE, Role.NEW, Role.NEW): Action.DROP,
    (Verb.SWAP, Role.NEW, Role.NEW): Action.RESTORE,
    (Verb.SWAP, Role.NEW, Role.OLD): Action.DONE,
    (Verb.SWAP, Role.NEW, Role.OTHER): Action.DONE,
    (Verb.SWAP, Role.OLD, Role.NEW): Action.EXCHANGE,
    (Verb.SWAP, Role.ABSENT, Role.OLD): Action.DONE,
    (Verb.SWAP, Role.ABSENT, Role.NEW): Action.RESTORE,
    (Verb.SWAP, Role.NEW, Role.ABSENT): Action.RESTORE,
    (Verb.RETIRE, Role.ABSENT, Role.OLD): Action.DONE,
    (Verb.RETIRE, Role.OLD, Role.OLD): Action.DONE,
    (Verb.RETIRE, Role.ABSENT, Role.OTHER): Action.DONE,
    (Verb.RETIRE, Role.OLD, Role.ABSENT): Action.PLACE,
    (Verb.RETIRE, Role.OLD, Role.OTHER): Action.REGAIN,
    (Verb.RMDIR, Role.ABSENT, Role.OLD): Action.DONE,
    (Verb.RMDIR, Role.ABSENT, Role.ABSENT): Action.MKDIR,
}


def forward(verb: Verb, staged: Role, live: Role) -> Action:
    """What finishes a unit; UNCLEAR where nothing may be guessed."""
    return _FORWARD.get((verb, staged, live), Action.UNCLEAR)


def backward(verb: Verb, staged: Role, live: Role) -> Action:
    """What takes a unit back; UNCLEAR where nothing may be guessed."""
    return _BACKWARD.get((verb, staged, live), Action.UNCLEAR)


def forward_derived(verb: Verb, staged: Role, live: Role) -> Action:
    """The same for a derived file, which any program may have written or removed meanwhile: never unclear."""
    if verb is Verb.RETIRE:
        return Action.TAKE if staged is Role.ABSENT and live is not Role.ABSENT else Action.DONE
    if staged is not Role.NEW:
        return Action.DONE
    return Action.PLACE if live is Role.ABSENT else Action.EXCHANGE


def backward_derived(verb: Verb, staged: Role, live: Role) -> Action:
    """The inverse for a derived file."""
    if verb is Verb.RETIRE:
        return Action.PLACE if staged is not Role.ABSENT and live is Role.ABSENT else Action.DONE
    if live is Role.NEW:
        return Action.TAKE if staged is Role.ABSENT else Action.EXCHANGE
    return Action.DONE
