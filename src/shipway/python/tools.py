"""pip and uv as programs: how they are started, followed, and what they leave behind when they fail."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence

from shipway.errors import ShipwayError
from shipway.python.heard import SHOWN, Heard, heard
from shipway.python.steps import Steps, Tell
from shipway.python.target import Target

_RAW_SINCE = (24, 1)
"""The first pip that tells its progress in lines."""
_OF_PIP = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_NO_COLOR": "1",
}
_UNBUILT = re.compile(r"Failed building (?:wheel|editable) for ([\w.-]+)")
_BEGIN, _END = "lines of output]", "[end of output]"


class ToolError(ShipwayError):
    """A program failed.  `said` is all that it said."""

    def __init__(self, message: str, said: Sequence[str], details: Sequence[str], whose: str) -> None:
        super().__init__(message, details=details, hint=f"nothing was changed; the words above are {whose}")
        self.said = tuple(said)


def pip(target: Target) -> list[str]:
    """How pip is run for a target: ours under its interpreter, else its own."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--python", target.python]
    return [target.python, "-m", "pip"]


def run_pip(target: Target, words: Sequence[str], what: str, tell: Tell) -> Heard:
    """Run a command of pip, with its own settings, and tell its steps.  Raises ToolError, with `what` it could not do."""
    environment: dict[str, str] = {**os.environ, **_OF_PIP}
    environment.pop("PIP_REQUIRE_VIRTUALENV", None)
    environment.pop("PIP_QUIET", None)
    command, *more = words
    steps = Steps(tell)
    done = heard([*pip(target), command, "--progress-bar", _bar(), *more], environment, listen=steps)
    if done.code:
        raise _failure(done, what, steps.project)
    return done


def _bar() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = tuple(map(int, re.findall(r"\d+", version("pip"))[:2]))
    except PackageNotFoundError:
        return "off"
    return "raw" if found >= _RAW_SINCE else "off"


def _failure(done: Heard, what: str, project: str) -> ToolError:
    errors = [line.removeprefix("ERROR: ") for line in done.lines if line.startswith("ERROR:")]
    output = list(_output(done.lines))[-SHOWN:]
    unbuilt = dict.fromkeys(name for line in done.lines for name in _UNBUILT.findall(line))
    names = ", ".join(unbuilt) or (project if output else "")
    message = f"{names} could not be built" if names else f"pip could not {what} what was asked for"
    details = [*output, *errors] or [line for line in done.lines if line.strip()][-SHOWN:]
    return ToolError(message, done.lines, details, "pip's")


def _output(lines: Sequence[str]) -> Iterator[str]:
    """What a build said, as pip repeats it."""
    inside = False
    for line in lines:
        if _END in line:
            inside = False
        if inside and line.strip():
            yield line.strip("│ \n")
        inside = inside or line.rstrip().endswith(_BEGIN)
