"""Running the commands of one phase: on one terminal, so that what they say is in true order; nothing of them is left behind."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from shipway.build.lines import Lines
from shipway.build.log import Log
from shipway.errors import Interrupted
from shipway.fs.apart import Ended, Keeper, Orders
from shipway.fs.stop import Stop
from shipway.fs.terminal import Terminal

REMEMBERED = 30
"""So many last lines of a phase are told where it fails."""


class Ran(NamedTuple):
    """A phase that came to its end, by itself or otherwise; `last` are its last lines."""

    ended: Ended
    last: tuple[str, ...]


class Ears:
    """Who hears what tools say: the log, a listener, and a memory for the last lines."""

    def __init__(self, log: Log, listen: Callable[[list[str]], None]) -> None:
        self.log = log
        self.listen = listen
        self.last: deque[str] = deque(maxlen=REMEMBERED)

    def hear(self, lines: list[str]) -> None:
        """Whole lines, in the order in which they were written."""
        if lines:
            self.log.tools_said(lines)
            self.last.extend(lines[-REMEMBERED:])
            self.listen(lines)


def run(orders: Orders, ears: Ears, stop: Stop) -> Ran:
    """Run commands to their end.

    Raises Interrupted if it was asked to stop, ApartError if they could not be run; whatever leaves this function, an interrupt
    too, finds all processes dead.
    """
    with Terminal() as terminal:
        keeper = Keeper(orders, terminal.far)
        try:
            terminal.close_far()
            lines = Lines()
            _follow(terminal, keeper, stop, lambda data: ears.hear(lines.feed(data)))
            ended = keeper.end()
        except BaseException:
            keeper.kill()
            raise
        while terminal.has_more():
            ears.hear(lines.feed(terminal.read()))
        ears.hear(lines.finish())
    return Ran(ended, tuple(ears.last))


def _follow(terminal: Terminal, keeper: Keeper, stop: Stop, take: Callable[[bytes], None]) -> None:
    with selectors.DefaultSelector() as selector:
        for source in (terminal, keeper, stop):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if stop in ready:
                raise Interrupted("interrupted")
            if terminal in ready:
                take(terminal.read())
            if keeper in ready:
                return
