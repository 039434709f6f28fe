"""A shell where a package is built: its environment, its directory, as far apart as its phases."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping

from shipway.build.environment import environment
from shipway.build.one import Request, refuse
from shipway.build.phases import begins, where
from shipway.errors import ShipwayError
from shipway.fs.apart import ApartError, Command, Keeper, Orders

SHELL = ("sh", "-i")


def open_shell(request: Request, more: Mapping[str, str], words: tuple[str, ...] = SHELL) -> int:
    """Run a shell, or another command, on the terminal of this process; returns its exit status, or 128 and a signal's number.

    `more` are variables that a person at a terminal wants (TERM).  DESTDIR is there, as in the install phase.  What it writes into the
    prefix stays in the build's directory, with what phases have written.  Raises ShipwayError where it cannot be run.
    """
    refuse(request._replace(phases=()))
    target = request.target
    place = next(
        (path for path in (where(target, "install"), begins(target)) if os.path.isdir(path)), target.directory.root
    )
    variables = {**environment(target, request.tools, "install"), **more}
    orders = Orders(
        (Command(place, words),), variables, request.isolation, request.view, target.recipe.network, terminal=True
    )
    with _terminal_kept():
        keeper = Keeper(orders)
        try:
            status = keeper.end().status
        except ApartError as error:
            raise ShipwayError(f"{target.recipe.name}: the shell could not be run: {error}") from error
        except BaseException:
            keeper.kill()
            raise
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def _terminal_kept() -> Iterator[None]:
    """An interactive shell takes the terminal for its own process group, and cannot give it back across namespaces."""
    group = os.getpgrp()
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, group)
        signal.signal(signal.SIGTTOU, before)
