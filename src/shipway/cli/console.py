"""The two streams: answers go to stdout, everything else to stderr.

The command line's promise is that stdout holds the answer and nothing else, so that it can be piped and parsed; with
`--json` it is one document.  A reader that goes away (`| head`) is no error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from shipway.cli.progress import Progress
from shipway.cli.text import visible
from shipway.errors import ShipwayError

RED, YELLOW, BOLD = "31;1", "33;1", "1"


class Console:
    """Where a command speaks.  `verbosity` is -1 with -q, and the number of -v else."""

    def __init__(self) -> None:
        self.verbosity: int = 0
        self.progress: Progress = Progress()

    # -- the answer ------------------------------------------------------------------------------------------

    def answer(self, *lines: str) -> None:
        """Lines of the answer; on a terminal without what could upset it."""
        self.progress.clear()
        shown = map(visible, lines) if sys.stdout.isatty() else lines
        self.raw("".join(f"{line}\n" for line in shown))

    def document(self, value: object) -> None:
        """The answer as one JSON document."""
        self.progress.clear()
        self.raw(json.dumps(value, separators=(", ", ": ")) + "\n")

    def raw(self, text: str) -> None:
        """A piece of the answer as it is; names that are not UTF-8 come out as the bytes they are."""
        _write(sys.stdout, text)

    # -- everything else -------------------------------------------------------------------------------------

    def say(self, *lines: str) -> None:
        """Tell in passing; not with -q."""
        if self.verbosity >= 0:
            self.shout(*lines)

    def detail(self, *lines: str) -> None:
        """Tell those who asked for more (-v)."""
        if self.verbosity > 0:
            self.shout(*lines)

    def warn(self, *lines: str) -> None:
        """Tell, with a word that this matters; not with -q."""
        self.say(*(f"{paint('warning:', YELLOW)} {line}" for line in lines))

    def error(self, message: str, details: Iterable[str] = (), hint: str = "") -> None:
        """What went wrong, where in detail, and what to do."""
        self.shout(f"{paint('error:', RED)} {visible(message)}", *(f"  {visible(line)}" for line in details))
        if hint:
            self.shout(f"{paint('hint:', BOLD)} {visible(hint)}")

    def shout(self, *lines: str) -> None:
        """Tell, whatever was asked for."""
        self.progress.clear()
        _write(sys.stderr, "".join(f"{line}\n" for line in lines))


def paint(text: str, colour: str) -> str:
    """Coloured on a terminal, unless NO_COLOR (https://no-color.org) is set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"


def _write(stream: TextIO, text: str) -> None:
    """Write all; if nobody reads any longer, go on in silence.  Raises ShipwayError where it can't be written."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    except OSError as error:
        silence(stream)
        raise ShipwayError(f"the answer could not be written: {error.strerror}") from error


def silence(stream: TextIO) -> None:
    """Let a stream, whose reader is gone, lead nowhere, so that the interpreter's last flush does not complain either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
