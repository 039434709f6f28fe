r"""Running a command in our place: its signals are ours to pass on, its exit code is ours.

Signals are not handled but waited for (sigwaitinfo(2)): nothing can slip in between, and each says who sent it.  What
a terminal sends (Ctrl-C, Ctrl-\) reaches the command by itself, since it is in the same process group, and is not sent
twice; what a process sends to us alone is passed on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence

from shipway.errors import ShipwayError

NOT_FOUND, NOT_RUN, BY_SIGNAL = 127, 126, 128
"""Exit codes as env(1) and sh(1) have them."""

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
)
_FROM_THE_KERNEL = 0x80
"""SI_KERNEL: sent by the terminal, to the whole process group."""

_RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""Ignored by Python; a command expects them as they are by default."""


class CannotRunError(ShipwayError):
    """The command could not be started."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command with a few more variables, to its end; returns its exit code.  Raises CannotRunError."""
    watched = {signal.SIGCHLD, *_PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = _start(words, {**os.environ, **environment}, before)
        return _watch(child, watched)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(words: Sequence[str], environment: Mapping[str, str], mask: set[int] | set[signal.Signals]) -> int:
    handled = [number for number in _PASSED_ON if callable(signal.getsignal(number))]
    try:
        return os.posix_spawnp(words[0], list(words), environment, setsigmask=mask, setsigdef=[*_RESET, *handled])
    except FileNotFoundError as error:
        raise CannotRunError(f"{words[0]}: not found", NOT_FOUND) from error
    except OSError as error:
        raise CannotRunError(f"{words[0]}: {error.strerror}", NOT_RUN) from error


def _watch(child: int, watched: set[signal.Signals]) -> int:
    while True:
        received = signal.sigwaitinfo(watched)
        if received.si_signo != signal.SIGCHLD:
            if received.si_code != _FROM_THE_KERNEL:
                os.kill(child, received.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else BY_SIGNAL - code
