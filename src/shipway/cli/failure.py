"""From what was raised to one clear error on stderr, and to the exit code of the contract."""

from __future__ import annotations

import errno
import os

import click

from shipway.cli.console import Console
from shipway.errors import FAILED, INTERRUPTED, ShipwayError

_HINTS = {
    errno.ENOSPC: "the disk is full; `shipway gc --keep 1` gives up old undo areas",
    errno.EDQUOT: "your quota is used up; `shipway gc --keep 1` gives up old undo areas",
    errno.EROFS: "the file system is mounted read-only",
    errno.EACCES: "ask the owner of the prefix, or use sudo",
}
_DEATHS = (KeyboardInterrupt, click.Abort)


def report(error: BaseException, console: Console) -> int:
    """Say what went wrong; returns the exit code."""
    if isinstance(error, ShipwayError):
        console.error(error.message, error.details, error.hint)
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, _DEATHS):
        console.error("interrupted; nothing was changed")
        return INTERRUPTED
    if isinstance(error, OSError):
        console.error(_sentence(error), hint=_HINTS.get(error.errno or 0, ""))
        return FAILED
    if isinstance(error, ExceptionGroup) and error.subgroup(OSError) is not None:
        console.error(error.message, [_sentence(each) for each in _leaves(error)])
        return FAILED
    return _bug(error, console)


def _sentence(error: BaseException) -> str:
    """What the system says, and about which files."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return ": ".join(filter(None, (" → ".join(names), error.strerror)))


def _leaves(group: ExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return found


def _bug(error: BaseException, console: Console) -> int:
    """Nobody's fault but ours: all there is to report it with."""
    import traceback

    console.shout("".join(traceback.format_exception(error)).rstrip())
    hint = "this is a defect of shipway; the prefix is as it was, or the next command heals it.  Please report it with the lines above"
    console.error(f"{type(error).__name__}: {error}", hint=hint)
    return FAILED
