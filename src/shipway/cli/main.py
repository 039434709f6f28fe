"""Where `shipway` starts: as little as possible before the command is known, and one place where everything ends.

`shipway --version` is asked by scripts, often; it must not wait for a library to load.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from shipway import __version__

_OBJECTS = 100_000
"""Objects made between two searches for cycles: a command makes many that last and hardly a cycle, and soon ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.  `arguments` are those of the process unless given."""
    _insist_on_utf8()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given in (["--version"], ["-V"]):
        sys.stdout.write(f"shipway {__version__}\n")
        return 0
    gc.set_threshold(_OBJECTS)
    _open_what_is_closed()
    _prepare_streams()
    _listen_to_signals()
    try:
        return run(given)
    except KeyboardInterrupt:  # before there was anybody to tell
        sys.stderr.write("error: interrupted; nothing was changed\n")
        return 130


def run(arguments: Sequence[str]) -> int:
    """Run a command; whatever it raises becomes an error on stderr and an exit code."""
    from shipway.cli.call import Call
    from shipway.cli.failure import report
    from shipway.cli.group import group

    call = Call()
    try:
        result = group.main(list(arguments), prog_name="shipway", standalone_mode=False, obj=call)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # reported, never swallowed
        return report(error, call.console)
    finally:
        call.console.progress.clear()
    return result if isinstance(result, int) else 0


def _insist_on_utf8() -> None:
    """Names on disk are bytes; with another encoding than UTF-8, Python would turn them into the wrong text (PEP 540)."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _open_what_is_closed() -> None:
    """Who was started without a standard stream (`>&-`) has one that leads nowhere: else the next file that is opened would be taken for it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _prepare_streams() -> None:
    """Names that are not UTF-8 go out as the bytes they are; in messages they are escaped."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors=errors)


def _listen_to_signals() -> None:
    """SIGTERM and SIGHUP end a command as Ctrl-C does; one that is ignored on purpose (nohup) stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
