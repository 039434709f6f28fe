"""One error for everything a person can cause or must act on.

Any layer may raise a `ShipwayError`; only `cli` prints it.  A message says what is wrong and
where, the hint what to do next, and the exit code is that of the command line contract.
"""

from __future__ import annotations

from collections.abc import Sequence

FAILED = 1
USAGE = 2
CONFLICT = 3
LOCKED = 4
UNBUILT = 5
INTERRUPTED = 130


class ShipwayError(Exception):
    """Something went wrong that a person can understand and act on.

    `details` are all the problems of one kind, one line each, so that they can be mended in one go.
    """

    exit_code = FAILED

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)


class UsageError(ShipwayError):
    """The command was called in a way that cannot mean anything."""

    exit_code = USAGE


class ConflictError(ShipwayError):
    """What is wanted collides with what others own, or with what nobody owns."""

    exit_code = CONFLICT


class LockedError(ShipwayError):
    """A lock was not obtained within the time the caller gave."""

    exit_code = LOCKED


class BuildError(ShipwayError):
    """Some packages could not be built."""

    exit_code = UNBUILT


class StuckError(ShipwayError):
    """A transaction can be neither finished nor undone without guessing (state `stuck`)."""


class CorruptError(ShipwayError):
    """A record or an image is not what Shipway wrote."""


class Interrupted(ShipwayError):
    """The user, or the system, asked to stop: before the commit point, and nothing has changed, unless the message says otherwise."""

    exit_code = INTERRUPTED
